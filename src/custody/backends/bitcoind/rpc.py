"""How is a node asked, and what do its failures mean? JSON-RPC over HTTP through python-bitcointx's caller.

The node's address is always given: without one the caller would look in a configuration file and in chain parameters
that differ from thread to thread. Credentials are not part of it; our own connection writes them into the request, so
they stand in no address, error or `repr`. A cookie file is read again with each connection, as nodes write a new one at
every start. Plain HTTP, like every bitcoind: put a tunnel around it when the node is another machine.

A question has one deadline, however the node spreads its answer over it, and its answer one size, which depends on the
question; what the answer would cost is known before it is read as JSON, and it must name the question it answers. Then
it is checked against the shape that is expected. A refusal (a JSON-RPC error) is a value, because which of them
is an error depends on the question; a question that the node does not know, or does not let this user ask, is
NODE_METHOD, with what is not to be had without it; everything else that goes wrong is NODE_UNAVAILABLE.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import pydantic
from bitcointx.rpc import JSONRPCError, RPCCaller

from custody.bounds import LimitExceeded, refuse_costly_json
from custody.errors import InvalidInput
from custody.ports import MethodRefused, NodeUnavailable, plain_reason

TIMEOUT: Final = 30
"""Seconds to wait for the whole of an ordinary answer."""
MAX_ANSWER: Final = 4_000_000
"""Bytes of the longest answer to most questions."""
_MOST: Final = {
    "submitpackage": 256 * 1024,
    "getblock": 9_000_000,
    "getrawtransaction": 9_000_000,
    "gettxspendingprevout": 32_000_000,
    "scantxoutset": 64_000_000,
}
"""The same for others: a few transactions; a block of 4 MB in hexadecimal; a hundred thousand coins."""
_MAX_HEAD: Final = 64 * 1024
"""Bytes of everything that comes before an answer: status lines, as many as there are, and headers."""
_PER_BYTE: Final = 8
"""Bytes of memory that each byte of an honest answer takes: amounts are decimal numbers of a hundred."""
_MAX_COOKIE: Final = 4096
_WARMING_UP: Final = -28
_UNKNOWN_METHOD: Final = -32601
_OF_THE_CALLER: Final = range(-345, -341)
"""Codes by which python-bitcointx says that an answer was none."""
_ADDRESS: Final = re.compile(r"http://(?P<host>\[[^\[\]/]*\]|[^\[\]/:]+):(?P<port>[0-9]{1,5})/?", re.IGNORECASE)
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
"""Names of hosts, and those that containers get, which may have an underscore."""
_ZONE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65535
_CHAIN: Final = "the chain cannot be looked at"
_STANDING: Final = "nobody can say where what was sent is"
_WITHOUT: Final = {
    "getblockhash": _CHAIN,
    "getblockchaininfo": _CHAIN,
    "getblock": _CHAIN,
    "getblockheader": _CHAIN,
    "getmempoolinfo": "nothing can be drafted: the least fee rate is not known",
    "estimatesmartfee": "a draft is made at the fallback rate, or at the one asked for (--feerate)",
    "testmempoolaccept": "nothing can be released, since this node is one of the judges",
    "sendrawtransaction": "nothing can be sent by this node",
    "submitpackage": "a transfer cannot be sent together with what it spends; alone it can",
    "getmempoolentry": _STANDING,
    "getrawtransaction": _STANDING,
    "gettxout": _STANDING,
    "gettxoutproof": _STANDING,
    "gettxspendingprevout": _STANDING,
    "scantxoutset": "coins are found in blocks only (custody observe)",
    "getnetworkinfo": "the node's version is not known",
}
"""What is not to be had without a question, by its method."""

Answer = TypeVar("Answer")
# What the caller and Python's HTTP let out when an answer is not JSON-RPC at all.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    AssertionError,
    RecursionError,
    http.client.HTTPException,
)
_CONNECTION_WENT: Final = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class NodeAddressInvalid(InvalidInput, code="NODE_ADDRESS"):
    """An address that does not name a node. It is not shown: it may hold a password."""

    message = "the node's address {problem}"
    hint = (
        "Write http://HOST:PORT with nothing after it, and name the cookie file or the user and password apart from it."
    )
    problem: str


@dataclass(frozen=True, slots=True)
class CookieFile:
    """The file in the node's data directory in which it writes a password at each start."""

    path: Path


