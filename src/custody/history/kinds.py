"""Which kinds of entries are there?

charter_adopted -> past_closed ; annexed ; address_issued ; erased ; state_sealed
chain_seen ; deposit_seen -> came_early, coin_released, coin_matured, deposit_reversed
past_spend, unexplained_spend -> spend_reversed
requested -> drafted -> decided -> approved... -> authorized -> signing_requested -> signed... -> combined
-> verified -> released -> broadcast -> spend_seen -> confirmed, unconfirmed ; sent_early ; withdrawn, abandoned, ended
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from custody.history.entry import AnyKind
from custody.history.on.annex import ANNEXED, ERASED
from custody.history.on.chain import (
    CAME_EARLY,
    CHAIN_SEEN,
    COIN_MATURED,
    DEPOSIT_REVERSED,
    DEPOSIT_SEEN,
    PAST_CLOSED,
    PAST_SPEND,
    SPEND_REVERSED,
    UNEXPLAINED_SPEND,
)
from custody.history.on.charter import ADDRESS_ISSUED, CHARTER_ADOPTED, STATE_SEALED
from custody.history.on.coin import COIN_RELEASED
from custody.history.on.settlement import BROADCAST, CONFIRMED, RELEASED, SENT_EARLY, SPEND_SEEN, UNCONFIRMED
from custody.history.on.signing import COMBINED, SIGNED, SIGNING_REQUESTED, VERIFIED
from custody.history.on.transfer import ABANDONED, APPROVED, AUTHORIZED, DECIDED, DRAFTED, ENDED, REQUESTED, WITHDRAWN

__all__ = [
    "ABANDONED",
    "ADDRESS_ISSUED",
    "ALL",
    "ANNEXED",
    "APPROVED",
    "AUTHORIZED",
    "BROADCAST",
    "BY_NAME",
    "CAME_EARLY",
    "CHAIN_SEEN",
    "CHARTER_ADOPTED",
    "COIN_MATURED",
    "COIN_RELEASED",
    "COMBINED",
    "CONFIRMED",
    "DECIDED",
    "DEPOSIT_REVERSED",
    "DEPOSIT_SEEN",
    "DRAFTED",
    "ENDED",
    "ERASED",
    "PAST_CLOSED",
    "PAST_SPEND",
    "RELEASED",
    "REQUESTED",
    "SENT_EARLY",
    "SIGNED",
    "SIGNING_REQUESTED",
    "SPEND_REVERSED",
    "SPEND_SEEN",
    "STATE_SEALED",
    "UNCONFIRMED",
    "UNEXPLAINED_SPEND",
    "VERIFIED",
    "WITHDRAWN",
]

ALL: Final[tuple[AnyKind, ...]] = (
    CHARTER_ADOPTED,
    PAST_CLOSED,
    ANNEXED,
    ADDRESS_ISSUED,
    ERASED,
    STATE_SEALED,
    CHAIN_SEEN,
    DEPOSIT_SEEN,
    DEPOSIT_REVERSED,
    CAME_EARLY,
    COIN_MATURED,
    COIN_RELEASED,
    PAST_SPEND,
    UNEXPLAINED_SPEND,
    SPEND_REVERSED,
    REQUESTED,
    DRAFTED,
    DECIDED,
    APPROVED,
    WITHDRAWN,
    ABANDONED,
    AUTHORIZED,
    SIGNING_REQUESTED,
    SIGNED,
    COMBINED,
    VERIFIED,
    RELEASED,
    BROADCAST,
    SPEND_SEEN,
    SENT_EARLY,
    CONFIRMED,
    UNCONFIRMED,
    ENDED,
)
BY_NAME: Final[Mapping[str, AnyKind]] = {str(kind): kind for kind in ALL}
