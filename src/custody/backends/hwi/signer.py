"""One hardware device as a `Signer`: what is it asked, and what of its answers is kept?

A device is asked one thing at a time, each in a process of its own (`program`), under the fingerprint it must have. Of
what comes back nothing is believed:

1. Another fingerprint than the one expected ends it before anything else is asked.
2. An xpub must be of the network and stand at the depth and child number of its path.
3. An address is compared as a script: the same script reads differently on different devices.
4. A signed PSBT is never adopted. Its transaction must be the one sent; from it come the signatures that were not
   there, each by a key of this device, each verified here on our own signature hash, on every input that names it. They
   are put into the PSBT that was given. That a driver says it signed counts for nothing.

Whose coins these are, and whether they should move, is for the station to examine first.

Sources: BIP 174 (Signer, Combiner), BIP 143, BIP 48.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

from custody.backends.hwi.errors import (
    DeviceAddress,
    DeviceAmbiguous,
    DeviceEmulated,
    DeviceMismatch,
    DeviceNotEnrolled,
    DeviceNotFound,
    SignerProtocol,
    error_of,
)
from custody.backends.hwi.foreign import plain
from custody.backends.hwi.kinds import (
    KINDS,
    DeviceKind,
    Registration,
    address_descriptor,
    enrolment_text,
    kind_of,
    notes,
    prepare,
    quorum_of,
    shown_script,
)
from custody.backends.hwi.program import Program
from custody.backends.hwi.protocol import DEVICE_TYPE, MAX_PATH, DeviceAnswer, DeviceRequest, FoundDevice, Operation
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.lock import lock_of
from custody.bitcoin.profile import Direction, ProfileInput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.psbt_fields import InputField
from custody.bitcoin.script import NetworkMismatch
from custody.bitcoin.sighash import Sighashes
from custody.charter.makers import CosignerDevice
from custody.errors import CustodyError, InvalidInput, Refused
from custody.ports import SignerRefused
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import AccountKey, Cosigner, ExtendedKeyInvalid, KeyOrigin, show_path
from custody.vault.ownership import spent_outputs
from custody.vault.templates import ScriptType, account_path

_PROGRAM: Final = Program()


class DeviceNameInvalid(InvalidInput, code="DEVICE_NAME"):
    """Text that does not name a device."""

    message = "{shown} names no device"
    hint = "Write TYPE or TYPE=PATH, such as ledger, or jade=/dev/ttyACM0."
    shown: str


@dataclass(frozen=True, slots=True)
class Device:
    """Which device is meant: its type (hwilib's name), and its path where the type is not enough.

    An emulator is one that was started on purpose, for coins without value.
    """

    type: str
    path: str = ""
    is_emulator: bool = False

    def __post_init__(self) -> None:
        is_path = len(self.path) <= MAX_PATH and self.path.isascii() and (not self.path or self.path.isprintable())
        if DEVICE_TYPE.fullmatch(self.type) is None or not is_path:
            raise DeviceNameInvalid(shown=ascii(f"{self.type[:20]}={self.path[:40]}"))

    @classmethod
    def parse(cls, text: str, *, is_emulator: bool = False) -> Self:
        """Read `TYPE` or `TYPE=PATH`.

        Raises:
            DeviceNameInvalid: it is neither.
        """
        name, _, path = text.partition("=")
        return cls(name.lower(), path, is_emulator)

    @property
    def kind(self) -> DeviceKind:
        """What devices of its type want."""
        return kind_of(self.type)

    def at(self, path: str) -> Self:
        """The same type at `path`."""
        return replace(self, path=path)

    def __str__(self) -> str:
        return f"{self.type} at {self.path}" if self.path else self.type


ALL_TYPES: Final = tuple(Device(kind.name) for kind in KINDS)
"""The types that were tried."""


@dataclass(frozen=True, slots=True)
class Found:
    """A device that is plugged in. `fingerprint` is None when it would not say; `problem` tells why, or why none was.

    A type that could not even be looked for has no path.
    """

    device: Device
    model: str
    fingerprint: bytes | None
    problem: CustodyError | None


class HwiSigner:
    """One hardware device, behind hwilib. Implements `Signer`.

    Every method raises the errors of `custody.backends.hwi.errors`; those named below are its own.

    Raises:
        DeviceEmulated: an emulator, and coins of the main network.
    """

    __slots__ = ("_device", "_fingerprint", "_network", "_program")

    def __init__(self, device: Device, fingerprint: bytes, network: Network, program: Program = _PROGRAM) -> None:
        _refuse_emulator(device, network)
        self._device = device
        self._fingerprint = fingerprint
        self._network = network
        self._program = program

    def __repr__(self) -> str:
        return f"HwiSigner({self._device}, {self._fingerprint.hex()})"

    @property
    def device(self) -> Device:
        """Which device this is, with its path."""
        return self._device

    @property
    def fingerprint(self) -> bytes:
        """The master key's fingerprint, 4 bytes; a device that shows another is never asked anything."""
        return self._fingerprint

    def account_key(self, path: tuple[int, ...]) -> tuple[KeyOrigin, AccountKey]:
        """The extended public key at `path` (raw child numbers) and its origin.

        Raises:
            NetworkMismatch: it is another network's.
            SignerProtocol: it is no key of this path.
            SecretMaterial: it is a private key.
        """
        origin = KeyOrigin(self._fingerprint, path)
        answer = self._ask(Operation.KEY, f"m{show_path(path)}")
        try:
            key = AccountKey.parse(answer.result)
        except ExtendedKeyInvalid as error:
            raise self._nonsense(f"no extended public key ({error.problem})") from None
        if key.network_version != self._network.xpub_version:
            expected, actual = self._network.xpub_version.hex(), key.network_version.hex()
            raise NetworkMismatch(what=f"the key that {self._device} gave", expected=expected, actual=actual)
        if key.depth != len(path) or (path and key.child_number != path[-1]):
            raise self._nonsense(f"a key of another path than m{show_path(path)}")
        return origin, key

    def show_address(self, vault: Vault, branch: Branch, index: int) -> str:
        """Have the device show this address of `vault`; the address, as we write it, once both are the same.

        Raises:
            NotAMember: no cosigner of the vault has this device's fingerprint.
            DeviceAddress: the device shows another one.
        """
        vault.cosigner_of(self._fingerprint)
        expected = vault.address(branch, index)
        shown = self._ask(Operation.ADDRESS, address_descriptor(vault, branch, index), vault).result
        if shown_script(shown, self._network, str(self._device)) != vault.script_pubkey(branch, index):
            raise DeviceAddress(device=str(self._device), shown=plain(shown), expected=expected)
        return expected

    def enrol(self, vault: Vault, name: str = "") -> str:
        """Have the device register `vault`, where its kind does that, and show its first address; that address.

        `name` is what a Coldcard calls it, 20 letters and digits at most.

        Raises:
            NotAMember: no cosigner of the vault has this device's fingerprint.
            DeviceAddress: the device shows another address.
        """
        vault.cosigner_of(self._fingerprint)
        if self._device.kind.registration is Registration.BY_FILE:
            try:
                return self.show_address(vault, Branch.RECEIVE, 0)
            except DeviceNotEnrolled:
                text = enrolment_text(vault, name or f"custody-{vault.id[:4].hex()}")
                self._ask(Operation.ENROL, text, vault)
        return self.show_address(vault, Branch.RECEIVE, 0)

    def notes(self, psbt: Psbt) -> tuple[str, ...]:
        """What this device will show or ask, when it signs `psbt`, that its holder does not expect."""
        return notes(TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER), self._device.kind, self._network)

    def sign(self, psbt: Psbt) -> Psbt:
        """`psbt` in our own spelling (version 0), with this device's signature wherever its fingerprint is named.

        Raises:
            SignerRefused: no input names this device.
            PrevtxMissing, PrevtxTxid, PrevtxOutput, UtxoConflict: an amount without proof.
            FieldForbidden, SighashForbidden: what `TransferPsbt.from_psbt` refuses.
            SignerProtocol: the device signed something else, for somebody else, wrongly, or nothing.
        """
        transfer = TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER)
        spent = spent_outputs(transfer)
        own = [_keys_of(claims.key_paths, self._fingerprint) for claims in transfer.inputs]
        if not any(own):
            raise SignerRefused(fingerprint=self._fingerprint.hex(), reason="no input names its key")
        threshold, members = quorum_of(transfer)
        sent = prepare(transfer, self._device.kind).to_base64()
        answer = self._ask(Operation.SIGN, sent, threshold=threshold, members=members)
        found = self._signatures(transfer, answer.result, own)
        sighashes = Sighashes(transfer.transaction, spent.__getitem__)
        inputs = []
        for index, (claims, signatures) in enumerate(zip(transfer.inputs, found, strict=True)):
            for key, signature in signatures.items():
                self._check(sighashes, index, claims, key, signature)
            both = dict(claims.signatures) | signatures
            inputs.append(replace(claims, signatures=tuple(sorted(both.items()))))
        return replace(transfer, inputs=tuple(inputs)).to_psbt()

    def _signatures(self, transfer: TransferPsbt, text: str, own: list[frozenset[bytes]]) -> list[dict[bytes, bytes]]:
        """By input, the signatures in what came back: all by this device's keys, and one for each of them."""
        returned = self._returned(text)
        if returned.unsigned_transaction.stripped() != transfer.transaction.stripped():
            raise self._nonsense("another transaction than the one to be signed")
        found = [dict(fields.of_type(InputField.PARTIAL_SIG)) for fields in returned.inputs]
        if not any(found):
            raise self._nonsense("it reports success and returned no signature")
        for index, (signatures, keys) in enumerate(zip(found, own, strict=True)):
            if not signatures.keys() <= keys:
                raise self._nonsense(f"a signature on input {index} by a key that is not its own")
            if signatures.keys() != keys:
                raise self._nonsense(f"it signed other inputs and left out input {index}")
        return found

    def _returned(self, text: str) -> Psbt:
        try:
            return Psbt.from_base64(text)
        except (InvalidInput, Refused) as error:
            raise self._nonsense(f"no PSBT ({error.code})") from None

    def _check(self, sighashes: Sighashes, index: int, claims: ProfileInput, key: bytes, signature: bytes) -> None:
        lock = lock_of(claims)
        problem = (
            "there is no such script" if lock is None else lock.fault(key, lock.digest(sighashes, index), signature)
        )
        if problem is not None:
            raise self._nonsense(f"a wrong signature on input {index}: {problem}")

    def _ask(
        self,
        operation: Operation,
        subject: str,
        vault: Vault | None = None,
        *,
        threshold: int = 0,
        members: tuple[bytes, ...] = (),
    ) -> DeviceAnswer:
        if vault is not None:
            threshold, members = vault.threshold, tuple(sorted(each.fingerprint for each in vault.cosigners))
        request = DeviceRequest(
            operation=operation,
            device=self._device.type,
            path=self._device.path,
            network=self._network,
            fingerprint=self._fingerprint,
            subject=subject,
            threshold=threshold,
            members=members,
            seconds=self._program.patience.of(operation),
        )
        answer = self._program.ask(request, is_emulator=self._device.is_emulator)
        if answer.fingerprint and answer.fingerprint != self._fingerprint:
            actual, expected = answer.fingerprint.hex(), self._fingerprint.hex()
            raise DeviceMismatch(device=str(self._device), expected=expected, actual=actual)
        if checked(answer, self._device).fingerprint != self._fingerprint:
            raise self._nonsense("no fingerprint")
        return answer

    def _nonsense(self, problem: str) -> SignerProtocol:
        return SignerProtocol(device=str(self._device), problem=problem)


