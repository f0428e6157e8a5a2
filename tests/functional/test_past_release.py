"""The transaction of a transfer that nobody released stands in a block: whose is it then, and what stands still?"""

import pytest

from custody.bitcoin.transaction import Transaction
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, Setting
from custody.testing.scenario import Scenario
from custody.transfer.approval import Opinion
from custody.transfer.settlement import Ending
from custody.transfer.signing import accept, combine
from custody.transfer.state import Status
from custody.transfer.verify import finalize
from custody.vault.templates import ScriptType


def entered(story: Scenario) -> list[str]:
    with story.store.read() as view:
        return [entry.head.entry for entry in view.entries()]


def sign_elsewhere(story: Scenario, transfer_id: bytes) -> Transaction:
    """Enough cosigners sign what was drafted, with any wallet; the finished transaction."""
    with story.custodian._work() as work:
        transfer = work.history.transfer(transfer_id)
        sent, vault = work.psbt(transfer), work.vault_of(transfer)
    returned = [signer.sign(sent.to_psbt()) for signer in story.cast.signers[: vault.threshold]]
    signed = [one for each in returned for one in accept(each, sent, transfer.draft, vault, 0)]
    return finalize(combine(transfer.draft, vault, signed, 0), transfer.draft, vault)


def send_elsewhere(story: Scenario, transfer_id: bytes) -> bytes:
    """The same, sent and mined; its txid."""
    transaction = sign_elsewhere(story, transfer_id)
    story.chain.view.send(transaction.serialize())
    story.mine()
    return transaction.txid


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_what_was_approved_and_is_sent_before_its_release_is_that_transfer(begin, script_type):
    story = begin(setting=Setting(script_type=script_type, confirmations=2))
    transfer_id = story.authorized()
    before = story.balance
    txid = send_elsewhere(story, transfer_id)
    transfer = story.transfer(transfer_id)
    assert (transfer.status, transfer.seen.txid) == (Status.BROADCAST, txid)
    assert entered(story).count(kinds.SENT_EARLY) == 1
    story.mine()
    transfer = story.transfer(transfer_id)
    assert transfer.status is Status.CONFIRMED
    assert story.history().frozen_by is None
    assert kinds.UNEXPLAINED_SPEND not in entered(story)
    # Its change is ours and may be spent.
    assert story.balance == before - 25_000_000 - transfer.draft.fee
    assert txid in {coin.outpoint.txid for coin in story.spendable}
    assert story.signed(story.authorized(story.request((SUPPLIER, 100_000_000)))) is None


@pytest.mark.parametrize("come_to", [Status.COMBINED, Status.VERIFIED])
def test_it_may_have_come_any_way_towards_its_release(story, come_to):
    transfer_id = story.authorized()
    for cosigner in range(story.cast.vault.threshold):
        story.custodian.receive(transfer_id, story.signature(transfer_id, cosigner))
    story.custodian.combine(transfer_id)
    if come_to is Status.VERIFIED:
        story.custodian.verify(transfer_id)
    send_elsewhere(story, transfer_id)
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert story.history().frozen_by is None
    with refuses("TRANSFER_OVER" if come_to is Status.COMBINED else "OUT_OF_TURN"):
        story.custodian.release(transfer_id)


def test_it_ends_what_it_replaced_and_counts_once(story):
    first = story.sent(rate=2_000)
    second = story.authorized(story.request(replaces=(first,)), rate=12_000)
    committed = story.history().committed()
    send_elsewhere(story, second)
    assert story.transfer(second).status is Status.CONFIRMED
    assert story.transfer(first).ended.reason is Ending.SUPERSEDED
    assert story.history().committed() == committed


def test_when_its_block_is_gone_it_goes_on_from_where_it_was(story):
    transfer_id = story.authorized()
    before = story.balance
    txid = send_elsewhere(story, transfer_id)
    story.chain.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    transfer = story.transfer(transfer_id)
    assert (transfer.status, transfer.seen, story.balance) == (Status.SIGNING, None, before)
    story.signed(transfer_id)
    story.custodian.release(transfer_id)
    story.mine()
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert story.history().frozen_by is None