@dataclass(frozen=True, slots=True)
class UserPassword:
    """A user that the node's configuration names (rpcauth), and the password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The node's no to a question: its error code (Bitcoin Core, rpc/protocol.h) and its words, made plain."""

    code: int
    reason: str


class Rpc:
    """One node. Questions go one at a time over one connection that is made when needed and made again when lost.

    Every question asked here may be asked twice without harm, so one on a connection that had gone is asked again.

    Raises:
        NodeAddressInvalid: `url` is not http://HOST:PORT.
    """

    def __init__(self, url: str, credentials: CookieFile | UserPassword, timeout: int = TIMEOUT) -> None:
        self._host, self._port = _host_and_port(url)
        self._credentials = credentials
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._caller: _Caller | None = None

    def __repr__(self) -> str:
        return f"Rpc({self.name})"

    @property
    def name(self) -> str:
        """What errors call it: host and port."""
        return f"{self._host}:{self._port}"

    def patient(self, timeout: int) -> Rpc:
        """The same node over another connection, for answers that take up to `timeout` seconds."""
        return Rpc(f"http://{self.name}", self._credentials, timeout)

    def close(self) -> None:
        """Let go of the connection; the next question makes one."""
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, shape: pydantic.TypeAdapter[Answer], method: str, *parameters: object) -> Answer:
        """The answer to `method`, in `shape`.

        Raises:
            MethodRefused: the node does not know the question, or does not let us ask it.
            NodeUnavailable: no answer, one of another shape, or a refusal.
        """
        answer = self.attempt(shape, method, *parameters)
        if isinstance(answer, Refusal):
            raise self.failed(f"{method}: {answer.reason}")
        return answer

    def attempt(self, shape: pydantic.TypeAdapter[Answer], method: str, *parameters: object) -> Answer | Refusal:
        """The same, where the node may say no.

        Raises:
            MethodRefused: it does not know the question, or does not let us ask it.
            NodeUnavailable: no answer, or one of another shape; the node is starting.
        """
        try:
            with self._lock:
                answer = self._exchange(method, parameters)
        except JSONRPCError as error:
            return self._refusal(method, error)
        try:
            return shape.validate_python(answer, strict=True)
        except pydantic.ValidationError as error:
            where = ".".join(str(step) for step in error.errors()[0]["loc"])
            raise self.failed(f"{method}: its answer is not of the form expected, at {where or 'the top'}") from None

    def failed(self, reason: str) -> NodeUnavailable:
        """The error that says so of this node."""
        return NodeUnavailable(node=self.name, reason=plain_reason(reason))

    def _unasked(self, method: str, reason: str) -> MethodRefused:
        without = _WITHOUT.get(method, "what needs it cannot be done")
        return MethodRefused(node=self.name, reason=reason, method=method, without=without)

    def _exchange(self, method: str, parameters: tuple[object, ...]) -> object:
        was_connected = self._caller is not None
        try:
            return self._once(method, parameters)
        except OSError as error:
            # Nodes hang up after half a minute of silence, which shows when the next question is asked; one that was
            # started again has a new cookie.
            if not was_connected or not isinstance(error, (*_CONNECTION_WENT, _Unauthorized)):
                raise self._broken(error) from None
        try:
            return self._once(method, parameters)
        except OSError as error:
            raise self._broken(error) from None

    def _once(self, method: str, parameters: tuple[object, ...]) -> object:
        caller = self._caller or self._connect()
        caller.connection.most = _MOST.get(method, MAX_ANSWER)
        is_answered = False
        try:
            answer: object = getattr(caller, method)(*parameters)
            is_answered = True
        except JSONRPCError as error:
            is_answered = error.error["code"] not in _OF_THE_CALLER
            raise
        except _Forbidden:
            raise self._unasked(
                method, "it forbids it (rpcwhitelist), or all questions from here (rpcallowip)"
            ) from None
        except OSError:
            raise
        except LimitExceeded as error:
            raise self.failed(f"{method}: its answer is too much: {error}") from None
        except _OtherAnswer:
            raise self.failed(f"{method}: it answers another question than the one asked") from None
        except _MALFORMED:
            raise self.failed(f"{method}: it gave an answer that is not JSON-RPC") from None
        finally:
            # Half of an answer may still be under way: the next question starts afresh.
            if not is_answered:
                self._disconnect()
        return answer

    def _connect(self) -> _Caller:
        authorization = _authorization(self._credentials, self.name)
        self._connection = _Connection(self._host, self._port, self._timeout, authorization)
        # Where it goes is the connection's: the caller would take the address apart its own way.
        self._caller = _Caller("http://node:1/", self._connection)
        return self._caller

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._caller = None

    def _broken(self, error: OSError) -> NodeUnavailable:
        if isinstance(error, TimeoutError):
            return self.failed(f"it did not answer within {self._timeout} seconds")
        return self.failed(error.strerror or str(error) or "the connection broke")

    def _refusal(self, method: str, error: JSONRPCError) -> Refusal:
        code, reason = int(error.error["code"]), plain_reason(str(error.error["message"]))
        if code == _WARMING_UP:
            raise self.failed(f"it is still starting: {reason}")
        if code == _UNKNOWN_METHOD:
            raise self._unasked(method, "it does not know it, and may be too old")
        if code in _OF_THE_CALLER:
            raise self.failed(f"{method}: {reason}")
        return Refusal(code, reason)


