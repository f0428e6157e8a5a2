"""Which vaults may exist: a closed list of scripts, the paths that belong to each, and how many keys they take.

A vault is one of these templates or nothing. There is no miniscript here: a script nobody has checked by hand may be
spent in a way its text does not show, or never again (THREATS C6, C7).

The limits, and why:

- At least 2 of at least 2 keys. With 1 of n a single person, or a single stolen device, moves everything; that is no
  multi-signature custody whatever n is.
- At most 15 keys: the most that every signing device in use registers, although consensus allows 20 in `wsh`.
- Keys come from `m/48h/COINh/ACCOUNTh/SCRIPTh` (BIP 48; script 1 is sh(wsh), 2 is wsh) or `m/87h/COINh/ACCOUNTh`
  (BIP 87, for any script), every step hardened, so that a leaked child key does not reach the account next to it and
  any wallet finds the coins again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from custody.bitcoin.script import NetworkMismatch
from custody.errors import InvalidInput
from custody.units import HARDENED, Network
from custody.vault.keys import Cosigner, PathNonstandard, show_path

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
        "Use wsh(sortedmulti(k,KEYS)) or sh(wsh(sortedmulti(k,KEYS))) with 2 <= k <= n <= 15, "
        "each key written [fingerprint/path]xpub/<0;1>/*."
    )
    problem: str


class ScriptType(StrEnum):
    """How a vault's sorted multi-signature script (BIP 67) is wrapped."""

    WSH = "wsh"
    SH_WSH = "sh-wsh"

    @property
    def opening(self) -> str:
        """What stands before the threshold in its descriptor."""
        return "wsh(sortedmulti(" if self is ScriptType.WSH else "sh(wsh(sortedmulti("

    @property
    def closing(self) -> str:
        """What stands after the last key in its descriptor."""
        return ")" * self.opening.count("(")

    @property
    def bip48_script(self) -> int:
        """Raw child number of the fourth step of its BIP 48 paths."""
        return HARDENED + (2 if self is ScriptType.WSH else 1)


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
            actual=_networks_of(cosigner.key.network_version),
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


_MAIN: Final = "the main network"
_TEST: Final = "test networks"
_COINS: Final = {HARDENED: _MAIN, HARDENED + 1: _TEST}


def _networks_of(xpub_version: bytes) -> str:
    return _MAIN if xpub_version == Network.MAIN.xpub_version else _TEST
