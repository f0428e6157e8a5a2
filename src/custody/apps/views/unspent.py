"""How do the chain's unspent outputs read, and where the log does not agree with them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from custody.apps.terminal import JsonValue
from custody.apps.unspent import Difference, Owner, Scan, Told, Unspent
from custody.apps.views.layout import Data, bitcoin, counted, table
from custody.bitcoin.script import address
from custody.history.holdings import holding
from custody.history.questions import History

_RIGHT: Final = frozenset({1, 2, 3})


def found_data(coin: Unspent, known: Mapping[bytes, Owner], history: History) -> Data:
    """An unspent output for a program; `known` says whose each script is."""
    owner = known[coin.output.script_pubkey]
    return {
        "vault": owner.vault,
        "branch": owner.branch,
        "index": owner.index,
        "amount": coin.output.amount,
        "address": address(coin.output.script_pubkey, history.charter.network),
        "outpoint": str(coin.outpoint),
        "height": coin.height,
        "is_coinbase": coin.is_coinbase,
        "is_in_log": holding(history, coin.outpoint) is not None,
    }


def scan_text(found: Scan, known: Mapping[bytes, Owner], history: History) -> str:
    """All of them for a person."""
    head = (
        f"height {found.height}: {counted(len(found.outputs), 'coin')} of {bitcoin(found.total)} "
        f"on {len(known)} addresses"
    )
    rows = [("vault", "place", "amount", "height", "coin", "")]
    for each in found.outputs:
        owner = known[each.output.script_pubkey]
        note = "" if holding(history, each.outpoint) is not None else "not in the log"
        rows.append(
            (
                owner.vault,
                f"{owner.branch}/{owner.index}",
                bitcoin(each.output.amount),
                str(each.height),
                str(each.outpoint),
                note,
            )
        )
    return "\n".join([head, *(table(rows, _RIGHT) if found.outputs else [])])


def difference_data(each: Difference) -> Data:
    """One difference for a program."""
    return {
        "what": each.what.value,
        "outpoint": str(each.outpoint),
        "vault": each.owner.vault,
        "branch": each.owner.branch,
        "index": each.owner.index,
        "in_log": _told_data(each.logged),
        "on_chain": _told_data(each.found),
    }


def differences_table(listed: Sequence[Difference]) -> str:
    """Every difference for a person, a line each."""
    rows = [
        (
            each.owner.vault,
            f"{each.owner.branch}/{each.owner.index}",
            _told_text(each.logged),
            _told_text(each.found),
            str(each.outpoint),
            each.what.value,
        )
        for each in listed
    ]
    return "\n".join(table([("vault", "place", "in the log", "on chain", "coin", "what"), *rows], _RIGHT))


def _told_data(told: Told | None) -> JsonValue:
    return None if told is None else {"amount": told.amount, "height": told.height}


def _told_text(told: Told | None) -> str:
    return "-" if told is None else f"{bitcoin(told.amount)} at {told.height}"
