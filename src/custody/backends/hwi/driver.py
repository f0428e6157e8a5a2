"""Which calls of hwilib does each operation make? The only module that imports it, and only in a device's process.

One device is opened, by its path, and its fingerprint is read and compared before anything else is asked of it; then
one operation; then it is closed. `find_device` is never used: it opens everything it finds and swallows every error.

Nothing is decided here: what came out goes back as it is, to be judged by `signer`. hwilib's own word on success is not
even passed on.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import hwilib.devices
from hwilib import commands
from hwilib.common import Chain
from hwilib.errors import DeviceAlreadyUnlockedError
from hwilib.hwwclient import HardwareWalletClient

from custody.backends.hwi.errors import Fault
from custody.backends.hwi.foreign import Nonsense, judge_report
from custody.backends.hwi.protocol import (
    MAX_FOUND,
    MAX_PATH,
    DeviceAnswer,
    DeviceRequest,
    FoundDevice,
    Operation,
    done,
    failed,
)
from custody.units import Network

_CHAINS: Final = {
    Network.MAIN: Chain.MAIN,
    Network.TESTNET4: Chain.TESTNET4,
    Network.SIGNET: Chain.SIGNET,
    Network.REGTEST: Chain.REGTEST,
}
_FINGERPRINT: Final = 4
_POLL: Final = 0.25
"""Seconds between two looks at what a Coldcard's holder has decided."""


def perform(request: DeviceRequest, answer: Callable[[DeviceAnswer], None], *, is_emulator: bool) -> None:
    """Do what is asked and give `answer` what came of it, before the device is closed.

    Raises:
        Exception: whatever a driver raises. The process's hook turns it into an answer.
    """
    if request.device not in hwilib.devices.__all__:
        answer(failed(Fault.UNSUPPORTED, "hwilib has no driver of this name"))
        return
    module = importlib.import_module(f"hwilib.devices.{request.device}")
    _confine(module, request, is_emulator=is_emulator)
    chain = _chain(request)
    if request.operation is Operation.LIST:
        answer(_list(module.enumerate(None, False, chain, is_emulator)))  # noqa: FBT003 - hwilib's signature
        return
    with _opened(request, chain) as client:
        if request.operation in _LOCKED:
            answer(_LOCKED[request.operation](request, client))
            return
        fingerprint: object = client.get_master_fingerprint()
        if not isinstance(fingerprint, bytes) or len(fingerprint) != _FINGERPRINT:
            raise Nonsense("a fingerprint that is not four bytes")
        if request.fingerprint and fingerprint != request.fingerprint:
            # Not a word to another device about this vault. The parent compares as well, and says what is wrong.
            answer(done(fingerprint, ""))
            return
        answer(_OPERATIONS[request.operation](request, client, fingerprint))


def _chain(request: DeviceRequest) -> Chain:
    if request.network is Network.TESTNET4 and request.device == "jade":
        return Chain.TEST  # its driver does not know testnet4, whose keys and addresses are testnet's
    return _CHAINS[request.network]


@contextmanager
def _opened(request: DeviceRequest, chain: Chain) -> Iterator[HardwareWalletClient]:
    client = commands.get_client(request.device, request.path, None, False, chain)  # noqa: FBT003 - hwilib's signature
    # BitBox02's driver does not say when nothing answers it.
    if client is None or getattr(getattr(client, "simulator", None), "connected", True) is False:
        raise ConnectionRefusedError(f"nothing answers at {request.path}")
    try:
        yield client
    finally:
        # What was done is done, and what failed has failed, whatever letting go of the device says.
        with suppress(Exception):
            client.close()


# --- operations -------------------------------------------------------------------------------------------------------


def _list(entries: list[dict[str, Any]]) -> DeviceAnswer:
    if len(entries) > MAX_FOUND:
        raise Nonsense(f"{len(entries)} devices")
    found = tuple(_found(each) for each in entries)
    return DeviceAnswer(fault=None, reason="", fingerprint=b"", result="", found=found)


def _found(entry: dict[str, Any]) -> FoundDevice:
    fault, reason = None, ""
    if "error" in entry:
        fault, reason = judge_report(entry.get("code"), str(entry["error"]))
    elif entry.get("needs_pin_sent") or entry.get("needs_passphrase_sent"):
        fault, reason = Fault.LOCKED, "it waits for a PIN or a passphrase from another program"
    return FoundDevice(
        path=_word(entry.get("path"), MAX_PATH),
        model=_word(entry.get("model", ""), 64),  # absent from one that could not be opened
        fingerprint=_fingerprint(entry.get("fingerprint")),
        fault=fault,
        reason=reason,
    )