# --- finding ----------------------------------------------------------------------------------------------------------


def find_devices(
    network: Network, types: Collection[Device] = ALL_TYPES, *, program: Program = _PROGRAM
) -> Iterator[Found]:
    """What is plugged in, one type after another; nothing hides anything else, since each type has its own process.

    An emulator is looked for at its path, or at its usual one. Raises nothing of a device: what went wrong stands in
    `Found.problem`.
    """
    for wanted in types:
        device = _placed(wanted)
        try:
            entries = _list(device, network, program)
        except CustodyError as error:
            yield Found(device, "", None, error)
            continue
        for each in entries:
            at = device.at(each.path)
            problem = None if each.fault is None else error_of(each.fault, str(at), each.reason)
            yield Found(at, each.model, each.fingerprint or None, problem)


def open_device(
    device: Device, network: Network, wanted: Collection[bytes] = (), *, program: Program = _PROGRAM
) -> HwiSigner:
    """The one device that is meant. `wanted` are fingerprints (4 bytes) of which it must have one, or none for any.

    Raises:
        DeviceNotFound: there is none.
        DeviceAmbiguous: there are several, and `wanted` does not tell them apart.
        DeviceMismatch: what there is has none of those fingerprints.
        DeviceEmulated: an emulator, and coins of the main network.
    """
    _refuse_emulator(device, network)
    device = _placed(device)
    if not device.path:
        device = _choose(device, list(find_devices(network, (device,), program=program)), wanted)
    request = request_of(Operation.OPEN, device, network, program)
    answer = checked(program.ask(request, is_emulator=device.is_emulator), device)
    if not answer.fingerprint:
        raise SignerProtocol(device=str(device), problem="no fingerprint")
    if wanted and answer.fingerprint not in wanted:
        expected = " or ".join(sorted(each.hex() for each in wanted))
        raise DeviceMismatch(device=str(device), expected=expected, actual=answer.fingerprint.hex())
    return HwiSigner(device, answer.fingerprint, network, program)


