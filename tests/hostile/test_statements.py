"""Somebody else's address is stated as the institution's, and a payer pays it (THREATS F6, D8).

The liar owns the coordinator, its key, its database and its log, and has a witness cosign whatever extends that log.
What the officers' machines refuse, and what a payer's does when the officers' machines were never asked.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from custody.bitcoin.script import address
from custody.charter.card import CardOfficer, PayerCard, card_of, check_card
from custody.clock import CLOCK_SKEW
from custody.envelope import Envelope, EnvelopeSignature, sign
from custody.examine.statement import (
    DAY,
    MAX_DAYS,
    AddressStatement,
    StatementExamination,
    StatementPaper,
    compare_statement,
    examine_statement,
    signed_so_far,
    state_address,
    verify_statement,
    write_paper,
)
from custody.history import kinds
from custody.history.state import State
from custody.record import canonical
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import DEPOSITOR, OFFICERS, REQUESTER, Setting, expected, make_cast, person_key, vault_of
from custody.testing.forge import READ_BEFORE, Forge
from custody.testing.scenario import RememberedState
from custody.transfer.address import AddressAnnex, AddressIssued, ExpectedDeposit
from custody.transfer.annex import Annex
from custody.transfer.observe import UnexplainedSpend
from custody.units import Network
from custody.vault.descriptor import Branch
from custody.words import show_words

THIEF, _ = vault_of(("eve", "mallory", "trudy"), 2)
THIEVES_ADDRESS = THIEF.address(Branch.RECEIVE, 0)


def annex_of(deposit: ExpectedDeposit) -> Annex:
    return Annex.of(AddressAnnex.of(deposit), hashlib.sha256(deposit.purpose.encode()).digest())


def issue(log: Forge, deposit: ExpectedDeposit, vault: bytes, index: int) -> AddressIssued:
    """Enter that an address was given out; what was entered."""
    annex = annex_of(deposit)
    issued = AddressIssued.of(deposit.coin_class, annex.named, vault, index, 0, log.now)
    log.annex(annex)
    log.write(kinds.ADDRESS_ISSUED, issued)
    return issued


@pytest.fixture
def issued(forger) -> Forge:
    """A log in which the ministry was given index 0, and somebody else index 1."""
    log = forger.bare_log()
    for index, deposit in enumerate((expected(), expected("mined in May", "mined"))):
        issue(log, deposit, forger.vault.id, index)
    return log


@pytest.fixture
def paper_of(forger, issued, edit) -> Callable[..., StatementPaper]:
    """The paper for a statement of index 0; `lies` are other fields of the statement, `log` another log under it."""

    def write(log: Any = None, **lies: Any) -> StatementPaper:
        log = log or issued
        signed = log.cosigned()
        annex = annex_of(expected())
        own = AddressIssued.of("seized", annex.named, forger.vault.id, 0, 0, forger.now)
        asked = state_address(own, annex, forger.cast.charter, signed.checkpoint, forger.now, 30 * DAY)
        shown = lies.pop("annex", annex)
        return write_paper(edit(asked, **lies), shown, forger.cast.envelope, signed, log.entries)

    return write


@pytest.fixture
def judge(forger, edit, visits) -> Callable[..., Any]:
    """What an officer's machine makes of a paper: one that has seen nothing, half of the log, or what is `known`."""

    def examined(paper: StatementPaper, now: int = forger.now, known: State | None = None) -> StatementExamination:
        if known is None:
            known = State(forger.cast.digest)
            if visits != "at once":
                known = READ_BEFORE[visits](forger.cast.digest, paper.lines[: len(paper.lines) // 2])
                paper = edit(paper, since=known.size, lines=paper.lines[known.size :])
        return examine_statement(paper, known, now)

    return examined


def signed_by(statement: AddressStatement, *names: str) -> Envelope:
    return sign(statement, *(person_key(name) for name in names))


class At:
    """A clock that stands."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


@pytest.fixture
def officers(forger) -> Callable[[str], Station]:
    """An officer's own station."""

    def open_station(_: str) -> Station:
        station = Station(RememberedState(), At(forger.now))
        station.trust(forger.cast.envelope, show_words(forger.cast.digest))
        return station

    return open_station


# --- the honest way ---------------------------------------------------------------------------------------------------


def test_an_honest_statement_is_signed_in_turn_and_verified_by_the_card_alone(forger, paper_of, officers):
    paper, card = paper_of(), card_of(forger.cast.charter)
    first = officers("a").sign_statement(paper, forger.cast.people[OFFICERS[0]])
    with refuses("STATEMENT_UNSIGNED") as caught:
        verify_statement(first, card, forger.now)
    assert (caught.error.given, caught.error.needed) == (1, 2)
    assert caught.error.missing == ", ".join(OFFICERS[1:])
    both = officers("b").sign_statement(paper, forger.cast.people[OFFICERS[1]], first)
    found = verify_statement(both, card, forger.now)
    assert found.statement.address == forger.vault.address(Branch.RECEIVE, 0)
    assert (found.statement.payer, found.statement.coin_class) == (DEPOSITOR, "seized")
    compare_statement(found.statement, DEPOSITOR, found.statement.address.upper())
    # What reaches the payer tells nothing of the vault's keys.
    for cosigner in forger.vault.cosigners:
        for told in (both.body, card.to_bytes()):
            assert cosigner.expression().rpartition("]")[2].encode() not in told
            assert cosigner.fingerprint.hex().encode() not in told


# --- F6: another address ----------------------------------------------------------------------------------------------


def test_the_thief_s_address_is_not_signed_though_log_and_witness_agree(forger, paper_of, officers):
    # The log says "index 0 was given out", the checkpoint is signed and cosigned; the address beside it is the thief's.
    paper = paper_of(address=THIEVES_ADDRESS)
    with refuses("STATEMENT_MISMATCH") as caught:
        officers("a").sign_statement(paper, forger.cast.people[OFFICERS[0]])
    assert caught.error.what == "address"
    assert caught.error.expected == forger.vault.address(Branch.RECEIVE, 0)


@pytest.mark.parametrize("index", [1, 2, 999])
def test_an_address_of_the_vault_at_another_index_is_not_signed(forger, paper_of, judge, index):
    with refuses("STATEMENT_MISMATCH"):
        judge(paper_of(address=forger.vault.address(Branch.RECEIVE, index)))


def test_a_change_address_is_not_stated(forger, paper_of, judge):
    with refuses("STATEMENT_MISMATCH"):
        judge(paper_of(address=forger.vault.address(Branch.CHANGE, 0)))


def test_an_index_that_was_not_issued_is_not_signed_though_it_is_the_vault_s(forger, paper_of, judge):
    with refuses("ADDRESS_NOT_ISSUED") as caught:
        judge(paper_of(index=2, address=forger.vault.address(Branch.RECEIVE, 2)))
    assert caught.error.index == 2


def test_the_thief_s_vault_is_no_vault_of_the_charter(paper_of, judge, issued):
    with refuses("VAULT_ID_MISMATCH"):
        judge(paper_of(vault=THIEF.id, address=THIEVES_ADDRESS))
    # Written into the log as well, it makes the whole log one that nobody believes.
    issue(issued, expected("theirs"), THIEF.id, 0)
    with refuses("HISTORY_INVALID"):
        judge(paper_of())


def test_a_charter_with_the_thief_s_vault_is_another_charter(forger, paper_of, judge, edit, recast):
    swapped = recast(forger.cast, vaults=(edit(forger.cast.charter.vaults[0], descriptor=THIEF.descriptor),))
    paper = paper_of(charter=swapped.digest, vault=THIEF.id, address=THIEVES_ADDRESS)
    with refuses("CHARTER_MISMATCH"):
        judge(edit(paper, charter=swapped.envelope))
    with refuses("STATEMENT_MISMATCH") as caught:
        judge(paper)
    assert caught.error.what == "charter"


def test_a_statement_for_another_network_is_refused(forger, paper_of, judge):
    script = forger.vault.script_pubkey(Branch.RECEIVE, 0)
    with refuses("STATEMENT_MISMATCH") as caught:
        judge(paper_of(network=Network.SIGNET, address=address(script, Network.SIGNET)))
    assert caught.error.what == "network"
    with refuses("NETWORK_MISMATCH"):
        paper_of(network=Network.SIGNET)


@pytest.mark.parametrize(
    ("what", "lie"),
    [
        ("payer", {"payer": "Ministry of Justlce"}),
        ("purpose", {"purpose": "something else"}),
        ("class", {"coin_class": "bought"}),
    ],
)
def test_what_the_log_does_not_say_of_the_address_is_refused(paper_of, judge, what, lie):
    with refuses("STATEMENT_MISMATCH") as caught:
        judge(paper_of(**lie))
    assert caught.error.what == what


def test_an_address_given_to_somebody_else_is_not_stated_for_this_payer(forger, paper_of, judge):
    # Index 1 was issued, but for other coins: each field alone would pass somewhere.
    with refuses("STATEMENT_MISMATCH") as caught:
        judge(
            paper_of(
                index=1,
                address=forger.vault.address(Branch.RECEIVE, 1),
                annex=annex_of(expected("mined in May", "mined")),
            )
        )
    assert (caught.error.what, caught.error.expected) == ("purpose", "mined in May")


# --- the log ----------------------------------------------------------------------------------------------------------


def test_a_log_from_before_the_issuing_does_not_do(issued, paper_of, judge):
    before = Forge(issued.cast, issued.now, issued.entries[:2])
    with refuses("ADDRESS_NOT_ISSUED"):
        judge(paper_of(log=before))
    # Nor a statement that only names such a log while the paper shows a later one.
    with refuses("ADDRESS_NOT_ISSUED"):
        judge(paper_of(log_size=2, log_root=before.root))


@pytest.mark.parametrize("lie", [{"log_size": 3}, {"log_size": 5}, {"log_size": 0}, {"log_root": bytes(32)}])
def test_a_log_that_is_not_the_one_shown_is_not_named(paper_of, judge, lie):
    with refuses("STATEMENT_MISMATCH") as caught:
        judge(paper_of(**lie))
    assert caught.error.what == "log"


def test_a_later_log_that_extends_the_named_one_does(forger, issued, paper_of, judge, edit):
    early = paper_of()
    issue(issued, expected("later"), forger.vault.id, 2)
    later = paper_of()
    assert judge(edit(early, checkpoint=later.checkpoint, lines=later.lines)).statement == early.asked


def test_a_log_that_no_witness_stands_behind_is_refused(paper_of, judge, edit):
    paper = paper_of()
    alone = "\n".join(line for line in paper.checkpoint.split("\n") if "parliament" not in line)
    with refuses("HISTORY_UNWITNESSED"):
        judge(edit(paper, checkpoint=alone))


def test_a_log_that_is_shorter_or_another_than_the_one_seen_is_refused(issued, paper_of, judge):
    paper, other = paper_of(), Forge(issued.cast, issued.now, issued.entries[:-2])
    assert judge(paper, known=issued.history().state)
    issue(other, expected("another"), issued.cast.vault.id, 1)
    with refuses("HISTORY_FORKED"):
        judge(paper, known=other.history().state)
    issue(issued, expected("later"), issued.cast.vault.id, 2)
    with refuses("HISTORY_STALE"):
        judge(paper, known=issued.history().state)


def test_a_station_remembers_the_log_that_a_paper_showed(issued, paper_of, officers):
    station = officers("a")
    station.examine_statement(paper_of())
    assert (station.seen().size, station.seen().frontier.root) == (issued.size, issued.root)
    with refuses("HISTORY_STALE"):
        station.examine_statement(paper_of(log=Forge(issued.cast, issued.now, issued.entries[:3])))


def test_a_log_with_an_entry_altered_or_left_out_is_refused(paper_of, judge, edit):
    paper = paper_of()
    lines = paper.lines
    altered = lines[3].replace("seized", "seiyed")
    assert altered != lines[3]
    with refuses("LOG_CORRUPT"):
        judge(edit(paper, lines=(*lines[:3], altered, *lines[4:])))
    with refuses("EVIDENCE_INVALID"):
        judge(edit(paper, lines=lines[:3]))


def test_no_address_is_stated_after_an_unexplained_spend(forger, issued, paper_of, judge):
    early = paper_of()
    theft = UnexplainedSpend(
        txid=bytes(32), vout=0, spender=bytes(31) + b"\x01", header=bytes(80), height=151, at=forger.now
    )
    issued.write(kinds.UNEXPLAINED_SPEND, theft)
    with refuses("FROZEN"):
        judge(paper_of())
    # Nor by a statement that names the log as it was before.
    later = paper_of(log_size=early.asked.log_size, log_root=early.asked.log_root)
    with refuses("FROZEN"):
        judge(later)


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_statement_holds_from_its_issuing_to_its_end_and_not_a_second_longer(forger, paper_of, judge):
    paper, card = paper_of(), card_of(forger.cast.charter)
    envelope = signed_by(paper.asked, *OFFICERS[:2])
    first, last = paper.asked.issued - CLOCK_SKEW, paper.asked.expires - 1
    for now in (first, last):
        assert judge(paper, now)
        assert verify_statement(envelope, card, now)
    for now in (last + 1, last + 10 * 365 * DAY):
        with refuses("STATEMENT_EXPIRED"):
            judge(paper, now)
        with refuses("STATEMENT_EXPIRED"):
            verify_statement(envelope, card, now)
    # Not yet is not expired; where a witness has told the time, it is this machine's clock that is wrong.
    with refuses("CLOCK_SKEW"):
        judge(paper, first - 1)
    with refuses("STATEMENT_NOT_YET"):
        verify_statement(envelope, card, first - 1)


@pytest.mark.parametrize("lifetime", [0, -1, MAX_DAYS * DAY + 1, 50 * 365 * DAY])
def test_no_statement_holds_for_ever_or_never(forger, paper_of, lifetime):
    with refuses("STATEMENT_INVALID"):
        paper_of(expires=forger.now + lifetime)
    assert paper_of(expires=forger.now + MAX_DAYS * DAY)


# --- who signs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [REQUESTER, "coordinator", "parliament.example", "a stranger"])
def test_who_is_no_officer_does_not_sign_and_counts_for_nothing(forger, paper_of, officers, who):
    paper, card = paper_of(), card_of(forger.cast.charter)
    with refuses("STATEMENT_AUTHOR"):
        officers("a").sign_statement(paper, person_key(who))
    for beside in ((), OFFICERS[:1]):
        with refuses("STATEMENT_UNSIGNED") as caught:
            verify_statement(signed_by(paper.asked, who, *beside), card, forger.now)
        assert caught.error.given == len(beside)
    assert verify_statement(signed_by(paper.asked, who, *OFFICERS[:2]), card, forger.now).tally.threshold == 2


def test_one_officer_signing_twice_counts_once(forger, paper_of, officers):
    paper, card = paper_of(), card_of(forger.cast.charter)
    signer = forger.cast.people[OFFICERS[0]]
    once = officers("a").sign_statement(paper, signer)
    again = officers("a").sign_statement(paper, signer, once)
    with refuses("STATEMENT_UNSIGNED") as caught:
        verify_statement(again, card, forger.now)
    assert caught.error.given == 1
    twice = {
        "payload": once.payload,
        "payloadType": once.payloadType,
        "signatures": [each.model_dump(mode="json") for each in once.signatures] * 2,
    }
    with refuses("RECORD_INVALID"):
        Envelope.from_bytes(canonical(twice))


def test_a_statement_that_nobody_signed_is_refused(forger, paper_of):
    with refuses("STATEMENT_UNSIGNED") as caught:
        verify_statement(sign(paper_of().asked), card_of(forger.cast.charter), forger.now)
    assert (caught.error.given, caught.error.needed) == (0, 2)


def test_a_signature_on_another_statement_is_none_on_this(forger, paper_of, officers):
    paper, card = paper_of(), card_of(forger.cast.charter)
    honest = signed_by(paper.asked, *OFFICERS[:2])
    # The thief changes the address and keeps the signatures.
    stolen = sign(paper_of(address=THIEVES_ADDRESS).asked)
    forged = Envelope(payload=stolen.payload, payloadType=stolen.payloadType, signatures=honest.signatures)
    with refuses("SIG_INVALID"):
        verify_statement(forged, card, forger.now)
    with refuses("SIG_INVALID"):
        signed_so_far(forged, paper.asked, card.quorum(forger.vault.id))
    # Nor does an officer add a name to a statement that is not the one on the paper.
    other = paper_of(payer="Ministry of Finance").asked
    with refuses("STATEMENT_MISMATCH") as caught:
        officers("b").sign_statement(paper, forger.cast.people[OFFICERS[1]], signed_by(other, OFFICERS[0]))
    assert caught.error.what == "digest"


def test_a_signature_with_a_flipped_bit_refuses_the_whole(forger, paper_of):
    envelope = signed_by(paper_of().asked, *OFFICERS)
    damaged = bytearray(base64.b64decode(envelope.signatures[0].sig))
    damaged[0] ^= 1
    first = EnvelopeSignature(keyid=envelope.signatures[0].keyid, sig=base64.b64encode(damaged).decode())
    changed = Envelope(
        payload=envelope.payload,
        payloadType=envelope.payloadType,
        signatures=(first, *envelope.signatures[1:]),
    )
    with refuses("SIG_INVALID"):
        verify_statement(changed, card_of(forger.cast.charter), forger.now)


def test_what_a_stranger_adds_changes_nothing_even_when_it_is_no_signature(forger, paper_of):
    envelope = signed_by(paper_of().asked, *OFFICERS[:2])
    junk = EnvelopeSignature(keyid=bytes(32).hex(), sig=base64.b64encode(bytes(64)).decode())
    with_junk = Envelope(
        payload=envelope.payload, payloadType=envelope.payloadType, signatures=(junk, *envelope.signatures)
    )
    found = verify_statement(with_junk, card_of(forger.cast.charter), forger.now)
    assert len(found.tally.acted) == 2


def test_an_officer_s_signature_under_another_document_is_no_statement(forger):
    approval = forger.approval(forger.draft())
    with refuses("ENVELOPE_TYPE"):
        verify_statement(approval, card_of(forger.cast.charter), forger.now)


# --- the card ---------------------------------------------------------------------------------------------------------


def thieves_card(card: PayerCard, edit: Callable[..., Any]) -> PayerCard:
    """The same names over the thief's keys."""
    officers = tuple(
        CardOfficer(name=each.name, key=person_key(f"eve as {each.name}").public_key) for each in card.officers
    )
    return edit(card, officers=officers)


def test_a_card_with_other_keys_has_other_words_and_no_officer_publishes_it(forger, paper_of, edit):
    card = card_of(forger.cast.charter)
    forged = thieves_card(card, edit)
    assert show_words(forged.digest()) != show_words(card.digest())
    with refuses("CARD_MISMATCH"):
        check_card(forged, forger.cast.charter)
    # By its own keys the thief's statement verifies: the words are all that stands between.
    stated = signed_by(paper_of(address=THIEVES_ADDRESS).asked, *(f"eve as {each}" for each in OFFICERS[:2]))
    assert verify_statement(stated, forged, forger.now)
    with refuses("STATEMENT_UNSIGNED"):
        verify_statement(stated, card, forger.now)


def test_a_card_that_asks_for_fewer_officers_is_another_card(forger, edit):
    card = card_of(forger.cast.charter)
    fewer = edit(card, vaults=(edit(card.vaults[0], threshold=1),))
    assert fewer.digest() != card.digest()
    with refuses("CARD_MISMATCH"):
        check_card(fewer, forger.cast.charter)


def test_one_key_under_two_names_makes_no_card(forger, edit):
    card = card_of(forger.cast.charter)
    first, second, third = card.officers
    with refuses("DUP_OFFICER_KEY"):
        edit(card, officers=(first, edit(second, key=first.key), third))


def test_a_statement_under_another_charter_is_refused_by_this_card(forger, paper_of, edit):
    other = make_cast(Setting(approvals=1))
    envelope = signed_by(paper_of().asked, *OFFICERS[:2])
    with refuses("STATEMENT_MISMATCH") as caught:
        verify_statement(envelope, card_of(other.charter), forger.now)
    assert caught.error.what == "charter"
    elsewhere = edit(card_of(forger.cast.charter), network=Network.SIGNET)
    with refuses("STATEMENT_MISMATCH") as caught:
        verify_statement(envelope, elsewhere, forger.now)
    assert caught.error.what == "network"


def test_a_vault_that_the_card_does_not_list_is_refused(forger, paper_of):
    envelope = signed_by(paper_of(vault=THIEF.id, address=THIEVES_ADDRESS).asked, *OFFICERS[:2])
    with refuses("STATEMENT_MISMATCH") as caught:
        verify_statement(envelope, card_of(forger.cast.charter), forger.now)
    assert caught.error.what == "vault"


# --- the payer --------------------------------------------------------------------------------------------------------


def test_a_statement_for_another_payer_or_of_another_address_is_not_paid_by(forger, paper_of):
    stated = paper_of().asked
    with refuses("STATEMENT_MISMATCH") as caught:
        compare_statement(stated, "Ministry of Finance", None)
    assert caught.error.what == "payer"
    # An address that begins and ends alike is not the same (D8): the script is compared, and not a few characters.
    for other in (THIEVES_ADDRESS, forger.vault.address(Branch.RECEIVE, 1)):
        with refuses("STATEMENT_MISMATCH") as caught:
            compare_statement(stated, None, other)
        assert caught.error.what == "address"
    with refuses("NETWORK_MISMATCH"):
        compare_statement(stated, None, address(forger.vault.script_pubkey(Branch.RECEIVE, 0), Network.MAIN))
    with refuses("TEXT_FORBIDDEN"):
        compare_statement(stated, "Ministry\x1b[2J", None)
    compare_statement(stated, DEPOSITOR, stated.address)