def _word(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isascii() or not value.isprintable():
        raise Nonsense("a path or a model that is no short text")
    return value


def _fingerprint(value: object) -> bytes:
    """Four bytes from eight lower-case hexadecimal digits, and from nothing else (THREATS C11)."""
    if value is None:
        return b""
    if not isinstance(value, str) or len(value) != 2 * _FINGERPRINT or not set(value) <= set("0123456789abcdef"):
        raise Nonsense("a fingerprint that is not eight hexadecimal digits")
    return bytes.fromhex(value)


def _open(_request: DeviceRequest, _client: HardwareWalletClient, fingerprint: bytes) -> DeviceAnswer:
    return done(fingerprint, "")


def _key(request: DeviceRequest, client: HardwareWalletClient, fingerprint: bytes) -> DeviceAnswer:
    return done(fingerprint, _text(commands.getxpub(client, request.subject), "xpub"))


def _address(request: DeviceRequest, client: HardwareWalletClient, fingerprint: bytes) -> DeviceAnswer:
    return done(fingerprint, _text(commands.displayaddress(client, desc=request.subject), "address"))


def _sign(request: DeviceRequest, client: HardwareWalletClient, fingerprint: bytes) -> DeviceAnswer:
    if request.device == "coldcard" and not _is_enrolled(client, request):
        return failed(Fault.NOT_ENROLLED, "it has no such multisig wallet", fingerprint)
    return done(fingerprint, _text(commands.signtx(client, request.subject), "psbt"))


def _text(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise Nonsense(f"no {name}")
    return value


# --- Coldcard's enrolment, which hwilib's client does not have --------------------------------------------------------


def _enrol(request: DeviceRequest, client: HardwareWalletClient, fingerprint: bytes) -> DeviceAnswer:
    """Send the wallet file and wait until the holder has decided. Source: Coldcard's USB protocol, enrl and msck."""
    if request.device != "coldcard":
        return failed(Fault.UNSUPPORTED, "it takes no wallet file", fingerprint)
    from hwilib.devices.ckcc.protocol import CCProtocolPacker, CCProtoError  # noqa: PLC0415 - needs hidapi

    device = client.device  # type: ignore[attr-defined] # the Coldcard client's own
    device.check_mitm()
    size, digest = device.upload_file(request.subject.encode())
    device.send_recv(CCProtocolPacker.multisig_enroll(size, digest), timeout=None)
    if device.is_simulator:
        device.send_recv(CCProtocolPacker.sim_keypress(b"y"))
    while True:
        time.sleep(_POLL)
        try:
            # Any request that waits for its holder answers to this; once decided, there is none any more.
            device.send_recv(CCProtocolPacker.get_signed_txn(), timeout=None)
        except CCProtoError:
            break
    if not _is_enrolled(client, request):
        return failed(Fault.REFUSED, "the wallet was not added", fingerprint)
    return done(fingerprint, "")


def _is_enrolled(client: HardwareWalletClient, request: DeviceRequest) -> bool:
    """Whether a Coldcard knows a wallet of this threshold and these fingerprints.

    It compares neither keys nor scripts, so a yes is only a hint; a no is a no.
    """
    from hwilib.devices.ckcc.protocol import CCProtocolPacker  # noqa: PLC0415 - needs hidapi

    mixed = 0
    for fingerprint in request.members:
        mixed ^= int.from_bytes(fingerprint, "little")
    check = CCProtocolPacker.multisig_check(request.threshold, len(request.members), mixed)
    return bool(client.device.send_recv(check, timeout=None))  # type: ignore[attr-defined]


_OPERATIONS: Final = {
    Operation.OPEN: _open,
    Operation.KEY: _key,
    Operation.ADDRESS: _address,
    Operation.ENROL: _enrol,
    Operation.SIGN: _sign,
}


# --- a PIN that is typed on this machine, before a fingerprint can be read --------------------------------------------


def _prompt(_request: DeviceRequest, client: HardwareWalletClient) -> DeviceAnswer:
    try:
        commands.prompt_pin(client)
    except DeviceAlreadyUnlockedError:
        return done(b"", "open")
    return done(b"", "asked")


def _unlock(request: DeviceRequest, client: HardwareWalletClient) -> DeviceAnswer:
    try:
        is_open = commands.send_pin(client, request.subject).get("success")
    except DeviceAlreadyUnlockedError:
        is_open = True
    return done(b"", "open") if is_open is True else failed(Fault.LOCKED, "that was not its PIN")


_LOCKED: Final = {Operation.PROMPT: _prompt, Operation.UNLOCK: _unlock}


# --- where a driver may look ------------------------------------------------------------------------------------------


def _confine(module: Any, request: DeviceRequest, *, is_emulator: bool) -> None:  # noqa: ANN401 - a foreign module
    """Let a driver look for an emulator where this one listens, or for none at all.

    Some drivers take a path for an emulator's only when it equals a constant of theirs. Trezor's looks on a socket for
    an emulator even when a device was named, and on USB even when an emulator was.
    """
    match request.device:
        case "coldcard" if is_emulator:
            module.CC_SIMULATOR_SOCK = request.path or module.CC_SIMULATOR_SOCK
        case "bitbox02" | "jade" | "ledger" if is_emulator:
            module.SIMULATOR_PATH = request.path or module.SIMULATOR_PATH
            if request.device == "bitbox02":
                _name_for_simulator(module.bitbox02.BitBox02)
        case "trezor" | "keepkey" if is_emulator:
            module.hid.HidTransport.enumerate = _nothing
            module.webusb.WebUsbTransport.enumerate = _nothing
            if request.path:
                transport = module.udp.UdpTransport
                found = functools.partial(transport.enumerate, request.path.removeprefix("udp:"))
                transport.enumerate = staticmethod(lambda _path=None: found())
        case "trezor" | "keepkey":
            module.udp.UdpTransport.enumerate = _nothing
    if request.device == "jade":
        # Its PIN server is on the Internet. A Jade is unlocked by QR code or recovery phrase where we are.
        module.HAS_NETWORKING = False


def _name_for_simulator(device: Any) -> None:  # noqa: ANN401 - a foreign class
    """The simulator's keyboard types nothing, its firmware takes no vault without a name, nor two of one name."""
    register = device.btc_register_script_config

    def named(self: object, **arguments: Any) -> None:  # noqa: ANN401 - what a foreign class takes
        name = hashlib.sha256(arguments["script_config"].SerializeToString()).hexdigest()[:8]
        register(self, **arguments | {"name": f"custody {name}"})

    device.btc_register_script_config = named


def _nothing(*_arguments: object, **_named: object) -> list[object]:
    return []
