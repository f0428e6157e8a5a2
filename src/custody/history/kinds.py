"""Which kinds of entries are there?

charter_adopted ; annexed ; address_issued ; erased ; state_sealed
chain_seen ; deposit_seen -> coin_matured, deposit_reversed ; unexplained_spend
requested -> drafted -> decided -> approved... -> authorized -> signing_requested -> signed... -> combined
-> verified -> released -> broadcast -> spend_seen -> confirmed, unconfirmed ; withdrawn, ended
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from custody.history.entry import AnyKind
from custody.history.on.annex import ANNEXED, ERASED
from custody.history.on.chain import (
    CHAIN_SEEN,
    COIN_MATURED,
    DEPOSIT_REVERSED,
    DEPOSIT_SEEN,
    UNEXPLAINED_SPEND,
)
from custody.history.on.charter import ADDRESS_ISSUED, CHARTER_ADOPTED, STATE_SEALED
from custody.history.on.settlement import BROADCAST, CONFIRMED, RELEASED, SPEND_SEEN, UNCONFIRMED
from custody.history.on.signing import COMBINED, SIGNED, SIGNING_REQUESTED, VERIFIED
from custody.history.on.transfer import APPROVED, AUTHORIZED, DECIDED, DRAFTED, ENDED, REQUESTED, WITHDRAWN

__all__ = [
    "ADDRESS_ISSUED",
    "ALL",
    "ANNEXED",
    "APPROVED",
    "AUTHORIZED",
    "BROADCAST",
    "BY_NAME",
    "CHAIN_SEEN",
    "CHARTER_ADOPTED",
    "COIN_MATURED",
    "COMBINED",
    "CONFIRMED",
    "DECIDED",
    "DEPOSIT_REVERSED",
    "DEPOSIT_SEEN",
    "DRAFTED",
    "ENDED",
    "ERASED",
    "RELEASED",
    "REQUESTED",
    "SIGNED",
    "SIGNING_REQUESTED",
    "SPEND_SEEN",
    "STATE_SEALED",
    "UNCONFIRMED",
    "UNEXPLAINED_SPEND",
    "VERIFIED",
    "WITHDRAWN",
]

ALL: Final[tuple[AnyKind, ...]] = (
    CHARTER_ADOPTED,
    ANNEXED,
    ADDRESS_ISSUED,
    ERASED,
    STATE_SEALED,
    CHAIN_SEEN,
    DEPOSIT_SEEN,
    DEPOSIT_REVERSED,
    COIN_MATURED,
    UNEXPLAINED_SPEND,
    REQUESTED,
    DRAFTED,
    DECIDED,
    APPROVED,
    WITHDRAWN,
    AUTHORIZED,
    SIGNING_REQUESTED,
    SIGNED,
    COMBINED,
    VERIFIED,
    RELEASED,
    BROADCAST,
    SPEND_SEEN,
    CONFIRMED,
    UNCONFIRMED,
    ENDED,
)
BY_NAME: Final[Mapping[str, AnyKind]] = {str(kind): kind for kind in ALL}
