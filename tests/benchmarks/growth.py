"""Does any step of ours grow faster than the work? 10,000 inputs beside 1,000, in a process of its own.

In a process that has made and dropped millions of objects, new ones lie scattered over memory, and the processor waits
for ten thousand of them longer than for one thousand: that would be the other contests' doing.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from material import Transfer, any_weight, fresh, make_transfer
from measure import Racer, Row, always, contest
from plan import GROWTH, OBJECTS, STEPS, goals

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.transfer.signing import accept, combine, signing_psbt, with_signatures
from custody.transfer.verify import finalize
from custody.vault.descriptor import Branch
from custody.vault.ownership import read_ownership


def growth(laps: int) -> list[Row]:
    """The rows of our own steps."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        return other.submit(_grow, laps).result()


def _grow(laps: int) -> list[Row]:
    small, large = map(make_transfer, GROWTH)
    rows: list[Row] = []
    for step in STEPS:
        planned = goals(f"growth: {step}", large.size)
        with any_weight():
            racers = [_step(OBJECTS, large, step), _step(planned[0].peer, small, step)]
            rows += contest(planned, racers, laps)
    return rows


def _step(name: str, transfer: Transfer, step: str) -> Racer[object]:
    prepare, run = _STEPS[step](transfer)
    return Racer(name, prepare, run)


# Each makes, from a transfer, what it is prepared with and what is timed.
_Step = Callable[[Transfer], tuple[Callable[[], object], Callable[[object], object]]]
_STEPS: dict[str, _Step] = {
    "derive addresses": lambda t: (
        lambda: fresh(t.vault),
        lambda vault: vault.addresses(Branch.RECEIVE, 0, t.size),
    ),
    "make the PSBT for signers": lambda t: (
        lambda: fresh(t.vault),
        lambda vault: signing_psbt(t.drafted, vault, t.previous).to_psbt(),
    ),
    "parse": lambda t: (always(t.unsigned.serialize()), Psbt.parse),
    "read as a transfer": lambda t: (
        always(t.unsigned),
        lambda psbt: TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER),
    ),
    "check against the vault": lambda t: (
        lambda: fresh(t.vault),
        lambda vault: read_ownership(t.sent, vault),
    ),
    "sign with one key": lambda t: (always(t.unsigned), t.signers[0].sign),
    "accept one cosigner's signatures": lambda t: (
        lambda: fresh(t.vault),
        lambda vault: accept(t.returned[0], t.sent, t.drafted, vault, 0),
    ),
    "combine three": lambda t: (always(None), lambda _: combine(t.drafted, t.vault, t.signed, 0)),
    "write the combined PSBT": lambda t: (
        always(None),
        lambda _: with_signatures(t.combined.signatures, t.sent).to_psbt().serialize(),
    ),
    "finalize": lambda t: (lambda: fresh(t.vault), lambda vault: finalize(t.combined, t.drafted, vault)),
}
