"""How is a node asked, and what do its failures mean? JSON-RPC over HTTP through python-bitcointx's caller.

The node's address is always given: without one the caller would look in a configuration file and in chain parameters
that differ from thread to thread. Credentials are not part of it; our own connection writes them into the request, so
they stand in no address, error or `repr`. A cookie file is read again with each connection, as nodes write a new one at
every start. Plain HTTP, like every bitcoind: put a tunnel around it when the node is another machine.

An answer is checked against the shape that is expected. A refusal (a JSON-RPC error) is a value, because which of them
is an error depends on the question; everything else that goes wrong is NODE_UNAVAILABLE.
"""

from __future__ import annotations

import base64
import http.client
import re
import threading
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import pydantic
from bitcointx.rpc import JSONRPCError, RPCCaller

from custody.errors import InvalidInput
from custody.ports import NodeUnavailable, plain_reason

TIMEOUT: Final = 30
"""Seconds to wait for an ordinary answer."""
MAX_ANSWER: Final = 1 << 28
"""Bytes of the longest answer read; a block takes 8 MB."""
_MAX_COOKIE: Final = 4096
_WARMING_UP: Final = -28
_UNKNOWN_METHOD: Final = -32601
_OF_THE_CALLER: Final = range(-345, -341)
"""Codes by which python-bitcointx says that an answer was none."""
_ADDRESS: Final = re.compile(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}/?")
_MAX_PORT: Final = 65535

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
        self._caller: RPCCaller | None = None

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
            NodeUnavailable: no answer, one of another shape, or a refusal.
        """
        answer = self.attempt(shape, method, *parameters)
        if isinstance(answer, Refusal):
            raise self.failed(f"{method}: {answer.reason}")
        return answer

    def attempt(self, shape: pydantic.TypeAdapter[Answer], method: str, *parameters: object) -> Answer | Refusal:
        """The same, where the node may say no.

        Raises:
            NodeUnavailable: no answer, or one of another shape; the node is starting, or too old for the question.
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
        is_answered = False
        try:
            answer: object = getattr(caller, method)(*parameters)
            is_answered = True
        except JSONRPCError as error:
            is_answered = error.error["code"] not in _OF_THE_CALLER
            raise
        except OSError:
            raise
        except _MALFORMED:
            raise self.failed(f"{method}: it gave an answer that is not JSON-RPC") from None
        finally:
            # Half of an answer may still be under way: the next question starts afresh.
            if not is_answered:
                self._disconnect()
        return answer

    def _connect(self) -> RPCCaller:
        authorization = _authorization(self._credentials, self.name)
        self._connection = _Connection(self._host, self._port, self._timeout, authorization)
        self._caller = RPCCaller(service_url=f"http://{self.name}/", connection=self._connection)
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
            raise self.failed(f"it does not know the method {method}: it may be too old")
        if code in _OF_THE_CALLER:
            raise self.failed(f"{method}: {reason}")
        return Refusal(code, reason)


# --- the connection ---------------------------------------------------------------------------------------------------


class _Unauthorized(OSError):
    """The node does not take our credentials."""


class _TooLarge(OSError):
    """An answer larger than is read."""


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
    """What python-bitcointx sends through: adds the credentials, bounds the answer."""

    def __init__(self, host: str, port: int, timeout: int, authorization: str) -> None:
        self._authorization = authorization
        self._inner = http.client.HTTPConnection(host.strip("[]"), port, timeout=timeout)

    def request(self, method: str, path: str, body: str, headers: dict[str, str]) -> None:
        self._inner.request(method, path, body.encode(), headers | {"Authorization": self._authorization})

    def getresponse(self) -> _Response:
        response = self._inner.getresponse()
        if response.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise _Unauthorized(f"it does not accept our credentials, or not from here (HTTP {response.status})")
        body = response.read(MAX_ANSWER + 1)
        if len(body) > MAX_ANSWER:
            raise _TooLarge(f"its answer is larger than {MAX_ANSWER} bytes")
        return _Response(response.status, response.reason, body)

    def close(self) -> None:
        self._inner.close()


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
    if not _ADDRESS.fullmatch(url):
        raise NodeAddressInvalid(problem="is not of the form http://HOST:PORT")
    # The pattern leaves a host and a number; brackets around an IPv6 address stay.
    host, _, port = urllib.parse.urlsplit(url).netloc.rpartition(":")
    if not 0 < int(port) <= _MAX_PORT:
        raise NodeAddressInvalid(problem="has a port that does not exist")
    return host, int(port)