# --- the connection ---------------------------------------------------------------------------------------------------


class _Unauthorized(OSError):
    """The node does not take our credentials."""


class _Forbidden(OSError):
    """The node does not let us ask this: HTTP 403."""


class _TooLarge(OSError):
    """An answer larger than is read."""


class _OtherAnswer(Exception):
    """An answer that names another question than the last one."""


class _Caller(RPCCaller):
    """Asks, and takes the answer that names the question: what was left over from an earlier one is none."""

    def __init__(self, url: str, connection: _Connection) -> None:
        super().__init__(service_url=url, connection=connection)
        self.connection = connection

    def _get_response(self) -> Any:  # noqa: ANN401 - JSON data
        answer = super()._get_response()
        # python-bitcointx numbers its questions from one, and a caller has one connection.
        named = answer.get("id")
        # True and 1.0 equal the first question's number.
        if type(named) is not int or named != self.connection.asked:
            raise _OtherAnswer
        return answer


@dataclass(slots=True)
class _Response:
    """An answer that has been read whole, as python-bitcointx wants to see it."""

    status: int
    reason: str
    body: bytes
    response: str = ""

    def read(self) -> bytes:
        return self.body


class _Connection:
    """What python-bitcointx sends through: adds the credentials, bounds the answer in time and size.

    `most` bytes of an answer are read. `asked` counts the questions.
    """

    def __init__(self, host: str, port: int, timeout: int, authorization: str) -> None:
        self.most = MAX_ANSWER
        self.asked = 0
        self._timeout = timeout
        # A link's zone is this machine's own name for it, and means nothing to others (RFC 6874).
        named = re.sub("%[^]]*", "", host)
        self._headers = {"Authorization": authorization, "Host": f"{named}:{port}"}
        self._deadline = 0.0
        self._inner = http.client.HTTPConnection(host.strip("[]"), port, timeout=timeout)

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        self.asked += 1
        self._deadline = time.monotonic() + self._timeout
        if self._inner.sock is not None:
            self._inner.sock.settimeout(self._timeout)
        self._inner.request(method, path, body.encode(), headers | self._headers)

    def getresponse(self) -> _Response:
        incoming: list[_Incoming] = []

        def response_of(sock: socket.socket, *given: Any, **named: Any) -> http.client.HTTPResponse:  # noqa: ANN401
            incoming.append(_Incoming(sock, self._deadline))
            return http.client.HTTPResponse(incoming[0], *given, **named)  # type: ignore[arg-type] # it asks for a file

        self._inner.response_class = response_of  # type: ignore[assignment] # called, and nothing else
        with self._inner.getresponse() as response:
            if response.status == http.client.FORBIDDEN:
                raise _Forbidden
            if response.status == http.client.UNAUTHORIZED:
                raise _Unauthorized(f"it does not accept our credentials (HTTP {response.status})")
            if response.chunked:
                # Each piece may be one byte. No node sends them.
                raise _TooLarge("its answer does not say how long it is")
            incoming[0].allow(self.most)
            body = b"" if (response.length or 0) > self.most else response.read(self.most + 1)
            if len(body) > self.most or (response.length or 0) > self.most:
                raise _TooLarge(f"its answer is larger than {self.most} bytes")
            refuse_costly_json(body, _PER_BYTE)
            return _Response(response.status, response.reason, body)

    def close(self) -> None:
        self._inner.close()


