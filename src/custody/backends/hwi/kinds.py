"""What does each kind of device want of a PSBT, and what will it ask of its holder?

What stands here was seen with the vendors' firmware in their emulators, driven through hwilib 3.2.0. A kind nobody has
tried gets the plain form: version 0, account keys, previous transactions. Every PSBT is version 0 (some drivers refuse
2), carries no signature (some devices then sign nothing, others sign again) and every previous transaction, although
some devices could do without: it is how a device knows amounts by itself.

Nothing here talks to a device, and no check of a device is relied upon: three of five signed a forged change output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from custody.backends.hwi.errors import DeviceUnsupported, SignerProtocol
from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import AddressInvalid, NetworkMismatch, read_multisig, script_of
from custody.charter.makers import maker_called
from custody.units import Network
from custody.vault.descriptor import Vault
from custody.vault.keys import show_path
from custody.vault.templates import ScriptType


class AccountKeys(Enum):
    """What a kind of device makes of the vault's xpubs in a PSBT (PSBT_GLOBAL_XPUB)."""

    NEEDED = "needed"
    """Without them it fails, or signs nothing and says that it signed."""
    WELCOME = "welcome"
    """With them it recognises change; it signs without."""
    HARMFUL = "harmful"
    """They may start a registration on its screen that its driver waits for without end."""


class Registration(Enum):
    """When a kind of device registers a vault."""

    BY_FILE = "by file"
    """Before anything else, from a text file; it then shows and signs only what it knows."""
    WHEN_USED = "when used"
    """Once, by itself, when it first shows an address or signs."""
    ON_ADDRESS = "on address"
    """Once, when it first shows an address; it signs without."""
    EVERY_TIME = "every time"
    """At every use again, once for each order of the keys."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """One kind of device. `name` is hwilib's.

    `is_deterministic` says that its firmware signs by RFC 6979, low-R grinding by a counter included: read in the
    vendor's published code, not tried; `signs_again` is False where a payment that was just signed is refused until
    the device is unplugged, so that it cannot be asked twice. `emulator` is where its vendor's emulator listens unless
    told otherwise, `scheme` what stands before a network address there. `max_psbt` is the largest PSBT in bytes that
    its firmware takes.
    """

    name: str
    account_keys: AccountKeys
    registration: Registration
    is_deterministic: bool = False
    max_psbt: int | None = None
    signs_again: bool = True
    emulator: str = ""
    scheme: str = ""

    @property
    def maker(self) -> str:
        """Who makes it, as a charter says it."""
        return maker_called(self.name)

    def emulator_path(self, path: str) -> str:
        """`path` as hwilib spells this kind's emulator, or its usual place when `path` is empty."""
        if not path or not self.emulator:
            return path or self.emulator
        return self.scheme + re.sub(r"^(tcp|udp):", "", path) if ":" in path else path


_MEGABYTE: Final = 1024 * 1024

KINDS: Final = (
    # Its nonces hold what the computer adds, so that they can leak nothing: never the same twice.
    DeviceKind("bitbox02", AccountKeys.NEEDED, Registration.WHEN_USED, emulator="127.0.0.1:15423"),
    DeviceKind(
        "coldcard",
        AccountKeys.HARMFUL,
        Registration.BY_FILE,
        is_deterministic=True,
        max_psbt=2 * _MEGABYTE,  # Coldcard firmware, MAX_TXN_LEN_MK4
        emulator="/tmp/ckcc-simulator.sock",  # noqa: S108 - where the vendor's emulator listens
    ),
    DeviceKind(
        "jade",
        AccountKeys.WELCOME,
        Registration.ON_ADDRESS,
        is_deterministic=True,
        emulator="tcp:127.0.0.1:30121",
        scheme="tcp:",
    ),
    DeviceKind(
        "keepkey",
        AccountKeys.WELCOME,
        Registration.NEVER,
        signs_again=False,  # KeepKey firmware, transaction.c: "Already signed a tx with the same outputs"
        emulator="udp:127.0.0.1:11044",
        scheme="udp:",
    ),
    DeviceKind(
        "ledger",
        AccountKeys.NEEDED,
        Registration.EVERY_TIME,
        is_deterministic=True,
        emulator="tcp:127.0.0.1:9999",
        scheme="tcp:",
    ),
    DeviceKind(
        "trezor",
        AccountKeys.WELCOME,
        Registration.NEVER,
        is_deterministic=True,
        emulator="udp:127.0.0.1:21324",
        scheme="udp:",
    ),
)
"""The kinds that were tried, by name."""


def kind_of(name: str) -> DeviceKind:
    """The kind called `name`; the plain form for one that was never tried."""
    return next(
        (each for each in KINDS if each.name == name), DeviceKind(name, AccountKeys.WELCOME, Registration.NEVER)
    )


