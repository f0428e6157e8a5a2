"""Which pieces of work are raced, how do we do each, and what may it cost beside the peers?

Addresses, reading, signing, combining and finalising against the peers; our own steps at 10,000 inputs against
themselves at 1,000, because nothing of ours may grow faster than the work; coin selection against bitcoind's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from material import Transfer, any_weight, derived, descriptor, fresh, make_transfer, make_vault
from measure import Racer, Row, always, race
from node import Node
from peers import OBJECTS, TEXT, Bitcoind, Entry, Peer

from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import OutPoint, TxOut
from custody.testing.cast import payee_address, secret
from custody.transfer.selection import Selection, Terms, select_coins
from custody.transfer.signing import accept, combine, with_signatures
from custody.transfer.verify import finalize
from custody.units import Network
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch, Vault
from custody.vault.ownership import read_ownership

ADDRESSES = 10_000
FEW_ADDRESSES = 1_000
"""For embit."""
SIZES = (100, 1_000)
GROWTH = (1_000, 10_000)
MOST_GROWTH = 11.0
COINS = 10_000
MANY_COINS = 100_000
MANY_COINS_US = 150_000.0
PAID = 300_000_000
"""Sats of the payment that coins are selected for: some 120 coins of 10,000 to 5,000,000 sat."""
RATE = 5_000
LONG_TERM_RATE = 10_000
NO_BITCOIND = "not measured: no bitcoind"


class Course:
    """Everything that is raced, as rows; `node` is None where there is no bitcoind."""

    def __init__(self, peers: Sequence[Peer], node: Node | None, laps: int) -> None:
        self._peers = [*peers, *([Bitcoind(node)] if node else [])]
        self._node = node
        self._laps = laps

    def rows(self) -> Iterator[list[Row]]:
        """The rows of one contest after another."""
        vault, _ = make_vault()
        for count in (FEW_ADDRESSES, ADDRESSES):
            yield self._derive(vault, count)
        for size in SIZES:
            transfer = make_transfer(size)
            yield self._parse(transfer)
            yield self._sign(transfer)
            yield self._combine(transfer)
            yield self._write_combined(transfer)
            yield self._finalize(transfer)
        yield self._growth(*map(make_transfer, GROWTH))
        yield self._select(vault)
        yield self._select_many(vault)

    def _derive(self, vault: Vault, count: int) -> list[Row]:
        def run(vault: Vault) -> list[str]:
            return vault.addresses(Branch.RECEIVE, 0, count)

        entries = [entry for peer in self._peers for entry in peer.derive(vault, count)]
        ours = Racer(OBJECTS, lambda: fresh(vault), run)
        if count != ADDRESSES:  # what 10,000 are held to is not asked of fewer
            entries = [Entry(entry.racer) for entry in entries]
        return self._rows("derive addresses", count, [ours], entries, bitcoind=0.5 if count == ADDRESSES else None)

    def _parse(self, transfer: Transfer) -> list[Row]:
        raw, text = transfer.unsigned.serialize(), transfer.unsigned.to_base64()
        ours = [Racer(OBJECTS, always(raw), Psbt.parse), Racer(TEXT, always(text), Psbt.from_base64)]
        entries = [entry for peer in self._peers for entry in peer.parse(transfer)]
        return self._rows("parse, previous txids checked", transfer.size, ours, entries)

    def _sign(self, transfer: Transfer) -> list[Row]:
        signer, text = transfer.signers[0], transfer.unsigned.to_base64()
        ours = [
            Racer(OBJECTS, always(transfer.unsigned), signer.sign),
            Racer(TEXT, always(text), lambda text: signer.sign(Psbt.from_base64(text)).to_base64()),
        ]
        entries = [entry for peer in self._peers for entry in peer.sign(transfer)]
        return self._rows("sign with one key", transfer.size, ours, entries, bitcoind=0.3)

    def _combine(self, transfer: Transfer) -> list[Row]:
        def run(_: object) -> object:
            return combine(transfer.drafted, transfer.vault, transfer.signed, 0)

        entries = [entry for peer in self._peers for entry in peer.combine(transfer)]
        return self._rows("combine three", transfer.size, [Racer(OBJECTS, always(None), run)], entries)

    def _write_combined(self, transfer: Transfer) -> list[Row]:
        def run(_: object) -> Psbt:
            combined = combine(transfer.drafted, transfer.vault, transfer.signed, 0)
            return with_signatures(combined.signatures, transfer.sent).to_psbt()

        ours = [
            Racer(OBJECTS, always(None), lambda _: run(_).serialize()),
            Racer(TEXT, always(None), lambda _: run(_).to_base64()),
        ]
        entries = [entry for peer in self._peers for entry in peer.write_combined(transfer)]
        return self._rows("combine three and write the PSBT", transfer.size, ours, entries)

    def _finalize(self, transfer: Transfer) -> list[Row]:
        """In the program that took the signatures in, which has the keys already, and in one that has just started."""

        def run(vault: Vault) -> object:
            return finalize(transfer.combined, transfer.drafted, vault)

        known = derived(transfer.vault, transfer.size)
        entries = [entry for peer in self._peers for entry in peer.finalize(transfer)]
        new = "ours, in a new process"
        ours = [Racer(OBJECTS, always(known), run), Racer(new, lambda: fresh(transfer.vault), run)]
        again = [Entry(entry.racer, new, entry.target) for entry in entries]
        return self._rows("finalize, every signature verified", transfer.size, ours, [*entries, *again])

    def _growth(self, small: Transfer, large: Transfer) -> list[Row]:
        name = f"ours at {small.size:,}"
        rows = []
        for step, make in _STEPS.items():
            with any_weight():
                racers = [_step(f"{transfer.size}", transfer, make) for transfer in (small, large)]
                times = race(racers, self._laps)
            rows.append(
                Row.of(f"growth: {step}", large.size, times[f"{large.size}"], name, times[f"{small.size}"], MOST_GROWTH)
            )
        return rows

    def _select(self, vault: Vault) -> list[Row]:
        name, peer, target = "coin selection", "bitcoind walletcreatefundedpsbt", 0.3
        coins = make_coins(vault, COINS)
        ours = _selector(OBJECTS, vault, coins)
        if self._node is None:
            return [Row.of(name, COINS, race([ours], self._laps)[OBJECTS], NO_BITCOIND, None, target)]
        node = self._node
        node.open_wallet("vault", [descriptor(vault, branch) for branch in Branch], COINS, has_keys=False)
        node.pay([(vault.address(coin.branch, coin.index), coin.amount) for coin in coins])
        outputs = [{payee_address("payee"): f"{PAID / 1e8:.8f}"}]

        def run(_: object) -> object:
            options = {"fee_rate": RATE / 1000}
            return node.call("walletcreatefundedpsbt", [], outputs, 0, options, wallet="vault")

        times = race([ours, Racer(peer, always(None), run, clock=node.cpu)], self._laps)
        return [Row.of(name, COINS, times[OBJECTS], peer, times[peer], target)]

    def _select_many(self, vault: Vault) -> list[Row]:
        ours = _selector(OBJECTS, vault, make_coins(vault, MANY_COINS))
        times = race([ours], self._laps)
        return [Row.of("coin selection", MANY_COINS, times[OBJECTS], "150 ms", MANY_COINS_US, 1.0)]

    def _rows(
        self,
        name: str,
        size: int,
        ours: Sequence[Racer[object]],
        entries: Sequence[Entry],
        *,
        bitcoind: float | None = None,
    ) -> list[Row]:
        """Race, and a row for each peer. `bitcoind` is the target of the row that stands for it where it is absent."""
        # A peer that is compared with two of ours races once.
        theirs = {entry.racer.name: entry.racer for entry in entries}
        wanted = {OBJECTS, *(entry.against for entry in entries)}
        times = race([*(each for each in ours if each.name in wanted), *theirs.values()], self._laps)
        rows = [
            Row.of(
                name if entry.against == OBJECTS else f"{name} ({entry.against.removeprefix('ours, ')})",
                size,
                times[entry.against],
                entry.racer.name,
                times[entry.racer.name],
                entry.target,
            )
            for entry in entries
        ]
        if self._node is None and bitcoind is not None:
            rows.append(Row.of(name, size, times[OBJECTS], NO_BITCOIND, None, bitcoind))
        return rows


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


def _selector(name: str, vault: Vault, coins: Sequence[Coin]) -> Racer[object]:
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

    return Racer(name, lambda: random.Random(next(seeds)), run, check)  # noqa: S311 - the same draws in every run


# Our own steps: each makes, from a transfer, what it is prepared with and what is timed. ------------------------------

_Step = Callable[[Transfer], tuple[Callable[[], object], Callable[[object], object]]]
_STEPS: dict[str, _Step] = {
    "derive addresses": lambda t: (
        lambda: fresh(t.vault),
        lambda vault: vault.addresses(Branch.RECEIVE, 0, t.size),
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


def _step(name: str, transfer: Transfer, make: _Step) -> Racer[object]:
    prepare, run = make(transfer)
    return Racer(name, prepare, run)