class _Incoming(io.RawIOBase):
    """What comes from a node, up to a deadline and to so many bytes. Python's own timeouts begin anew at each byte.

    It stands where `http.client` has the socket, and makes the file that it reads.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = _MAX_HEAD

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def allow(self, more: int) -> None:
        """Let so many bytes more come."""
        self._left += more

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - whatever bytes are read into
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise _TooLarge("it sends more than an answer")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _authorization(credentials: CookieFile | UserPassword, node: str) -> str:
    if isinstance(credentials, UserPassword):
        pair = f"{credentials.user}:{credentials.password}".encode()
    else:
        try:
            with credentials.path.open("rb") as file:
                pair = file.read(_MAX_COOKIE).strip()
        except OSError as error:
            reason = plain_reason(f"its cookie file cannot be read ({error.strerror}); is the node running?")
            raise NodeUnavailable(node=node, reason=reason) from None
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _host_and_port(url: str) -> tuple[str, int]:
    if "@" in url:
        raise NodeAddressInvalid(problem="holds credentials")
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise NodeAddressInvalid(problem=_why_no_address(url))
    host, port = found["host"], int(found["port"])
    if not 0 < port <= _MAX_PORT:
        raise NodeAddressInvalid(problem="has a port that does not exist")
    return _version_6(host[1:-1]) if host.startswith("[") else _name_of(host), port


def _why_no_address(url: str) -> str:
    """What is to be written otherwise; the address itself is not repeated."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "does not begin with http://"
    if scheme.lower() != "http":
        return "does not begin with http://: a node speaks plain HTTP; to one elsewhere, make a tunnel and name its end"
    place, _, path = rest.partition("/")
    if path:
        return "has something after the port: no wallet of the node is used"
    if place.count(":") > 1 and "[" not in place:
        return "is of IPv6 without brackets: http://[ADDRESS]:PORT"
    return "is not of the form http://HOST:PORT; bitcoind's port is 8332, or 48332, 38332 and 18443 on test networks"


def _name_of(host: str) -> str:
    """The name of a host, or its IPv4 address."""
    if not host.isascii():
        raise NodeAddressInvalid(problem="has a name in other letters: write the one that begins with xn--")
    if not _NAME.fullmatch(host) or len(host) > _MAX_NAME:
        problem = "has a name that is none: letters, digits, hyphens and underscores, with single dots between them"
        raise NodeAddressInvalid(problem=problem)
    return host


def _version_6(text: str) -> str:
    """An IPv6 address in brackets, perhaps with the zone of a link's: its network interface."""
    address, separator, zone = text.partition("%")
    # In an address of the web the percent sign stands as %25 (RFC 6874); people leave it as it is.
    zone = zone.removeprefix("25") if len(zone) > len("25") else zone
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise NodeAddressInvalid(problem="has no IPv6 address in its brackets") from None
    if separator and not _ZONE.fullmatch(zone):
        raise NodeAddressInvalid(problem="names no zone after the percent sign: http://[fe80::1%eth0]:PORT")
    return f"[{address}{separator}{zone}]"
