"""Which vaults may exist: a closed list of scripts, how each locks coins, its paths, and how many keys it takes.

A vault is one of these templates or nothing. There is no miniscript here: a script nobody has checked by hand may be
spent in a way its text does not show, or never again (THREATS C6, C7).

The limits, and why:

- At least 2 of at least 2 keys. With 1 of n a single person, or a single stolen device, moves everything; that is no
  multi-signature custody whatever n is.
- At most 15 keys: the most that every signing device in use registers, although consensus allows 20 in `wsh`.
- Keys come from `m/48h/COINh/ACCOUNTh/SCRIPTh` (BIP 48; script 1 is sh(wsh), 2 is wsh, and 3 is by custom tr) or
  `m/87h/COINh/ACCOUNTh` (BIP 87, for any script), every step hardened, so that a leaked child key does not reach the
  account next to it and any wallet finds the coins again.

Sources: BIP 67 (sorting), BIP 383 (sortedmulti), BIP 386 and 387 (tr, sortedmulti_a).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Protocol

from custody.bitcoin import curve
from custody.bitcoin.lock import Lock, TapLeaf, WitnessScript
from custody.bitcoin.script import NetworkMismatch, multisig_a_script, multisig_script, p2tr
from custody.bitcoin.sighash import tap_leaf_hash
from custody.bitcoin.taproot import UNSPENDABLE_FINGERPRINT, output_keys
from custody.errors import InvalidInput
from custody.units import HARDENED, Network
from custody.vault.internal_key import internal_path
from custody.vault.keys import (
    MAIN_NETWORK,
    TEST_NETWORKS,
    AccountKey,
    Cosigner,
    PathNonstandard,
    branches_of,
    networks_of,
    show_path,
)

MIN_THRESHOLD: Final = 2
MAX_KEYS: Final = 15

_BIP48: Final = 48 + HARDENED
_BIP87: Final = 87 + HARDENED
_COIN: Final = 1
_SCRIPT: Final = 3


class TemplateRefused(InvalidInput, code="TEMPLATE"):
    """A descriptor, threshold or number of keys that is none of the templates."""

    message = "not a vault template: {problem}"
    hint = (
        "Use wsh(sortedmulti(k,KEYS)), sh(wsh(sortedmulti(k,KEYS))) or tr(xpub/<0;1>/*,sortedmulti_a(k,KEYS)) with "
        "2 <= k <= n <= 15, each key written [fingerprint/path]xpub/<0;1>/*."
    )
    problem: str


class ScriptType(StrEnum):
    """What locks a vault's coins: its sorted multi-signature script in one of these wrappings."""

    WSH = "wsh"
    SH_WSH = "sh-wsh"
    TR = "tr"

    @property
    def outline(self) -> tuple[str, str]:
        """What stands before the threshold and after the last key in its descriptor; {} is where an internal key is."""
        return _OUTLINES[self]

    @property
    def bip48_script(self) -> int:
        """Raw child number of the fourth step of its BIP 48 paths."""
        return HARDENED + _BIP48_SCRIPTS[self]


_OUTLINES: Final = {
    ScriptType.WSH: ("wsh(sortedmulti(", "))"),
    ScriptType.SH_WSH: ("sh(wsh(sortedmulti(", ")))"),
    ScriptType.TR: ("tr({},sortedmulti_a(", "))"),
}
_BIP48_SCRIPTS: Final = {ScriptType.SH_WSH: 1, ScriptType.WSH: 2, ScriptType.TR: 3}