def test_what_nobody_asked_signatures_for_is_settled_and_freezes(story):
    draft, _ = story.drafted()
    committed = story.history().committed()
    before = story.balance
    send_elsewhere(story, draft.transfer_id)
    assert story.transfer(draft.transfer_id).status is Status.CONFIRMED
    assert "never asked for" in story.history().frozen_by
    assert story.balance == before - 25_000_000 - draft.fee
    assert story.history().committed() > committed


def come_to(story: Scenario, status: Status) -> bytes:
    """A transfer that has come so far, and no further."""
    custodian = story.custodian
    transfer_id = custodian.draft(custodian.submit(story.request()).digest(), 5_000).transfer_id

    def sign() -> None:
        for cosigner in range(story.cast.vault.threshold):
            custodian.receive(transfer_id, story.signature(transfer_id, cosigner))

    def authorize() -> None:
        story.approved(transfer_id)
        custodian.authorize(transfer_id)

    def combine() -> None:
        sign()
        custodian.combine(transfer_id)

    steps = {
        Status.DECIDED: lambda: custodian.decide(transfer_id),
        Status.AUTHORIZED: authorize,
        Status.SIGNING: lambda: custodian.request_signatures(transfer_id),
        Status.COMBINED: combine,
        Status.VERIFIED: lambda: custodian.verify(transfer_id),
    }
    for reached, step in steps.items():
        if story.transfer(transfer_id).status is status:
            break
        step()
        assert story.transfer(transfer_id).status is reached
    return transfer_id


@pytest.mark.parametrize(
    "status",
    [Status.DRAFTED, Status.DECIDED, Status.AUTHORIZED, Status.SIGNING, Status.COMBINED, Status.VERIFIED],
)
def test_when_its_block_is_gone_it_is_as_far_as_it_had_come(story, status):
    transfer_id = come_to(story, status)
    txid = send_elsewhere(story, transfer_id)
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    story.chain.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    transfer = story.transfer(transfer_id)
    assert (transfer.status, transfer.seen, transfer.row.confirmed) == (status, None, None)


@pytest.mark.parametrize("how", [Ending.VETOED, Ending.WITHDRAWN])
def test_what_was_vetoed_or_withdrawn_is_settled_and_freezes(story, how):
    draft, _ = story.drafted()
    transfer_id = draft.transfer_id
    if how is Ending.VETOED:
        evidence = story.custodian.evidence(transfer_id)
        story.custodian.approve(story.approval(evidence, OFFICERS[0], Opinion.VETO))
    else:
        story.custodian.withdraw(story.withdrawal(transfer_id))
    before = story.balance
    txid = send_elsewhere(story, transfer_id)
    assert story.transfer(transfer_id).status is Status.CONFIRMED
    assert f"it was over ({how})" in story.history().frozen_by
    assert story.balance == before - 25_000_000 - draft.fee
    assert txid in {coin.outpoint.txid for coin in story.coins}
    # What a reorganisation takes back is taken back: it is over again, its coins are free, and nothing is frozen.
    story.chain.reorganise(1, leave_out=[txid])
    story.custodian.observe()
    transfer = story.transfer(transfer_id)
    assert (transfer.status, transfer.row.ending) == (Status.ENDED, how)
    assert story.history().frozen_by is None
    assert story.balance == before
    assert {coin.outpoint for coin in story.spendable} >= set(draft.outpoints)
    with story.store.read() as view:
        assert [view.holder(each) for each in draft.outpoints] == [None] * len(draft.outpoints)


def test_a_transaction_that_pays_somebody_else_is_no_transfer(story):
    draft, _ = story.drafted()
    with refuses("OUT_OF_TURN"), story.custodian._work() as work:
        tip = story.chain.view.tip()
        work.append(
            kinds.SENT_EARLY,
            kinds.SENT_EARLY.record(
                transfer=draft.transfer_id, txid=bytes(32), block=tip.hash, height=tip.height, at=work.now
            ),
        )
