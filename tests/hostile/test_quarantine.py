"""A coin that nobody was to send is spent by nobody, until an officer releases it (THREATS D9).

The coordinator owns the log and every file it hands out: it drafts a spend of such a coin, and says of the coin, of who
made it and of who released it whatever it likes. Officers may have been fooled; stations are not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody.apps.views.examination import examination_data, examination_screen
from custody.bitcoin.transaction import OutPoint, Transaction
from custody.envelope import sign
from custody.examine.evidence import Stage
from custody.history import kinds
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER, Setting, make_cast, person_key
from custody.transfer.coin_release import CoinRelease
from custody.transfer.draft import Seat, SpentOutput
from custody.transfer.observe import CameEarly, DepositReversed, DepositSeen, SpendSeen
from custody.transfer.settlement import Release
from custody.transfer.signing import CombinedPsbt
from custody.transfer.verify import VerifiedTransaction
from custody.units import Network
from custody.vault.descriptor import Branch

SIXTY, TWO = 60_000_000, 2_000_000
BLOCK = b"\x0b" * 32


class Bait:
    """A coin at one place of the vault, and a coordinator who wants it spent beside another."""

    change = 0
    """The change index that is due in its log."""

    def __init__(self, forger, branch=Branch.RECEIVE, index=2, amount=TWO):
        self.forger, self.log = forger, forger.log()
        self.coin = forger.coin(amount, branch, index)
        self.request = forger.request((SUPPLIER, 50_000_000))

    @property
    def txid(self):
        return self.coin.outpoint.txid

    def seen(self, block=BLOCK, height=100):
        said = {"vault": self.forger.vault.id, "txid": self.txid, "vout": self.coin.outpoint.index}
        place = {"branch": self.coin.branch, "index": self.coin.index, "height": height, "block": block}
        script = {"script_pubkey": self.coin.script_pubkey, "amount": self.coin.amount, "is_coinbase": False}
        self.log.write(kinds.DEPOSIT_SEEN, DepositSeen(**said, **place, **script, at=self.forger.now))
        return self

    def issued(self, index=2):
        self.forger.issue(self.log, index)
        return self

    def reversed(self, block=BLOCK):
        said = {"txid": self.txid, "vout": self.coin.outpoint.index, "block": block}
        self.log.write(kinds.DEPOSIT_REVERSED, DepositReversed(**said, at=self.forger.now))
        return self

    def early(self):
        said = {"txid": self.txid, "vout": self.coin.outpoint.index}
        self.log.write(kinds.CAME_EARLY, CameEarly(**said, at=self.forger.now))
        return self

    def paper(self, officer=OFFICERS[0], signer=None, **lies):
        cast = self.forger.cast
        said = {
            "network": cast.charter.network,
            "charter": cast.digest,
            "vault": self.forger.vault.id,
            "txid": self.txid,
            "vout": self.coin.outpoint.index,
            "amount": self.coin.amount,
            "block": BLOCK,
            "officer": officer,
            "annex": bytes(32),
            "issued": self.forger.now,
            "nonce": b"\x07" * 16,
        }
        return sign(CoinRelease(**said | lies), signer or cast.people[officer])

    def released(self, paper=None, **lies):
        self.log.write(kinds.COIN_RELEASED, paper or self.paper(**lies))
        return self

    def judge(self, stage):
        """What a reader says of a spend of the bait beside an honest coin."""
        drafted = self.forger.draft(self.request, coins=(self.forger.coins[0], self.coin))
        first, due = (self.forger.vault.script_pubkey(Branch.CHANGE, each) for each in (0, self.change))
        outputs = drafted.transaction.outputs
        outputs = [replace(each, script_pubkey=due) if each.script_pubkey == first else each for each in outputs]
        drafted = self.forger.redrafted(drafted, outputs=outputs, change=self.change)
        return self.forger.judge(drafted, stage, request=self.request, log=self.log)

    def is_refused(self, stage, why):
        with refuses("COIN_QUARANTINED") as caught:
            self.judge(stage)
        assert caught.error.outpoint == self.coin.outpoint
        assert why in str(caught.error)


def test_a_coin_at_an_address_that_nobody_was_given_is_not_spent(forger, stage):
    Bait(forger, index=40).seen().is_refused(stage, "given to nobody")


def test_nor_one_of_which_the_log_says_nothing_at_all(forger, stage):
    Bait(forger, index=40).is_refused(stage, "given to nobody")


def test_nor_one_at_a_change_index_that_is_no_change_of_ours(forger, stage):
    # The address at the same receive index was given out: that says nothing of change.
    Bait(forger, Branch.CHANGE, index=1).seen().is_refused(stage, "no transfer of ours made it")


def test_nor_one_whose_address_was_given_out_only_afterwards(forger, stage):
    Bait(forger).seen().issued().is_refused(stage, "before its address was given out")


def test_nor_one_that_was_taken_back_and_came_again_after_that(forger, stage):
    # Or a coordinator would have the same coin come once more, as somebody's answer.
    bait = Bait(forger).seen().issued().reversed().seen(b"\x0c" * 32, 120)
    bait.is_refused(stage, "before its address was given out")


def test_nor_one_of_which_was_said_that_its_block_came_before(forger, stage):
    Bait(forger).issued().seen().early().is_refused(stage, "before its address was given out")


@pytest.mark.parametrize("amount", [546, 1_000, TWO])
def test_what_comes_after_its_address_was_given_out_is_spent_whatever_it_is_worth(forger, stage, amount):
    # A stranger's small coin to an address that they know stops nobody.
    bait = Bait(forger, amount=amount).issued().seen()
    assert bait.judge(stage).released == ()


# --- the release ------------------------------------------------------------------------------------------------------


def test_an_officer_s_release_lets_it_be_spent_and_is_shown(forger, stage):
    bait = Bait(forger, index=40).seen().released()
    found = bait.judge(stage)
    ((outpoint, row),) = found.released
    assert (outpoint, row.officer) == (bait.coin.outpoint, OFFICERS[0])
    assert f"{outpoint} by {OFFICERS[0]}, entry {row.at} of the log" in examination_screen(found, forger.now)
    assert examination_data(found)["released_coins"] == [
        {"outpoint": str(outpoint), "officer": OFFICERS[0], "entry": row.at}
    ]


def test_a_release_of_another_coin_is_none_of_this(forger, stage):
    other = Bait(forger, index=41)
    bait = Bait(forger, index=40).seen().released(vout=0)
    bait.is_refused(stage, "given to nobody")
    bait = Bait(forger, index=40).seen()
    other.log = bait.log
    other.seen().released()
    bait.is_refused(stage, "given to nobody")


def test_a_release_for_another_vault_is_none_for_this(forger_of, stage):
    forger = forger_of(make_cast(Setting(more_vaults=1)))
    second = forger.cast.charter.vault(forger.cast.charter.vaults[1].name)
    assert second.id != forger.vault.id
    Bait(forger, index=40).seen().released(vault=second.id).is_refused(stage, "given to nobody")
    assert Bait(forger, index=40).seen().released().judge(stage)


@pytest.mark.parametrize(
    ("lie", "cause"),
    [
        ({"signer": person_key("a stranger")}, "COIN_RELEASE_AUTHOR"),
        ({"officer": REQUESTER}, "COIN_RELEASE_AUTHOR"),
        ({"officer": "Nobody", "signer": person_key("a stranger")}, "COIN_RELEASE_AUTHOR"),
        ({"signer": person_key(OFFICERS[1])}, "COIN_RELEASE_AUTHOR"),
        ({"charter": bytes(32)}, "COIN_RELEASE_MISMATCH"),
        ({"network": Network.MAIN}, "NETWORK_MISMATCH"),
        ({"vault": b"\x05" * 32}, "VAULT_ID_MISMATCH"),
    ],
)
def test_a_log_with_a_release_that_no_officer_has_signed_for_it_is_refused(forger, stage, lie, cause):
    bait = Bait(forger, index=40).seen().released(**lie)
    with refuses("HISTORY_INVALID") as caught:
        bait.judge(stage)
    assert caught.error.entry == kinds.COIN_RELEASED
    assert caught.error.__cause__.code == cause


def test_a_release_in_another_officer_s_name_is_refused(forger, stage):
    bait = Bait(forger, index=40).seen()
    bait.log.write(kinds.COIN_RELEASED, bait.paper(), author=OFFICERS[1])
    with refuses("ENTRY_AUTHOR"):
        bait.judge(stage)


def test_a_coin_that_was_never_seen_is_not_released(forger, stage):
    bait = Bait(forger, index=40).released()
    with refuses("HISTORY_INVALID") as caught:
        bait.judge(stage)
    assert "never seen" in caught.error.problem


def test_nor_one_whose_block_is_gone(forger, stage):
    # Or a paper that was signed for one block, and kept back, would hold for whatever comes in another.
    bait = Bait(forger, index=40).seen().reversed().released().seen(b"\x0c" * 32, 120)
    with refuses("HISTORY_INVALID") as caught:
        bait.judge(stage)
    assert "whose block is gone" in caught.error.problem


def test_a_coin_is_released_once(forger, stage):
    bait = Bait(forger, index=40).seen().released().released(nonce=b"\x08" * 16)
    with refuses("HISTORY_INVALID") as caught:
        bait.judge(stage)
    assert "releases a coin again" in caught.error.problem


def test_after_a_reorganisation_it_is_quarantined_again_and_the_old_paper_is_worth_nothing(forger, stage):
    bait = Bait(forger, index=40).seen().released().reversed()
    bait.is_refused(stage, "given to nobody")
    bait = Bait(forger, index=40).seen().released().reversed().seen(b"\x0c" * 32, 120)
    bait.is_refused(stage, "given to nobody")
    again = Bait(forger, index=40).seen().released().reversed().seen(b"\x0c" * 32, 120).released()
    with refuses("HISTORY_INVALID") as caught:
        again.judge(stage)
    assert "repeats a release" in caught.error.problem
    fresh = Bait(forger, index=40).seen().released().reversed().seen(b"\x0c" * 32, 120)
    fresh.released(nonce=b"\x08" * 16, block=b"\x0c" * 32)
    assert len(fresh.judge(stage).released) == 1


def test_whoever_has_the_deposits_sees_that_it_is_another_coin(forger):
    for lie in ({"block": bytes(32)}, {"amount": TWO + 1}):
        bait = Bait(forger, index=40).seen().released(**lie)
        with refuses("HISTORY_INVALID"):
            bait.log.history()


# --- whose transaction it is ------------------------------------------------------------------------------------------


def stranger_s(bait):
    return Transaction.parse(bait.forger.previous[bait.txid])


def claim(bait, drafted, request):
    """Enter a transfer as agreed to and asked to be signed, of which no officer knows."""
    forger = bait.forger
    story = forger.story(
        drafted, Stage.SIGN, request=request, approvals=(), previous=tuple(forger.previous.values())[:1]
    )
    bait.log.write(kinds.REQUESTED, request)
    bait.log.tell(story)
    bait.change = 0 if drafted.change is None else drafted.change + 1
    return drafted.transfer_id


def test_a_coordinator_does_not_make_a_stranger_s_transaction_ours_by_releasing_it(forger, stage):
    bait = Bait(forger, Branch.CHANGE, index=0).seen()
    request = forger.request((SUPPLIER, 1_000_000), nonce=b"\x01" * 16)
    transfer = claim(bait, forger.draft(request, coins=(forger.coins[1],)), request)
    log, now = bait.log, forger.now
    log.write(kinds.COMBINED, CombinedPsbt(transfer=transfer, cosigners=(), signatures=(), at=now))
    verified = VerifiedTransaction(transfer=transfer, raw=stranger_s(bait).serialize(), judges=(), at=now)
    log.write(kinds.VERIFIED, verified)
    log.write(kinds.RELEASED, Release(transfer=transfer, txid=bait.txid, verified=verified.digest(), at=now))
    bait.is_refused(stage, "is another transaction")


def test_nor_by_drafting_it_as_it_stands(forger, stage):
    bait = Bait(forger, Branch.CHANGE, index=0).seen()
    theirs, coin = stranger_s(bait), forger.coins[1]
    request = forger.request((SUPPLIER, 1_000_000), nonce=b"\x01" * 16)
    spent = theirs.inputs[0].outpoint
    said = SpentOutput(txid=spent.txid, vout=spent.index, amount=SIXTY, script_pubkey=coin.script_pubkey)
    drafted = forger.redrafted(
        forger.draft(request, coins=(coin,)),
        version=theirs.version,
        inputs=theirs.inputs,
        outputs=theirs.outputs,
        locktime=theirs.locktime,
        spent=(said,),
        seats=(Seat(branch=coin.branch, index=coin.index),),
        change=None,
    )
    transfer = claim(bait, drafted, request)
    seen = SpendSeen(transfer=transfer, txid=bait.txid, block=BLOCK, height=100, at=forger.now)
    bait.log.write(kinds.SENT_EARLY, seen)
    bait.is_refused(stage, "was not agreed to")


def test_nor_is_change_ours_of_a_transfer_that_officers_never_agreed_to(forger, stage):
    # The transaction is a real one of this vault's, and k custodians sent it: what comes of it is looked at first.
    first = forger.request((SUPPLIER, 1_000_000), nonce=b"\x02" * 16)
    drafted = forger.draft(first, coins=(forger.coins[1],))
    made = drafted.transaction
    vout = next(at for at, each in enumerate(made.outputs) if each.script_pubkey == forger.vault.script_pubkey(1, 0))
    bait = Bait(forger)
    forger.previous[made.txid] = made.serialize()
    bait.coin = replace(
        bait.coin,
        outpoint=OutPoint(made.txid, vout),
        amount=made.outputs[vout].amount,
        script_pubkey=made.outputs[vout].script_pubkey,
        branch=Branch.CHANGE,
        index=0,
    )
    transfer = claim(bait, drafted, first)
    seen = SpendSeen(transfer=transfer, txid=made.txid, block=BLOCK, height=100, at=forger.now)
    bait.log.write(kinds.SENT_EARLY, seen)
    bait.is_refused(stage, "was not agreed to")
