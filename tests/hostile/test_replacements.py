"""A fee bump changes the fee and nothing else, and a child spends its parent's change and nothing else (THREATS D4).

The coordinator owns the log and every file, and the requester may be in on it: requests are truly signed. What does not
fit is refused by whoever examines it, at an officer's desk and at a station.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.charter.decide import Verdict
from custody.envelope import Envelope
from custody.examine.evidence import Stage
from custody.history import kinds, lists
from custody.testing.asserts import refuses
from custody.testing.cast import SUPPLIER, TAX_OFFICE, Setting, make_cast
from custody.testing.scenario import RATE, Scenario
from custody.transfer.draft import Draft, SpentOutput, draft, signed_weight
from custody.transfer.request import Purpose, TransferRequest
from custody.transfer.selection import Algorithm, Selection
from custody.transfer.settlement import Release
from custody.transfer.signing import CombinedPsbt, accept, combine
from custody.transfer.verify import VerifiedTransaction, finalize
from custody.units import rate_of, vsize
from custody.vault.coins import Coin
from custody.vault.descriptor import Branch

PAID = 70_000_000
PAYMENT = (SUPPLIER, PAID)
FEE, CEILING = 20_000, 200_000


@dataclass
class Plot:
    """A coordinator's log with a transfer of 70,000,000 sats in it whose signatures were asked for."""

    forger: Any
    log: Any = None
    nonces: Iterator[bytes] = field(default_factory=lambda: (bytes([n]) * 16 for n in range(1, 250)))
    drafts: list[Draft] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = self.forger.log()

    def request(self, *payments: tuple[str, int | None], **changes: Any) -> Envelope:
        return self.forger.request(*payments, nonce=next(self.nonces), **changes)

    def draft(self, request: Envelope, fee: int = FEE, coins: Sequence[Coin] | None = None) -> Draft:
        """Everything that is not paid returns at the next change index."""
        record = TransferRequest.from_bytes(request.body)
        coins = tuple(coins or self.forger.coins)
        plan = self.forger.plan(record, change=len(self.drafts))
        paid = sum(payment.amount or 0 for payment in record.payments)
        change: int | None = sum(coin.amount for coin in coins) - paid - fee
        made = draft(plan, Selection(coins, change, fee, 0, Algorithm.EVERYTHING), lambda below: below - 1)
        self.drafts.append(made)
        return made

    def signing(self, request: Envelope, **rest: Any) -> Draft:
        """Write the log of a transfer up to the request for its signatures."""
        made = self.draft(request, **rest)
        self.forger.evidence(made, Stage.SIGN, log=self.log, request=request)
        return made

    def signatures(self, made: Draft) -> CombinedPsbt:
        """Have it signed by two of the three."""
        sent, cast, vault = self.forger.psbt(made), self.forger.cast, self.forger.vault
        answers = [accept(each.sign(sent.to_psbt()), sent, made, vault, self.forger.now) for each in cast.signers[:2]]
        return combine(made, vault, [each for answer in answers for each in answer], self.forger.now)

    def released(self, made: Draft, raw: bytes | None = None, combined: CombinedPsbt | None = None) -> None:
        """Write that it was combined, verified and released, true or not."""
        name, at = made.transfer_id, self.forger.now
        raw = raw or made.identity.transactions[0]
        verified = VerifiedTransaction(transfer=name, raw=raw, judges=(), at=at)
        transaction = Transaction.parse(raw)
        combined = combined or CombinedPsbt(transfer=name, cosigners=(), signatures=(), at=at)
        for kind, body in (
            (kinds.COMBINED, combined.model_copy(update={"cosigners": ()})),
            (kinds.VERIFIED, verified),
            (kinds.RELEASED, Release(transfer=name, txid=transaction.txid, verified=verified.digest(), at=at)),
        ):
            self.log.write(kind, body)
        self.forger.previous[transaction.txid] = transaction.stripped()

    def sent(self, request: Envelope, **rest: Any) -> Draft:
        """A transfer that was approved, signed and released."""
        made = self.signing(request, **rest)
        combined = self.signatures(made)
        self.released(made, finalize(combined, made, self.forger.vault).serialize(), combined)
        return made

    def judge(self, made: Draft, request: Envelope, stage: Stage, **lies: Any) -> Any:
        return self.forger.judge(made, stage, log=self.log, request=request, **lies)