def read_cosigner(
    device: Device,
    name: str,
    script_type: ScriptType,
    network: Network,
    *,
    account: int = 0,
    program: Program = _PROGRAM,
) -> Cosigner:
    """The cosigner whose key `device` holds, for a new vault: its BIP 48 account key with its origin.

    For `custody vault create --device TYPE[=PATH]`, once for each device, one after another.

    Raises:
        CustodyError: as `open_device` and `HwiSigner.account_key`; PathNonstandard, TextForbidden as `Cosigner`.
    """
    signer = open_device(device, network, program=program)
    origin, key = signer.account_key(account_path(script_type, network, account))
    return Cosigner(name, origin, key)


def stated_device(
    device: Device, fingerprint: bytes, network: Network, *, program: Program = _PROGRAM
) -> CosignerDevice:
    """What a charter can say of the device with this fingerprint: maker and nonces by its type, model by its driver.

    A draft for people to correct. Where the driver lists no such device, the type stands for the model.

    Raises:
        TextForbidden: the driver's name for the model could lie on a screen.
    """
    found = find_devices(network, (device,), program=program)
    model = next((each.model for each in found if each.fingerprint == fingerprint), "")
    kind = device.kind
    return CosignerDevice(
        fingerprint=fingerprint, maker=kind.maker, model=model or kind.name, is_deterministic=kind.is_deterministic
    )