def prepare(transfer: TransferPsbt, kind: DeviceKind) -> Psbt:
    """The PSBT of `transfer` as a device of this kind wants it.

    Raises:
        DeviceUnsupported: it needs what is not there, or the PSBT is too large for it, or it is for another kind of
            script than segwit v0 multi-signature.
    """
    for index, claims in enumerate(transfer.inputs):
        if read_multisig(claims.witness_script) is None:
            raise DeviceUnsupported(device=kind.name, reason=f"input {index} is not a segwit v0 multi-signature input")
    if kind.account_keys is AccountKeys.NEEDED and not transfer.account_keys:
        raise DeviceUnsupported(device=kind.name, reason="it needs the vault's account keys, and the PSBT has none")
    account_keys = () if kind.account_keys is AccountKeys.HARMFUL else transfer.account_keys
    unsigned = tuple(replace(claims, signatures=()) for claims in transfer.inputs)
    psbt = replace(transfer, account_keys=account_keys, inputs=unsigned).to_psbt()
    size = 0 if kind.max_psbt is None else len(psbt.serialize())
    if kind.max_psbt is not None and size > kind.max_psbt:
        reason = f"the PSBT has {size} bytes and it takes {kind.max_psbt}; send fewer inputs at once"
        raise DeviceUnsupported(device=kind.name, reason=reason)
    return psbt


def quorum_of(transfer: TransferPsbt) -> tuple[int, tuple[bytes, ...]]:
    """Threshold and cosigners' fingerprints (sorted) of the vault that the first input spends from."""
    claims = transfer.inputs[0]
    found = read_multisig(claims.witness_script)
    threshold = 0 if found is None else found[0]
    return threshold, tuple(sorted(path.fingerprint for _, path in claims.key_paths))


def notes(transfer: TransferPsbt, kind: DeviceKind, network: Network) -> tuple[str, ...]:
    """What the device will show or ask that its holder does not expect: sentences to print before it is asked."""
    said = []
    if kind.registration is Registration.EVERY_TIME:
        orders = len({tuple(path.fingerprint for _, path in claims.key_paths) for claims in transfer.inputs})
        said.append(
            f"The {kind.name} asks to register the vault {_times(orders)} and shows the whole transfer each time: "
            "approve all of them."
        )
    if kind.registration is Registration.WHEN_USED:
        said.append(f"The {kind.name} asks once to register this vault and to name it, if it does not know it yet.")
    if kind.registration in {Registration.NEVER, Registration.ON_ADDRESS}:
        said.append(f"The {kind.name} signs for vaults it was never told of: compare every output with the station's.")
    if not kind.signs_again:
        said.append(
            f"The {kind.name} refuses a payment like the one it signed last: unplug it before you ask for one again."
        )
    if network is Network.REGTEST and kind.name != "jade":
        said.append(
            f"The {kind.name} shows regtest addresses as tb1...; the part after the first 1 is the same script."
        )
    return tuple(said)


def address_descriptor(vault: Vault, branch: int, index: int) -> str:
    """The descriptor of one address, without checksum: what hwilib's drivers take.

    Cosigners stand in the order of their serialized keys, as in our PSBTs, so that a device sees one order of a vault.

    Raises:
        DeviceUnsupported: a taproot vault.
    """
    _refuse_taproot(vault)
    cosigners = sorted(vault.cosigners, key=lambda each: each.key.to_bytes())
    keys = ",".join(f"{cosigner.expression()}/{branch}/{index}" for cosigner in cosigners)
    before, after = vault.script_type.outline
    return f"{before}{vault.threshold},{keys}{after}"


_LABEL: Final = re.compile(r"[A-Za-z0-9 ._-]{1,20}")


def enrolment_text(vault: Vault, name: str) -> str:
    """What a Coldcard enrols a vault from. Source: Coldcard documentation, multisig wallet file.

    Raises:
        DeviceUnsupported: the name is not 1 to 20 plain letters, digits, blanks, dots, dashes and underscores; or a
            taproot vault.
    """
    _refuse_taproot(vault)
    if _LABEL.fullmatch(name) is None:
        raise DeviceUnsupported(device="coldcard", reason="a vault's name there has 1 to 20 plain letters and digits")
    script = "P2WSH" if vault.script_type is ScriptType.WSH else "P2SH-P2WSH"
    lines = [f"Name: {name}", f"Policy: {vault.threshold} of {len(vault.cosigners)}", f"Format: {script}", ""]
    for cosigner in vault.cosigners:
        path = show_path(cosigner.origin.path).replace("h", "'")
        lines += [f"Derivation: m{path}", f"{cosigner.fingerprint.hex().upper()}: {cosigner.key}"]
    return "\n".join(lines) + "\n"


def shown_script(shown: str, network: Network, device: str) -> bytes:
    """The locking script of an address that a device showed. On regtest most show the same script as tb1.

    Raises:
        SignerProtocol: it is no address of this network.
    """
    alike = (network, Network.TESTNET4) if network is Network.REGTEST else (network,)
    for each in alike:
        try:
            return script_of(shown, each)
        except (AddressInvalid, NetworkMismatch):
            continue
    raise SignerProtocol(device=device, problem=f"no address of {network} where one was to be shown")


def _refuse_taproot(vault: Vault) -> None:
    # One vendor's experimental firmware signs for it, but hwilib 3.2.0 has no form for such a vault.
    if vault.script_type is ScriptType.TR:
        raise DeviceUnsupported(device="hwilib", reason="it cannot describe a taproot vault to a device")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
