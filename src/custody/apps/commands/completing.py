"""Which ids and names does this coordinator's store hold, for a shell that completes them?

Read once, without waiting for anybody and without mending anything; what cannot be read offers nothing. The newest come
first. Names are those of the pinned charter: its bytes are compared with the digest, and not read any further.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import click

from custody.apps.completion import Kind, named_in
from custody.apps.config import folders
from custody.apps.coordinator import LEAST_PREFIX, NEWEST
from custody.backends.sql import open_store
from custody.charter.document import Charter, refuse_other_charter
from custody.history import tables
from custody.history.questions import History
from custody.history.rows import Named, Table
from custody.history.state import State

MOST: Final = 20
"""Ids offered at once; whoever wants an older one types its first digits."""
_SHOWN: Final = 12
"""Digits of an id that is offered where they are enough."""


def names(kind: Kind, context: click.Context, begun: str) -> list[tuple[str, str]]:
    """What of a kind begins so, and a word about it."""
    del context
    where = folders()
    settings = where.settings()
    # Whoever reads beside a journal would take back what somebody was writing, which is a change.
    if where.store.with_name(f"{where.store.name}-journal").exists():
        return []
    with open_store(where.store, where.network, busy_seconds=0).read() as view:
        history = History(State.over(view.rows(), settings.charter))
        if kind is Kind.TRANSFER:
            return list(_ids(history, begun, tables.TRANSFERS, tables.DRAFTED))
        if kind is Kind.REQUEST:
            return list(_ids(history, begun, tables.REQUESTS, tables.ASKED))
        envelope = history.charter_envelope
        refuse_other_charter(Charter.digest_of(envelope.body), settings.charter)
        return named_in(envelope.body, kind, begun)


def _ids(history: History, begun: str, by_id: Table[Any], in_order: Table[Named]) -> Iterator[tuple[str, str]]:
    prefix = begun.lower()
    if prefix == "":
        newest = (row.value for _, row in history.state.scan(in_order, backwards=True))
        found = [each.hex() for each in islice(newest, MOST)]
    elif set(prefix) <= set("0123456789abcdef"):
        whole = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
        keys = (key.hex() for key, _ in history.state.under(by_id, whole))
        found = list(islice((each for each in keys if each.startswith(prefix)), MOST))
    else:
        found = []
    if NEWEST.startswith(prefix) and (found or prefix):
        yield NEWEST, "the last one"
    digits = max(_SHOWN, len(prefix), LEAST_PREFIX)
    heads = [each[:digits] for each in found]
    for head, each in zip(heads, found, strict=True):
        about = str(history.transfer(bytes.fromhex(each)).status) if by_id is tables.TRANSFERS else "request"
        yield (each if heads.count(head) > 1 else head), about