def vault_signer(device: Device, vault: Vault, *, program: Program = _PROGRAM) -> HwiSigner:
    """The device of this type that holds a key of `vault`, for `Station.sign`.

    For `custody-station sign --device TYPE[=PATH]`; with `--emulator`, `device` says so. Print `HwiSigner.notes` of the
    PSBT before it is asked to sign.

    Raises:
        CustodyError: as `open_device`.
    """
    wanted = tuple(each.fingerprint for each in vault.cosigners)
    return open_device(device, vault.network, wanted, program=program)


def _choose(device: Device, found: list[Found], wanted: Collection[bytes]) -> Device:
    """The one of `found` that is meant. One that is locked or broken is told of when no other will do."""
    usable = [each for each in found if each.fingerprint is not None]
    fitting = [each for each in usable if not wanted or each.fingerprint in wanted]
    if len(fitting) > 1:
        paths = ", ".join(each.device.path for each in fitting)
        raise DeviceAmbiguous(device=device.type, count=len(fitting), paths=paths)
    if fitting:
        return fitting[0].device
    problem = next((each.problem for each in found if each.problem is not None), None)
    if problem is not None:
        raise problem
    if usable:
        return usable[0].device
    raise DeviceNotFound(device=f"a {device.type}", reason="none is plugged in")


def _list(device: Device, network: Network, program: Program) -> tuple[FoundDevice, ...]:
    request = request_of(Operation.LIST, device, network, program)
    return checked(program.ask(request, is_emulator=device.is_emulator), device).found


def request_of(
    operation: Operation, device: Device, network: Network, program: Program, subject: str = ""
) -> DeviceRequest:
    """What is asked of a device whose fingerprint nobody knows yet."""
    return DeviceRequest(
        operation=operation,
        device=device.type,
        path=device.path,
        network=network,
        fingerprint=b"",
        subject=subject,
        threshold=0,
        members=(),
        seconds=program.patience.of(operation),
    )


def checked(answer: DeviceAnswer, device: Device) -> DeviceAnswer:
    """`answer`, unless it is a fault: that is raised as the error it stands for."""
    if answer.fault is not None:
        raise error_of(answer.fault, str(device), answer.reason)
    return answer


def _placed(device: Device) -> Device:
    """An emulator at the path that hwilib finds it by; anything else as it is."""
    return device.at(device.kind.emulator_path(device.path)) if device.is_emulator else device


def _keys_of(key_paths: tuple[tuple[bytes, KeyPath], ...], fingerprint: bytes) -> frozenset[bytes]:
    return frozenset(key for key, path in key_paths if path.fingerprint == fingerprint)


def _refuse_emulator(device: Device, network: Network) -> None:
    if device.is_emulator and network is Network.MAIN:
        raise DeviceEmulated(device=str(device), network=network.value)