class Template(Protocol):
    """How a vault locks coins, once its keys at a place are known. Keys are compressed (33 bytes), in any order."""

    def lock(self, branch: int, index: int, keys: Sequence[bytes]) -> Lock:
        """The lock of these keys at this place."""

    def scripts(self, branch: int, start: int, columns: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The locking scripts from index `start` on, for many at once: each cosigner's keys are a column."""

    @property
    def unheld_accounts(self) -> tuple[tuple[bytes, tuple[int, ...]], ...]:
        """Fingerprints and account paths of the keys in its locks that nobody holds."""


@dataclass(frozen=True, slots=True)
class SegwitTemplate:
    """`threshold` of the sorted keys in a witness script, inside P2SH when `is_nested`. A `Template`."""

    threshold: int
    is_nested: bool
    unheld_accounts: ClassVar[tuple[tuple[bytes, tuple[int, ...]], ...]] = ()

    def lock(self, branch: int, index: int, keys: Sequence[bytes]) -> Lock:  # noqa: ARG002 - every place is alike
        return WitnessScript(multisig_script(self.threshold, sorted(keys)), self.is_nested)

    def scripts(self, branch: int, start: int, columns: Sequence[Sequence[bytes]]) -> list[bytes]:
        return [self.lock(branch, start, keys).script_pubkey for keys in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class TaprootTemplate:
    """`threshold` of the sorted keys in the only leaf under an internal key. A `Template`.

    `internal` are the parents of the internal keys of the two branches.
    """

    threshold: int
    internal: tuple[curve.ParentKey, curve.ParentKey]
    unheld_accounts: ClassVar[tuple[tuple[bytes, tuple[int, ...]], ...]] = ((UNSPENDABLE_FINGERPRINT, ()),)

    def lock(self, branch: int, index: int, keys: Sequence[bytes]) -> Lock:
        internal_key = self.internal[branch].child(index)[1:]
        return TapLeaf(self._script(keys), internal_key, internal_path(branch, index))

    def scripts(self, branch: int, start: int, columns: Sequence[Sequence[bytes]]) -> list[bytes]:
        leaves = [tap_leaf_hash(self._script(keys)) for keys in zip(*columns, strict=True)]
        internal = self.internal[branch].children(start, start + len(leaves))
        return [p2tr(key) for key in output_keys([key[1:] for key in internal], leaves)]

    def _script(self, keys: Sequence[bytes]) -> bytes:
        return multisig_a_script(self.threshold, sorted([key[1:] for key in keys]))


def account_path(script_type: ScriptType, network: Network, account: int = 0) -> tuple[int, ...]:
    """m/48h/COINh/ACCOUNTh/SCRIPTh, raw child numbers: where a cosigner's key for a vault is taken from (BIP 48)."""
    return (_BIP48, network.coin_type + HARDENED, account + HARDENED, script_type.bip48_script)


def template_of(script_type: ScriptType, threshold: int, internal_key: AccountKey | None) -> Template:
    """How vaults of this type and threshold lock coins.

    Raises:
        TemplateRefused: an internal key is missing, or given where the script has none.
    """
    if (internal_key is not None) != (script_type is ScriptType.TR):
        raise TemplateRefused(problem="tr has an internal key, and no other script has one")
    if internal_key is not None:
        return TaprootTemplate(threshold, branches_of(internal_key))
    return SegwitTemplate(threshold, script_type is ScriptType.SH_WSH)


def check_quorum(threshold: int, keys: int) -> None:
    """Check that `threshold` of `keys` keys is within the limits above.

    Raises:
        TemplateRefused: with the numbers.
    """
    if not 1 <= threshold <= keys:
        raise TemplateRefused(problem=f"{threshold} of {keys} keys can never be met")
    if threshold < MIN_THRESHOLD:
        raise TemplateRefused(problem=f"{threshold} of {keys} lets a single key holder move every coin")
    if keys > MAX_KEYS:
        raise TemplateRefused(problem=f"{keys} keys, where devices take {MAX_KEYS}")


def check_path(cosigner: Cosigner, script_type: ScriptType, network: Network) -> None:
    """Check that a cosigner's key belongs to `network` and stands on a path of `script_type`.

    Raises:
        NetworkMismatch: the xpub's version bytes or the coin type of its path (SLIP 44) are another network's.
        PathNonstandard: the path is neither BIP 48 for this script nor BIP 87.
    """
    if cosigner.key.network_version != network.xpub_version:
        raise NetworkMismatch(
            what=f"the key of {cosigner.label}",
            expected=str(network),
            actual=networks_of(cosigner.key.network_version),
        )
    path = cosigner.origin.path
    is_bip48 = len(path) == 4 and path[0] == _BIP48  # noqa: PLR2004
    is_bip87 = len(path) == 3 and path[0] == _BIP87  # noqa: PLR2004
    if not (is_bip48 or is_bip87) or any(step < HARDENED for step in path):
        raise PathNonstandard(whose=cosigner.label, problem=f"m{show_path(path)} is no BIP 48 or BIP 87 account path")
    if path[_COIN] != network.coin_type + HARDENED:
        raise NetworkMismatch(
            what=f"the coin type in m{show_path(path)} of {cosigner.label}",
            expected=str(network),
            actual=_COINS.get(path[_COIN], "another coin"),
        )
    if is_bip48 and path[_SCRIPT] != script_type.bip48_script:
        problem = (
            f"m{show_path(path)} is not for {script_type}, which has script {script_type.bip48_script - HARDENED}h"
        )
        raise PathNonstandard(whose=cosigner.label, problem=problem)


_COINS: Final = {HARDENED: MAIN_NETWORK, HARDENED + 1: TEST_NETWORKS}
