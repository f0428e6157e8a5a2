"""How is each piece of work done by us, and how does it become rows?

Addresses, reading, signing, combining and finalising against the peers, coin selection against bitcoind's, and the
start of our programs. Our own steps against themselves are in `growth`; which rows there are, and their targets, is in
`plan`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from material import Transfer, derived, descriptor, fresh, make_transfer, make_vault
from measure import Racer, Row, always, contest, race
from node import Node
from peer_bitcoind import Bitcoind
from peers import Peer
from plan import (
    ADDRESSES,
    COINS,
    COMBINE,
    DERIVE,
    DERIVE_TR,
    FEW_ADDRESSES,
    FINALIZE,
    HELP,
    INSPECT,
    MANY_COINS,
    MANY_COINS_US,
    NEW_PROCESS,
    OBJECTS,
    PARSE,
    PLAN,
    SELECT,
    SIGN,
    SIZES,
    SMALL_REQUEST,
    STATION_HELP,
    TEXT,
    WRITE_COMBINED,
    goals,
)
from programs import Programs

from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import OutPoint, TxOut
from custody.testing.cast import payee_address, secret
from custody.transfer.selection import Selection, Terms, select_coins
from custody.transfer.signing import combine, with_signatures
from custody.transfer.verify import finalize
from custody.units import Network
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType

PAID = 300_000_000
"""Sats of the payment that coins are selected for: some 120 coins of 10,000 to 5,000,000 sat."""
RATE = 5_000
LONG_TERM_RATE = 10_000


class Course:
    """Everything that is raced, as rows. `node` is None where there is no bitcoind; `aged` are rows that are there."""

    def __init__(
        self, aged: list[Row], peers: Sequence[Peer], node: Node | None, programs: Programs, laps: int
    ) -> None:
        self._aged = aged
        self._bitcoind = [Bitcoind(node)] if node else []
        self._peers = [*peers, *self._bitcoind]
        self._node = node
        self._programs = programs
        self._laps = laps

    def rows(self) -> Iterator[list[Row]]:
        """The rows of one contest after another: those of the plan, and no others."""
        given: list[tuple[str, int, str, float | None]] = []
        for rows in self._contests():
            given += [(row.name, row.size, row.peer, row.target) for row in rows]
            yield rows
        assert given == [(goal.title, goal.size, goal.peer, goal.target) for goal in PLAN], "these are not the plan's"

    def _contests(self) -> Iterator[list[Row]]:
        yield self._aged
        vault, _ = make_vault()
        for count in (FEW_ADDRESSES, ADDRESSES):
            yield self._derive(DERIVE, vault, count, self._peers)
        yield self._derive(DERIVE_TR, make_vault(ScriptType.TR)[0], ADDRESSES, self._bitcoind)
        for size in SIZES:
            transfer = make_transfer(size)
            yield self._parse(transfer)
            yield self._sign(transfer)
            yield self._combine(transfer)
            yield self._write_combined(transfer)
            yield self._finalize(transfer)
        yield self._select(vault)
        yield self._select_many(vault)
        yield from self._start()

    def _derive(self, name: str, vault: Vault, count: int, peers: Sequence[Peer]) -> list[Row]:
        def run(vault: Vault) -> list[str]:
            return vault.addresses(Branch.RECEIVE, 0, count)

        theirs = [racer for peer in peers for racer in peer.derive(vault, count)]
        return self._rows(name, count, [Racer(OBJECTS, lambda: fresh(vault), run)], theirs)

    def _parse(self, transfer: Transfer) -> list[Row]:
        raw, text = transfer.unsigned.serialize(), transfer.unsigned.to_base64()
        ours = [Racer(OBJECTS, always(raw), Psbt.parse), Racer(TEXT, always(text), Psbt.from_base64)]
        theirs = [racer for peer in self._peers for racer in peer.parse(transfer)]
        return self._rows(PARSE, transfer.size, ours, theirs)

    def _sign(self, transfer: Transfer) -> list[Row]:
        signer, text = transfer.signers[0], transfer.unsigned.to_base64()
        ours = [
            Racer(OBJECTS, always(transfer.unsigned), signer.sign),
            Racer(TEXT, always(text), lambda text: signer.sign(Psbt.from_base64(text)).to_base64()),
        ]
        theirs = [racer for peer in self._peers for racer in peer.sign(transfer)]
        return self._rows(SIGN, transfer.size, ours, theirs)

    def _combine(self, transfer: Transfer) -> list[Row]:
        def run(_: object) -> object:
            return combine(transfer.drafted, transfer.vault, transfer.signed, 0)

        theirs = [racer for peer in self._peers for racer in peer.combine(transfer)]
        return self._rows(COMBINE, transfer.size, [Racer(OBJECTS, always(None), run)], theirs)

    def _write_combined(self, transfer: Transfer) -> list[Row]:
        def run(_: object) -> Psbt:
            combined = combine(transfer.drafted, transfer.vault, transfer.signed, 0)
            return with_signatures(combined.signatures, transfer.sent).to_psbt()

        ours = [
            Racer(OBJECTS, always(None), lambda _: run(_).serialize()),
            Racer(TEXT, always(None), lambda _: run(_).to_base64()),
        ]
        theirs = [racer for peer in self._peers for racer in peer.write_combined(transfer)]
        return self._rows(WRITE_COMBINED, transfer.size, ours, theirs)

    def _finalize(self, transfer: Transfer) -> list[Row]:
        """In the program that took the signatures in, which has the keys already, and in one that has just started."""

        def run(vault: Vault) -> object:
            return finalize(transfer.combined, transfer.drafted, vault)

        known = derived(transfer.vault, transfer.size)
        ours = [Racer(OBJECTS, always(known), run), Racer(NEW_PROCESS, lambda: fresh(transfer.vault), run)]
        theirs = [racer for peer in self._peers for racer in peer.finalize(transfer)]
        return self._rows(FINALIZE, transfer.size, ours, theirs)

    def _select(self, vault: Vault) -> list[Row]:
        coins = make_coins(vault, COINS)
        theirs = [] if self._node is None else [self._funder(self._node, vault, coins)]
        return self._rows(SELECT, COINS, [_selector(vault, coins)], theirs)

    def _funder(self, node: Node, vault: Vault, coins: Sequence[Coin]) -> Racer[object]:
        node.open_wallet("vault", [descriptor(vault, branch) for branch in Branch], COINS, has_keys=False)
        node.pay([(vault.address(coin.branch, coin.index), coin.amount) for coin in coins])
        outputs = [{payee_address("payee"): f"{PAID / 1e8:.8f}"}]

        def run(_: object) -> object:
            options = {"fee_rate": RATE / 1000}
            return node.call("walletcreatefundedpsbt", [], outputs, 0, options, wallet="vault")

        return Racer("bitcoind walletcreatefundedpsbt", always(None), run, clock=node.cpu)

    def _select_many(self, vault: Vault) -> list[Row]:
        ours = _selector(vault, make_coins(vault, MANY_COINS))
        (goal,) = goals(SELECT, MANY_COINS)
        return [Row.of(goal, race([ours], self._laps)[OBJECTS], MANY_COINS_US)]

    def _start(self) -> Iterator[list[Row]]:
        theirs = self._programs.hwi()
        for name, size, ours in (
            (HELP, 1, self._programs.help("custody")),
            (STATION_HELP, 1, self._programs.help("custody-station")),
            (INSPECT, SMALL_REQUEST, self._programs.inspect()),
        ):
            yield self._rows(name, size, [ours], theirs)

    def _rows(self, name: str, size: int, ours: Sequence[Racer[object]], theirs: Sequence[Racer[object]]) -> list[Row]:
        return contest(goals(name, size), [*ours, *theirs], self._laps)


def make_coins(vault: Vault, count: int) -> list[Coin]:
    """Coins of 10,000 to 5,000,000 sat; those of the first 10,000 addresses are where they say they are."""
    chance = random.Random(count)  # noqa: S311 - the same coins in every run
    scripts = vault.scripts(Branch.RECEIVE, 0, min(count, COINS))
    return [
        Coin(
            outpoint=OutPoint(secret(f"coin {index}"), 0),
            amount=chance.randrange(10_000, 5_000_000),
            script_pubkey=scripts[index % COINS],
            branch=Branch.RECEIVE,
            index=index % COINS,
            height=100,
            is_coinbase=False,
        )
        for index in range(count)
    ]


def _selector(vault: Vault, coins: Sequence[Coin]) -> Racer[object]:
    terms = Terms(
        outputs=(TxOut(PAID, script_of(payee_address("payee"), Network.REGTEST)),),
        change_script=vault.script_pubkey(Branch.CHANGE, 0),
        input_weight=vault.input_weight,
        max_inputs=700,
        rate=RATE,
        long_term_rate=LONG_TERM_RATE,
    )
    seeds = iter(range(1_000))

    def run(chance: random.Random) -> Selection:
        return select_coins(coins, terms, chance.randrange)

    def check(selection: Selection) -> None:
        assert sum(coin.amount for coin in selection.coins) == PAID + (selection.change or 0) + selection.fee

    return Racer(OBJECTS, lambda: random.Random(next(seeds)), run, check)  # noqa: S311 - the same draws in every run