@pytest.fixture
def plot(forger_of) -> Plot:
    setting = Setting(max_fee=CEILING, max_rate=1_000_000, max_share=10_000)
    return Plot(forger_of(make_cast(setting)))


@pytest.fixture
def story() -> Iterator[Scenario]:
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


# --- the same payees --------------------------------------------------------------------------------------------------


def test_a_replacement_that_pays_the_same_passes(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    examined = plot.judge(plot.draft(request, fee=2 * FEE), request, stage)
    assert (examined.case.fee, examined.case.fees_before) == (2 * FEE, FEE)
    assert [each.id for each in examined.transfer.replaced] == [first.transfer_id]


@pytest.mark.parametrize(
    "payments",
    [
        (PAYMENT, (TAX_OFFICE, 1_000_000)),
        ((SUPPLIER, PAID - 1),),
        ((SUPPLIER, PAID + 1),),
        ((TAX_OFFICE, PAID),),
        ((SUPPLIER, PAID - 1_000), (SUPPLIER, 1_000)),
    ],
    ids=["a payee more", "one satoshi less", "one satoshi more", "another payee", "in two parts"],
)
def test_a_bump_that_pays_otherwise_is_refused(plot, stage, payments):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(*payments, replaces=(first.transfer_id,))
    with refuses("REPLACE_PAYEES") as caught:
        plot.judge(plot.draft(request, fee=2 * FEE), request, stage)
    assert caught.error.transfer == first.transfer_id.hex()


def test_a_bump_that_pays_a_payee_less_is_refused_and_their_order_says_nothing(plot, stage):
    both = (SUPPLIER, 60_000_000), (TAX_OFFICE, 5_000_000)
    first = plot.signing(plot.request(*both))
    turned = plot.request(*reversed(both), replaces=(first.transfer_id,))
    assert plot.judge(plot.draft(turned, fee=2 * FEE), turned, stage)
    fewer = plot.request(both[0], replaces=(first.transfer_id,))
    with refuses("REPLACE_PAYEES"):
        plot.judge(plot.draft(fewer, fee=2 * FEE), fewer, stage)


@pytest.mark.parametrize(
    ("purpose", "payments"), [(Purpose.CONSOLIDATION, ()), (Purpose.SWEEP, ((SUPPLIER, None),))], ids=str
)
def test_a_bump_for_another_purpose_is_refused(plot, stage, purpose, payments):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(*payments, purpose=purpose, replaces=(first.transfer_id,))
    with refuses("REPLACE_PAYEES"):
        plot.judge(plot.draft(request, fee=2 * FEE), request, stage)


def test_a_cancellation_replaces_whatever_it_is_and_what_replaces_it_pays_as_before(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    cancel = plot.request(purpose=Purpose.CANCELLATION, replaces=(first.transfer_id,))
    second = plot.signing(cancel, fee=2 * FEE)
    # Naming only the cancellation does not let go of what that one replaced.
    other = plot.request((TAX_OFFICE, PAID), replaces=(second.transfer_id,))
    with refuses("REPLACE_PAYEES") as caught:
        plot.judge(plot.draft(other, fee=3 * FEE), other, stage)
    assert caught.error.transfer == first.transfer_id.hex()


def test_a_bump_of_a_bump_answers_to_the_first(plot, stage):
    # The second is a forgery that nobody would sign; it stands in the log all the same, and is the one that is named.
    first = plot.signing(plot.request(PAYMENT))
    forged = plot.signing(plot.request((TAX_OFFICE, PAID), replaces=(first.transfer_id,)), fee=2 * FEE)
    request = plot.request((TAX_OFFICE, PAID), replaces=(forged.transfer_id,))
    with refuses("REPLACE_PAYEES") as caught:
        plot.judge(plot.draft(request, fee=3 * FEE), request, stage)
    assert caught.error.transfer == first.transfer_id.hex()


def test_a_coordinator_that_means_well_drafts_no_such_bump_and_holds_nothing(story):
    first = story.authorized()
    for payments in (((SUPPLIER, 24_999_999),), ((SUPPLIER, 25_000_000), (TAX_OFFICE, 1_000_000))):
        request = story.custodian.submit(story.request(*payments, replaces=(first,)))
        with refuses("REPLACE_PAYEES"):
            story.custodian.draft(request.digest(), RATE * 2)
    assert [each.id for each in lists.live(story.history())] == [first]


# --- no coin more -----------------------------------------------------------------------------------------------------


def test_a_needless_coin_more_is_refused(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    more = plot.forger.coin(90_000_000, 0, 1)
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    made = plot.draft(request, fee=2 * FEE, coins=(*plot.forger.coins, more))
    with refuses("REPLACE_INPUTS") as caught:
        plot.judge(made, request, stage)
    assert str(more.outpoint) in str(caught.error)


def test_a_coin_in_the_place_of_one_that_would_do_is_refused(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    other = plot.forger.coin(90_000_000, 0, 1)
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    made = plot.draft(request, fee=2 * FEE, coins=(plot.forger.coins[0], other))
    with refuses("REPLACE_INPUTS"):
        plot.judge(made, request, stage)


@pytest.mark.parametrize(("missing", "is_needed"), [(0, False), (1, True)])
def test_a_coin_more_passes_from_the_first_satoshi_that_is_missing(plot, stage, missing, is_needed):
    total = sum(coin.amount for coin in plot.forger.coins)
    payment = (SUPPLIER, total - 2 * FEE)
    first = plot.signing(plot.request(payment), fee=FEE)
    more = plot.forger.coin(90_000_000, 0, 1)
    request = plot.request(payment, replaces=(first.transfer_id,))
    made = plot.draft(request, fee=2 * FEE + missing, coins=(*plot.forger.coins, more))
    if is_needed:
        assert plot.judge(made, request, stage)
    else:
        with refuses("REPLACE_INPUTS"):
            plot.judge(made, request, stage)


def test_a_forged_rival_that_belittles_the_coins_makes_no_room_for_another(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    enter_drafted(plot, belittled(plot, plot.draft(request, fee=2 * FEE)), request)
    more = plot.forger.coin(90_000_000, 0, 1)
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    made = plot.draft(request, fee=3 * FEE, coins=(*plot.forger.coins, more))
    with refuses("REPLACE_INPUTS"):
        plot.judge(made, request, stage)


def enter_drafted(plot: Plot, rival: Draft, request: Envelope) -> None:
    """Enter a rival that means nothing: nobody can have approved it, so a draft is all that a log can say of it."""
    plot.log.write(kinds.REQUESTED, request)
    plot.log.write(kinds.DRAFTED, rival)


@pytest.mark.parametrize("fee", [2 * FEE, 10 * FEE])
def test_a_forged_rival_that_belittles_the_coins_is_never_approved(plot, fee):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    rival = belittled(plot, plot.draft(request, fee=fee))
    plot.forger.evidence(rival, Stage.SIGN, log=plot.log, request=request)
    with refuses("HISTORY_INVALID") as caught:
        plot.log.history()
    assert caught.error.entry == kinds.APPROVED
    assert caught.error.__cause__.code == "FEE_NEGATIVE"


def belittled(plot: Plot, made: Draft) -> Draft:
    """The same transaction, whose coins are said to be worth next to nothing: its fee is far below zero."""
    spent = tuple(
        SpentOutput(txid=each.txid, vout=each.vout, amount=1_000, script_pubkey=each.script_pubkey)
        for each in made.identity.spent
    )
    return plot.forger.redrafted(made, spent=spent)


@pytest.mark.parametrize(
    ("purpose", "payments"), [(Purpose.CONSOLIDATION, ()), (Purpose.SWEEP, ((SUPPLIER, None),))], ids=str
)
def test_a_sweep_and_a_consolidation_take_the_same_coins_again(plot, stage, purpose, payments):
    first = plot.signing(plot.request(*payments, purpose=purpose))
    request = plot.request(*payments, purpose=purpose, replaces=(first.transfer_id,))
    assert plot.judge(plot.draft(request, fee=2 * FEE), request, stage)
    fewer = plot.request(*payments, purpose=purpose, replaces=(first.transfer_id,))
    with refuses("REPLACE_INPUTS"):
        plot.judge(plot.draft(fewer, fee=2 * FEE, coins=plot.forger.coins[:1]), fewer, stage)


# --- one fee ----------------------------------------------------------------------------------------------------------


def test_a_fee_ten_times_as_high_is_refused_though_alone_it_is_allowed(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    with refuses("REPLACE_FEE_TOTAL") as caught:
        plot.judge(plot.draft(request, fee=10 * FEE), request, stage)
    assert (caught.error.fee, caught.error.before, caught.error.limit) == (CEILING, FEE, CEILING)
    alone = plot.request(PAYMENT)
    assert Plot(plot.forger).judge(plot.forger.draft(alone, fee=10 * FEE), alone, stage)


@pytest.mark.parametrize(("more", "is_refused"), [(0, False), (1, True)])
def test_the_third_bump_passes_up_to_the_ceiling_and_no_satoshi_further(plot, stage, more, is_refused):
    fees = (20_000, 50_000, 60_000)
    drafts = [plot.signing(plot.request(PAYMENT), fee=fees[0])]
    for fee in fees[1:]:
        drafts.append(plot.signing(plot.request(PAYMENT, replaces=(drafts[-1].transfer_id,)), fee=fee))
    request = plot.request(PAYMENT, replaces=(drafts[-1].transfer_id,))
    made = plot.draft(request, fee=CEILING - sum(fees) + more)
    if is_refused:
        with refuses("REPLACE_FEE_TOTAL"):
            plot.judge(made, request, stage)
    else:
        assert plot.judge(made, request, stage).case.fees == CEILING


def test_fees_add_up_for_a_cancellation_too(plot, stage):
    first = plot.signing(plot.request(PAYMENT), fee=CEILING)
    request = plot.request(purpose=Purpose.CANCELLATION, replaces=(first.transfer_id,))
    with refuses("REPLACE_FEE_TOTAL"):
        plot.judge(plot.draft(request, fee=1_000), request, stage)


def test_a_forged_rival_with_a_fee_below_nothing_makes_no_room(plot, stage):
    first = plot.signing(plot.request(PAYMENT))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    rival = belittled(plot, plot.draft(request, fee=2 * FEE))
    assert rival.fee < -CEILING
    enter_drafted(plot, rival, request)
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    with refuses("REPLACE_FEE_TOTAL"):
        plot.judge(plot.draft(request, fee=10 * FEE), request, stage)


# --- in the way of others ---------------------------------------------------------------------------------------------


def test_a_bump_with_a_coin_of_another_live_transfer_is_refused(plot, stage):
    other = plot.forger.coin(90_000_000, 0, 1)
    first = plot.signing(plot.request(PAYMENT))
    plot.signing(plot.request((TAX_OFFICE, 5_000_000)), coins=(other,))
    request = plot.request(PAYMENT, replaces=(first.transfer_id,))
    made = plot.draft(request, fee=2 * FEE, coins=(*plot.forger.coins, other))
    with refuses("HISTORY_INVALID") as caught:
        plot.judge(made, request, stage)
    assert f"takes {other.outpoint}" in str(caught.error)


def test_two_transfers_that_have_nothing_to_do_with_each_other_are_not_replaced_by_one(plot, stage):
    other = plot.forger.coin(90_000_000, 0, 1)
    first = plot.signing(plot.request(PAYMENT))
    second = plot.signing(plot.request(PAYMENT), coins=(other,))
    request = plot.request(PAYMENT, replaces=(first.transfer_id, second.transfer_id))
    made = plot.draft(request, fee=2 * FEE, coins=(*plot.forger.coins, other))
    with refuses("HISTORY_INVALID"):
        plot.judge(made, request, stage)


# --- a child ----------------------------------------------------------------------------------------------------------


def change_of(plot: Plot, made: Draft) -> Coin:
    """The coin that a drafted transaction returns to the vault."""
    assert made.change is not None
    script = plot.forger.vault.script_pubkey(Branch.CHANGE, made.change)
    for index, output in enumerate(made.transaction.outputs):
        if output.script_pubkey == script:
            place = OutPoint(made.transaction.txid, index)
            return Coin(place, output.amount, script, Branch.CHANGE, made.change, 151, is_coinbase=False)
    raise AssertionError("it returns nothing")


@pytest.fixture
def family(plot) -> tuple[Plot, Draft, Envelope]:
    """A plot with a released transfer, and a request for a child of it."""
    parent = plot.sent(plot.request(PAYMENT))
    return plot, parent, plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)


def test_a_child_of_a_released_transfer_passes_and_is_judged_with_its_parent(family, stage):
    plot, parent, request = family
    examined = plot.judge(plot.draft(request, fee=3 * FEE, coins=(change_of(plot, parent),)), request, stage)
    case = examined.case
    assert (case.fee, case.fees_before, case.carried.fee) == (3 * FEE, FEE, FEE)
    assert case.rate_together * (case.vbytes + case.carried.vbytes) >= 4 * FEE * 1000
    assert case.rate * case.vbytes >= 3 * FEE * 1000
    assert any("still waits for a block" in each for each in examined.not_checked)


@pytest.mark.parametrize("beside", [False, True], ids=["instead", "beside"])
def test_a_child_that_spends_something_else_is_refused(family, stage, beside):
    plot, parent, request = family
    other = plot.forger.coin(90_000_000, 0, 1)
    coins = (change_of(plot, parent), other) if beside else (other,)
    with refuses("CHILD_INPUTS"):
        plot.judge(plot.draft(request, coins=coins), request, stage)


def test_a_child_of_what_was_never_released_is_refused(plot, stage):
    parent = plot.signing(plot.request(PAYMENT))
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    plot.forger.previous[parent.transaction.txid] = parent.identity.transactions[0]
    made = plot.draft(request, coins=(change_of(plot, parent),))
    with refuses("HISTORY_INVALID") as caught:
        plot.judge(made, request, stage)
    assert caught.error.__cause__.code == "CHILD_PARENT"


def test_a_child_of_a_transfer_that_is_not_in_the_log_is_refused(plot, stage):
    parent = plot.draft(plot.request(PAYMENT))
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    plot.forger.previous[parent.transaction.txid] = parent.identity.transactions[0]
    made = plot.draft(request, coins=(change_of(plot, parent),))
    with refuses("HISTORY_INVALID") as caught:
        plot.judge(made, request, stage)
    assert caught.error.__cause__.code == "TRANSFER_UNKNOWN"


def test_a_parent_that_was_released_as_another_transaction_is_refused(plot, stage):
    # The coordinator's own transaction pays the vault at the change index: it would be spent for a fee it chose.
    parent = plot.signing(plot.request(PAYMENT))
    script = plot.forger.vault.script_pubkey(Branch.CHANGE, 0)
    own = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0xFFFFFFFD),), (TxOut(50_000, script),), 0)
    plot.released(parent, own.serialize())
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    coin = Coin(OutPoint(own.txid, 0), 50_000, script, Branch.CHANGE, 0, 151, is_coinbase=False)
    with refuses("HISTORY_INVALID") as caught:
        plot.judge(plot.draft(request, coins=(coin,)), request, stage)
    assert caught.error.__cause__.code == "STATE_CHANGED"


def test_a_second_child_beside_the_first_is_refused(family, stage):
    plot, parent, request = family
    coins = (change_of(plot, parent),)
    plot.signing(request, coins=coins)
    second = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    with refuses("HISTORY_INVALID") as caught:
        plot.judge(plot.draft(second, fee=2 * FEE, coins=coins), second, stage)
    assert caught.error.__cause__.code == "CHILD_PARENT"


@pytest.mark.parametrize("difference", [-1, +1])
def test_an_amount_that_is_not_the_parent_s_change_is_refused(family, stage, difference):
    plot, parent, request = family
    made = plot.draft(request, coins=(change_of(plot, parent),))
    (true,) = made.identity.spent
    false = SpentOutput(
        txid=true.txid, vout=true.vout, amount=true.amount + difference, script_pubkey=true.script_pubkey
    )
    with refuses("UTXO_CONFLICT"):
        plot.judge(plot.forger.redrafted(made, spent=(false,)), request, stage)


def test_a_child_without_its_parent_s_transaction_proves_nothing(family, stage):
    plot, parent, request = family
    made = plot.draft(request, coins=(change_of(plot, parent),))
    others = tuple(raw for txid, raw in plot.forger.previous.items() if txid != parent.transaction.txid)
    with refuses("PREVTX_MISSING"):
        plot.judge(made, request, stage, previous=others)


def test_the_fees_of_parent_and_child_are_one_fee(family, stage):
    plot, parent, request = family
    with refuses("REPLACE_FEE_TOTAL"):
        made = plot.draft(request, fee=CEILING - FEE + 1, coins=(change_of(plot, parent),))
        plot.judge(made, request, stage)


def test_a_child_and_what_its_parent_replaced_are_one_fee_too(plot, stage):
    first = plot.signing(plot.request(PAYMENT), fee=90_000)
    second = plot.sent(plot.request(PAYMENT, replaces=(first.transfer_id,)), fee=100_000)
    request = plot.request(purpose=Purpose.CHILD, parent=second.transfer_id)
    with refuses("REPLACE_FEE_TOTAL") as caught:
        plot.judge(plot.draft(request, fee=10_001, coins=(change_of(plot, second),)), request, stage)
    assert caught.error.before == 190_000


def test_a_child_is_held_to_the_ceiling_for_its_rate_by_itself(forger_of, stage):
    # Whether its parent still waits, no reader sees: one that was mined long ago would lend it its size.
    plot = Plot(forger_of(make_cast(Setting(max_fee=CEILING, max_rate=100_000, max_share=10_000))))
    parent = plot.sent(plot.request(PAYMENT), fee=1_000)
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    with refuses("FEE_RATE") as caught:
        plot.judge(plot.draft(request, fee=FEE, coins=(change_of(plot, parent),)), request, stage)
    child = plot.drafts.pop()
    sizes = [vsize(signed_weight(each, plot.forger.vault)) for each in (child, parent)]
    assert caught.error.rate == rate_of(FEE, sizes[0]) > 100_000 > rate_of(FEE + 1_000, sum(sizes))


def test_a_child_at_the_ceiling_passes(forger_of, stage):
    plot = Plot(forger_of(make_cast(Setting(max_fee=CEILING, max_rate=100_000, max_share=10_000))))
    parent = plot.sent(plot.request(PAYMENT), fee=1_000)
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    coins = (change_of(plot, parent),)
    size = vsize(signed_weight(plot.draft(request, coins=coins), plot.forger.vault))
    plot.drafts.pop()
    assert plot.judge(plot.draft(request, fee=size * 100, coins=coins), request, stage).case.rate == 100_000


# --- a parent out of nothing (THREATS F17) ----------------------------------------------------------------------------


def bent(combined: CombinedPsbt, how: str) -> CombinedPsbt:
    """Signatures that are not k good ones by the vault's own keys."""
    first, *rest = combined.signatures
    others = {
        "none": (),
        "one too few": tuple(rest),
        "one twice": (first, *rest, first.model_copy(update={"input": 1 - first.input})),
        "somebody else's": (first.model_copy(update={"public_key": bytes([2]) + b"\x11" * 32}), *rest),
        "of something else": (first.model_copy(update={"signature": rest[-1].signature}), *rest),
        "on no input": (first.model_copy(update={"input": 9}), *rest),
    }
    return combined.model_copy(update={"signatures": others[how]})


def unsigned(plot: Plot, how: str) -> Draft:
    """A transfer that was approved, and released without being signed."""
    made = plot.signing(plot.request(PAYMENT))
    combined = plot.signatures(made)
    raw = finalize(combined, made, plot.forger.vault).serialize()
    plot.released(made, raw, bent(combined, how))
    return made


BENT = ["none", "one too few", "one twice", "somebody else's", "of something else", "on no input"]


@pytest.mark.parametrize("how", BENT)
def test_a_child_of_what_no_quorum_signed_is_refused(plot, stage, how):
    parent = unsigned(plot, how)
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    with refuses("CHILD_PARENT"):
        plot.judge(plot.draft(request, coins=(change_of(plot, parent),)), request, stage)


def test_a_child_of_what_was_released_with_other_witnesses_is_refused(plot, stage):
    parent = plot.signing(plot.request(PAYMENT))
    combined = plot.signatures(parent)
    good = finalize(combined, parent, plot.forger.vault)
    plot.released(parent, replace(good, witness=((b"\x01",), *good.witness[1:])).serialize(), combined)
    request = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id)
    with refuses("CHILD_PARENT"):
        plot.judge(plot.draft(request, coins=(change_of(plot, parent),)), request, stage)


@pytest.mark.parametrize("purpose", [Purpose.CHILD, Purpose.CANCELLATION], ids=str)
def test_what_replaces_a_child_of_what_no_quorum_signed_is_refused(plot, stage, purpose):
    parent = unsigned(plot, "none")
    coins = (change_of(plot, parent),)
    child = plot.signing(plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id), coins=coins)
    named = parent.transfer_id if purpose is Purpose.CHILD else None
    request = plot.request(purpose=purpose, parent=named, replaces=(child.transfer_id,))
    with refuses("CHILD_PARENT"):
        plot.judge(plot.draft(request, fee=2 * FEE, coins=coins), request, stage)


def of_one_who_lies(plot: Plot, judged: dict[str, Any] | None = None, **lies: Any) -> tuple[Draft, Envelope]:
    """A child, with its request, of a parent that a quorum signed, and about whose approval the log lies."""
    request = plot.request(PAYMENT)
    made = plot.draft(request)
    if judged is not None:
        lies["decision"] = plot.forger.decision(made, request).model_copy(update=judged)
    plot.forger.evidence(made, Stage.SIGN, log=plot.log, request=request, **lies)
    combined = plot.signatures(made)
    plot.released(made, finalize(combined, made, plot.forger.vault).serialize(), combined)
    asked = plot.request(purpose=Purpose.CHILD, parent=made.transfer_id)
    return plot.draft(asked, coins=(change_of(plot, made),)), asked


def test_a_child_of_what_nobody_approved_is_refused(plot, stage):
    child, request = of_one_who_lies(plot, approvals=())
    with refuses("APPROVAL_MISSING"):
        plot.judge(child, request, stage)


def test_a_child_of_what_the_rules_judge_otherwise_is_refused(plot, stage):
    child, request = of_one_who_lies(plot, {"demands": (), "verdict": Verdict.ALLOW}, approvals=())
    with refuses("DECISION_DIFFERS"):
        plot.judge(child, request, stage)


def test_a_child_that_returns_far_away_is_refused(family, stage):
    plot, parent, request = family
    plot.drafts.extend(plot.drafts * 6)
    with refuses("INDEX_NOT_NEXT"):
        plot.judge(plot.draft(request, coins=(change_of(plot, parent),)), request, stage)


def test_a_bump_of_a_child_speeds_up_the_same_parent(family, stage):
    plot, parent, request = family
    coins = (change_of(plot, parent),)
    child = plot.signing(request, coins=coins)
    good = plot.request(purpose=Purpose.CHILD, parent=parent.transfer_id, replaces=(child.transfer_id,))
    examined = plot.judge(plot.draft(good, fee=2 * FEE, coins=coins), good, stage)
    assert examined.case.fees == 4 * FEE
