"""Who asked, who agreed, and to exactly what (THREATS F9, F10, D1, D2): papers carried from one place to another.

Each paper is truly signed by whoever it names, unless the test is about just that; what is wrong is where it is used.
"""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from custody.bitcoin.script import p2wpkh, script_of
from custody.bitcoin.transaction import TxOut
from custody.charter.document import AddressPayee
from custody.charter.people import Person, Role, Witness
from custody.charter.text import parse_charter
from custody.envelope import Envelope, EnvelopeSignature, sign
from custody.examine.evidence import Stage
from custody.examine.examination import examine
from custody.history import kinds
from custody.history.state import State
from custody.log import write_line
from custody.testing.asserts import refuses
from custody.testing.cast import (
    OFFICERS,
    REQUESTER,
    SUPPLIER,
    TAX_OFFICE,
    Setting,
    make_cast,
    payee_address,
    person_key,
    secret,
    vault_of,
)
from custody.testing.forge import believed
from custody.testing.scenario import Scenario
from custody.transfer.approval import Opinion, check_approval
from custody.transfer.draft import Draft, VaultDestination
from custody.transfer.request import RequestPaper, read_request
from custody.transfer.signing import SigningRequested
from custody.units import Network
from custody.words import check_spoken, show_words, words

FAR = 2**31 - 1
DAY = 24 * 3600


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


# --- F9: the requester is text until they sign ----------------------------------------------------------------------


def unsigned(envelope: Envelope) -> Envelope:
    return Envelope(payload=envelope.payload, payloadType=envelope.payloadType, signatures=())


@pytest.fixture(scope="module")
def false_requests(forger) -> dict[str, Envelope]:
    """Requests that say Dana asked."""
    honest = forger.request()
    other = forger.request(reason="invoice 18")
    stolen = other.signatures[0]
    renamed = EnvelopeSignature(keyid=stolen.keyid, sig=stolen.sig)
    key = forger.cast.people[REQUESTER].public_key.hex()
    coordinators = forger.request(signer=forger.cast.coordinator)
    return {
        "unsigned": unsigned(honest),
        "signed by the coordinator": coordinators,
        "signed by an officer": forger.request(signer=forger.cast.people[OFFICERS[0]]),
        "signed by everyone else": sign(
            read_request(honest), *(forger.cast.people[name] for name in OFFICERS), forger.cast.coordinator
        ),
        "with the signature of another request": Envelope(
            payload=honest.payload, payloadType=honest.payloadType, signatures=(renamed,)
        ),
        "with the coordinator's signature under Dana's name": Envelope(
            payload=honest.payload,
            payloadType=honest.payloadType,
            signatures=(EnvelopeSignature(keyid=key, sig=coordinators.signatures[0].sig),),
        ),
    }


FALSE_REQUESTS = (
    "unsigned",
    "signed by the coordinator",
    "signed by an officer",
    "signed by everyone else",
    "with the signature of another request",
    "with the coordinator's signature under Dana's name",
)


@pytest.mark.parametrize("which", FALSE_REQUESTS)
def test_a_request_that_its_requester_did_not_sign_is_text(forger, story, annex_of, stage, false_requests, which):
    assert set(false_requests) == set(FALSE_REQUESTS)
    request = false_requests[which]
    with refuses("REQUEST_AUTHOR"):
        forger.judge(forger.draft(request), stage, request=request)
    with refuses("REQUEST_AUTHOR"):
        story.custodian.submit(RequestPaper(signed=request, annex=annex_of()))


@pytest.mark.parametrize("who", ["Nobody", OFFICERS[0]])
def test_a_request_by_somebody_who_may_not_ask_is_refused(forger, stage, who):
    # A stranger with a key of their own, and an officer who has not the role.
    request = forger.request(requester=who, signer=person_key(who))
    with refuses("REQUEST_AUTHOR"):
        forger.judge(forger.draft(request), stage, request=request)


def test_a_request_entered_in_another_s_name_is_refused(forger, stage):
    with refuses("ENTRY_AUTHOR"):
        forger.judge(forger.draft(), stage, author=OFFICERS[0])


def test_a_requester_does_not_approve_their_own_request(forger_of, recast, edit, stage):
    cast = make_cast()
    roles = (Role.OFFICER, Role.REQUESTER)
    people = tuple(edit(each, roles=roles) if each.name == "Aigerim" else each for each in cast.charter.people)
    both = recast(cast, people=people)
    forger = forger_of(both)
    request = forger.request(requester="Aigerim")
    drafted = forger.draft(request)
    with refuses("APPROVAL_SELF"):
        check_approval(forger.approval(drafted, "Aigerim"), forger.proposal(drafted, request))
    approvals = [forger.approval(drafted, officer) for officer in OFFICERS[:2]]
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(drafted, stage, request=request, approvals=approvals)
    assert caught.error.__cause__.code == "APPROVAL_SELF"
    # Two others are enough, and the requester is none of those who are asked for more.
    others = [forger.approval(drafted, officer) for officer in OFFICERS[1:]]
    examined = forger.judge(drafted, Stage.SIGN, request=request, approvals=others)
    assert "Aigerim" not in (*examined.tallies[0].tally.acted, *examined.tallies[0].tally.missing)
    with refuses("APPROVAL_MISSING"):
        forger.judge(drafted, Stage.SIGN, request=request, approvals=others[:1])


def test_an_officer_does_not_become_another_requester_by_a_second_name(edit):
    cast = make_cast()
    again = Person(name="Bolat the requester", key=cast.people["Bolat"].public_key, roles=(Role.REQUESTER,))
    with refuses("DUP_OFFICER_KEY"):
        edit(cast.charter, people=tuple(sorted((*cast.charter.people, again), key=lambda each: each.name)))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"charter": bytes(32)}, "REQUEST_MISMATCH"),
        ({"vault": bytes(32)}, "VAULT_ID_MISMATCH"),
        ({"network": Network.MAIN}, "NETWORK_MISMATCH"),
    ],
    ids=["charter", "vault", "network"],
)
def test_a_request_for_another_charter_vault_or_network_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    forger, story, annex_of, stage, edit, changes, code
):
    request, honest = forger.request(**changes), forger.draft()
    drafted = edit(honest, identity=edit(honest.identity, request=read_request(request).digest()))
    with refuses(code):
        forger.judge(drafted, stage, request=request)
    with refuses(code):
        story.custodian.submit(RequestPaper(signed=request, annex=annex_of()))


def test_an_expired_request_is_shown_to_no_officer(forger):
    evidence = forger.evidence(stage=Stage.APPROVE)
    assert forger.examine(evidence, Stage.APPROVE, forger.now + 72 * 3600 - 1)
    with refuses("REQUEST_EXPIRED"):
        forger.examine(evidence, Stage.APPROVE, forger.now + 72 * 3600)


def test_a_payee_that_the_charter_does_not_name_is_refused(forger, stage, edit):
    request = forger.request()
    unknown = edit(read_request(request), payments=(edit(read_request(request).payments[0], payee="Mallory"),))
    signed = sign(unknown, forger.cast.people[REQUESTER])
    drafted = edit(forger.draft(), identity=edit(forger.draft().identity, request=unknown.digest()))
    with refuses("NAME_UNKNOWN"):
        forger.judge(drafted, stage, request=signed)


# --- D2: an approval holds for one draft ----------------------------------------------------------------------------


def other_drafts(forger, edit) -> dict[str, Draft]:
    """Drafts to which an approval of the honest one must not be carried."""
    drafted = forger.draft()
    first, *rest = drafted.transaction.outputs
    return {
        "one satoshi more to the payee": forger.redrafted(
            drafted, outputs=(replace(first, amount=first.amount + 1), *rest)
        ),
        "another locktime": forger.redrafted(drafted, locktime=0),
        "other coins": forger.draft(coins=(forger.coins[0], forger.coin(40_000_000, 0, 1))),
        "another request": forger.draft(forger.request(reason="invoice 18")),
        "another network": edit(drafted, identity=edit(drafted.identity, network=Network.MAIN)),
        "another vault": edit(drafted, identity=edit(drafted.identity, vault=bytes(32))),
        "another charter": edit(drafted, identity=edit(drafted.identity, charter=bytes(32))),
        "another amount spent": edit(
            drafted,
            identity=edit(
                drafted.identity,
                spent=(edit(drafted.identity.spent[0], amount=1), *drafted.identity.spent[1:]),
            ),
        ),
    }


def test_each_of_these_drafts_has_another_name_and_other_words(forger, edit):
    drafts = {"honest": forger.draft(), **other_drafts(forger, edit)}
    assert len({each.transfer_id for each in drafts.values()}) == len(drafts)
    assert len({show_words(each.transfer_id) for each in drafts.values()}) == len(drafts)


OTHER_DRAFTS = (
    "one satoshi more to the payee",
    "another locktime",
    "other coins",
    "another request",
    "another network",
    "another vault",
    "another charter",
    "another amount spent",
)


@pytest.mark.parametrize("which", OTHER_DRAFTS)
def test_an_approval_is_not_carried_to_another_draft(forger, edit, which):
    drafts = other_drafts(forger, edit)
    assert set(drafts) == set(OTHER_DRAFTS)
    approval = forger.approval(forger.draft())
    with refuses("APPROVAL_MISMATCH"):
        check_approval(approval, forger.proposal(drafts[which]))


@pytest.mark.parametrize("which", ["another locktime", "other coins", "another request"])
def test_a_log_that_carries_an_approval_over_is_refused(forger, edit, which):
    # The transfer itself is right and judged so; only the yes in its log was said to another one.
    request = forger.request(reason="invoice 18") if which == "another request" else forger.request()
    drafted = other_drafts(forger, edit)[which]
    assert forger.judge(drafted, Stage.SIGN, request=request)
    carried = [forger.approval(forger.draft(), OFFICERS[0]), forger.approval(drafted, OFFICERS[1])]
    with refuses("HISTORY_INVALID"):
        forger.judge(drafted, Stage.SIGN, request=request, approvals=carried)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": Network.MAIN}, "NETWORK_MISMATCH"),
        ({"vault": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"charter": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"charter_version": 2}, "APPROVAL_MISMATCH"),
        ({"charter_version": 0}, "APPROVAL_MISMATCH"),
        ({"transfer": bytes(32)}, "APPROVAL_MISMATCH"),
        ({"key": bytes(32)}, "APPROVAL_AUTHOR"),
    ],
    ids=["network", "vault", "charter", "next version", "version before", "transfer", "key"],
)
def test_an_approval_made_for_another_place_is_refused(forger, changes, code):
    drafted, request = forger.draft(), forger.request()
    odd = forger.approval(drafted, OFFICERS[0], **changes)
    with refuses(code):
        check_approval(odd, forger.proposal(drafted, request))
    if "transfer" in changes:
        return
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(drafted, Stage.SIGN, approvals=[odd, forger.approval(drafted, OFFICERS[1])])
    assert caught.error.__cause__.code == code


@pytest.mark.parametrize("how", ["unsigned", "by the coordinator", "by another officer", "by nobody known"])
def test_an_approval_that_its_officer_did_not_sign_is_refused(forger, how):
    drafted = forger.draft()
    honest = forger.approval(drafted, OFFICERS[0])
    false = {
        "unsigned": unsigned(honest),
        "by the coordinator": forger.approval(drafted, OFFICERS[0], forger.cast.coordinator),
        "by another officer": forger.approval(drafted, OFFICERS[0], forger.cast.people[OFFICERS[1]]),
        "by nobody known": forger.approval(drafted, OFFICERS[0], person_key("eve"), officer="Eve"),
    }[how]
    with refuses("APPROVAL_AUTHOR"):
        check_approval(false, forger.proposal(drafted))
    with refuses("HISTORY_INVALID") as caught:
        forger.judge(drafted, Stage.SIGN, approvals=[false, forger.approval(drafted, OFFICERS[1])])
    assert caught.error.__cause__.code == "APPROVAL_AUTHOR"


@pytest.mark.parametrize("who", [REQUESTER, "coordinator", "parliament.example"])
def test_somebody_who_is_no_officer_does_not_approve(forger, who):
    cast = forger.cast
    drafted = forger.draft()
    key = {"coordinator": cast.coordinator, "parliament.example": cast.witness}.get(who) or cast.people[who]
    approval = forger.approval(drafted, OFFICERS[0], key, officer=who, key=key.public_key)
    with refuses("APPROVAL_AUTHOR"):
        check_approval(approval, forger.proposal(drafted))


def test_one_officer_twice_is_one_officer(forger, story):
    drafted = forger.draft()
    twice = [forger.approval(drafted, OFFICERS[0]), forger.approval(drafted, OFFICERS[0], nonce=b"\x01" * 16)]
    with refuses("HISTORY_INVALID"):
        forger.judge(drafted, Stage.SIGN, approvals=twice)
    same = [forger.approval(drafted, OFFICERS[0])] * 2
    with refuses("HISTORY_INVALID"):
        forger.judge(drafted, Stage.SIGN, approvals=same)
    drafted, _ = story.drafted(story.request((SUPPLIER, 1_000_000)))
    evidence = story.custodian.evidence(drafted.transfer_id)
    story.custodian.approve(story.approval(evidence, OFFICERS[0]))
    with refuses("APPROVAL_TWICE"):
        story.custodian.approve(story.approval(evidence, OFFICERS[0]))
    with refuses("APPROVAL_MISSING"):
        story.custodian.authorize(drafted.transfer_id)


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (0, None),
        (7 * DAY - 1, None),
        (7 * DAY, "APPROVAL_EXPIRED"),
        (90 * DAY, "APPROVAL_EXPIRED"),
        (90 * DAY + 1, "CLOCK_SKEW"),
        (365 * DAY, "CLOCK_SKEW"),
        (-601, "CLOCK_SKEW"),
        (-DAY, "CLOCK_SKEW"),
    ],
)
def test_approvals_hold_in_their_time_only(forger, later, code):
    evidence = forger.evidence()
    now = forger.now + later
    if code is None:
        assert forger.examine(evidence, Stage.SIGN, now)
        return
    with refuses(code):
        forger.examine(evidence, Stage.SIGN, now)


def test_too_few_and_vetoed_are_not_signed(forger):
    drafted = forger.draft()
    yes = forger.approval(drafted, OFFICERS[0])
    no = forger.approval(drafted, OFFICERS[2], verdict=Opinion.VETO)
    with refuses("APPROVAL_MISSING"):
        forger.judge(drafted, Stage.SIGN, approvals=[yes])
    with refuses("VETOED"):
        forger.judge(drafted, Stage.SIGN, approvals=[yes, forger.approval(drafted, OFFICERS[1]), no])


def test_a_decision_that_the_rules_do_not_give_is_refused(forger, stage, edit):
    drafted = forger.draft()
    honest = forger.decision(drafted, forger.request())
    for lie in (
        {"demands": ()},
        {"demands": (edit(honest.demands[0], count=1),)},
        {"findings": honest.findings[:-1]},
    ):
        decision = edit(honest, **lie)
        with refuses("DECISION_DIFFERS"):
            forger.judge(drafted, stage, decision=decision)


@pytest.mark.parametrize(
    ("which", "code"),
    [
        pytest.param(slice(0, 0), "APPROVAL_MISSING", id="none"),
        pytest.param(slice(0, 1), "APPROVAL_MISSING", id="one of two"),
        pytest.param(slice(None, None, -1), "NOT_LOGGED", id="in another order"),
    ],
)
def test_an_authorization_of_other_approvals_is_refused(forger, edit, which, code):
    honest = forger.story().authorization
    odd = edit(honest, approvals=honest.approvals[which])
    with refuses(code):
        forger.judge(forger.draft(), Stage.SIGN, authorization=odd)


# --- D1: what one sees is what all see ------------------------------------------------------------------------------


def test_two_officers_who_are_shown_different_transfers_read_different_words(forger):
    honest = forger.draft()
    thief = p2wpkh(secret("thief")[:20])
    first, *rest = honest.transaction.outputs
    shown = forger.redrafted(honest, outputs=(replace(first, script_pubkey=thief), *rest))
    assert set(words(honest.transfer_id)) != set(words(shown.transfer_id))
    with refuses("DIGEST_MISMATCH"):
        check_spoken(shown.transfer_id, show_words(honest.transfer_id))
    # And what an officer signs for one of them counts nowhere else.
    with refuses("APPROVAL_MISMATCH"):
        check_approval(forger.approval(shown), forger.proposal(honest))


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize("lie", ["draft", "request", "decision", "approvals", "authorization"])
def test_a_body_that_differs_from_the_log_is_refused(forger, edit, lie):
    # The log holds one transfer, and asks for signatures on another: each right in itself, and so told apart only here.
    story = forger.story()
    other = {
        "draft": {"draft": forger.redrafted(forger.draft(), locktime=0)},
        "request": {"request": sign(read_request(forger.request()), *forger.cast.people.values())},
        "decision": {"decision": edit(forger.decision(forger.draft(), forger.request()), demands=())},
        "approvals": {"approvals": ()},
        "authorization": {"authorization": None},
    }[lie]
    log = forger.log()
    log.write(kinds.REQUESTED, story.request)
    log.tell(story)
    assert forger.examine(log.evidence(story.draft.transfer_id, story.previous))
    log.entries.pop()
    digest = replace(story, **other).body(forger.cast.digest).digest()
    asked = SigningRequested(transfer=story.draft.transfer_id, evidence=digest, at=forger.now)
    log.write(kinds.SIGNING_REQUESTED, asked)
    with refuses("NOT_LOGGED"):
        forger.examine(log.evidence(story.draft.transfer_id, story.previous))


@pytest.mark.parametrize("what", ["change", "destinations", "seats", "rate and height"])
def test_a_lie_beside_the_transaction_changes_nothing_that_is_read_from_it(forger, stage, edit, what):
    # All that a draft says beside its raw transaction only helps to read it; no officer is shown any of it.
    drafted = forger.draft()
    if what == "rate and height":
        lied = edit(drafted, rate=1, height=1, at=1)
        assert lied.transfer_id == drafted.transfer_id
        examined = forger.judge(lied, stage)
        assert examined.case == forger.judge(drafted, stage).case
        return
    lied, code = {
        "change": (edit(drafted, change=None), "OUTPUTS_NOT_REQUESTED"),
        "destinations": (
            edit(drafted, destinations=(VaultDestination(payee=SUPPLIER, index=0),)),
            "OUTPUTS_NOT_REQUESTED",
        ),
        "seats": (edit(drafted, seats=drafted.seats[::-1]), "FOREIGN_INPUT"),
    }[what]
    with refuses(code):
        forger.judge(lied, stage)


def test_an_officer_s_desk_shows_what_the_transaction_pays_and_not_what_the_request_says(forger, stage):
    # The lie of every stolen front end: the paper says Supplier, the bytes pay the thief.
    drafted = forger.draft()
    supplier = script_of(payee_address(SUPPLIER), Network.REGTEST)
    for script in (p2wpkh(secret("thief")[:20]), script_of(payee_address(TAX_OFFICE), Network.REGTEST)):
        outputs = [
            TxOut(each.amount, script) if each.script_pubkey == supplier else each
            for each in drafted.transaction.outputs
        ]
        with refuses("OUTPUTS_NOT_REQUESTED"):
            forger.judge(forger.redrafted(drafted, outputs=outputs), stage)
    shown = forger.judge(drafted, stage).payments
    assert [(each.payee, each.address, each.amount) for each in shown] == [
        (SUPPLIER, payee_address(SUPPLIER), 70_000_000)
    ]


# --- F10: one key, one person ---------------------------------------------------------------------------------------


def spellings(key: bytes) -> dict[str, str]:
    """One raw key as people write it."""
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + key
    pem = ed25519.Ed25519PublicKey.from_public_bytes(key).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {
        "hexadecimal": key.hex(),
        "capital hexadecimal": key.hex().upper(),
        "an SSH line": f"ssh-ed25519 {base64.b64encode(blob).decode()} bolat@desk",
        "an SSH line with another comment": f"ssh-ed25519 {base64.b64encode(blob).decode()}",
        "PEM": pem.decode(),
    }


CHARTER = """
institution = "National Bank"
network = "regtest"
origin = "custody.example/test"
coordinator = '''{coordinator}'''
witness_threshold = 1
[[person]]
name = "Aigerim"
key = '''{officer}'''
roles = ["officer"]
[[person]]
name = "Bolat"
key = '''{other}'''
roles = ["officer"]
[[person]]
name = "Dana"
key = '''{requester}'''
roles = ["requester"]
[[witness]]
name = "parliament.example"
key = '''{witness}'''
[[vault]]
name = "reserve"
descriptor = "{descriptor}"
[[rule]]
type = "approvals"
name = "one officer"
vaults = ["reserve"]
role = "officer"
count = 1
[[rule]]
type = "fee"
name = "modest fees"
vaults = ["reserve"]
max_fee = 100000
max_rate = 100000
max_share = 1000
"""
SEATS = ("coordinator", "officer", "other", "requester", "witness")


def charter_text(**keys: str) -> str:
    honest = {seat: person_key(seat).public_key.hex() for seat in SEATS}
    return CHARTER.format(descriptor=make_cast().vault.descriptor, **honest | keys)


def test_the_charter_of_these_tests_is_a_good_one():
    assert len(parse_charter(charter_text()).people) == 3


@pytest.mark.parametrize("spelling", spellings(person_key("one").public_key))
@pytest.mark.parametrize(
    ("one", "two"), [(one, two) for at, one in enumerate(SEATS) for two in SEATS[at + 1 :]], ids="-".join
)
def test_one_key_in_two_seats_is_refused_however_it_is_written(one, two, spelling):
    key = person_key("one").public_key
    assert parse_charter(charter_text(**{one: spellings(key)[spelling]}))
    with refuses("DUP_OFFICER_KEY"):
        parse_charter(charter_text(**{one: key.hex(), two: spellings(key)[spelling]}))


@pytest.mark.parametrize("pair", ["two officers", "officer and witness", "officer and coordinator", "two witnesses"])
def test_one_key_in_two_seats_of_a_record_is_refused(pair, edit):
    cast = make_cast()
    key = cast.people["Bolat"].public_key
    people, witnesses = cast.charter.people, cast.charter.witnesses
    changes = {
        "two officers": {"people": tuple(Person(name=each.name, key=key, roles=each.roles) for each in people)},
        "officer and witness": {"witnesses": (Witness(name="parliament.example", key=key),)},
        "officer and coordinator": {"coordinator": key},
        "two witnesses": {
            "witnesses": (*witnesses, Witness(name="site.example", key=witnesses[0].key)),
            "witness_threshold": 2,
        },
    }[pair]
    with refuses("DUP_OFFICER_KEY"):
        edit(cast.charter, **changes)


def test_one_name_for_two_people_is_refused(edit):
    cast = make_cast()
    twin = Person(name="Bolat", key=person_key("eve").public_key, roles=(Role.OFFICER,))
    people = tuple(sorted((*cast.charter.people, twin), key=lambda each: each.name))
    with refuses("CHARTER_INVALID"):
        edit(cast.charter, people=people)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["as it stands", "keys in another order"])
def test_one_vault_under_two_names_is_refused(edit, order):
    # Its coins would be governed by whichever name has the laxer rules.
    cast = make_cast()
    names = tuple(cast.vault.cosigners[at].name for at in order)
    alias = edit(cast.charter.vaults[0], name="second", descriptor=vault_of(names, 2)[0].descriptor)
    with refuses("CHARTER_INVALID"):
        edit(cast.charter, vaults=(cast.charter.vaults[0], alias))


# --- files ----------------------------------------------------------------------------------------------------------


def test_evidence_with_a_line_of_another_log_is_refused(forger, edit):
    evidence = forger.evidence()
    other = forger.log()
    other.write(kinds.REQUESTED, forger.request(), author="somebody else")
    lines = list(evidence.lines)
    asked = len(other.entries) - 1
    lines[asked] = write_line(other.entries[asked]).decode()
    swapped = edit(evidence, lines=tuple(lines))
    with refuses("PROOF_INVALID"):
        examine(swapped, State(forger.cast.digest), Stage.SIGN, forger.now)
    # Nor when the lines before it were seen already.
    later = edit(swapped, since=2, lines=swapped.lines[2:])
    known = believed(forger.cast.digest, evidence.lines[:2])
    with refuses("HISTORY_FORKED"):
        examine(later, known, Stage.SIGN, forger.now)


def test_evidence_under_too_few_witnesses_is_refused(forger_of, stage, edit):
    cast = make_cast()
    extra = Witness(name="site.example", key=person_key("site.example").public_key)
    charter = edit(cast.charter, witnesses=(*cast.charter.witnesses, extra), witness_threshold=2)
    everyone = [cast.coordinator, *cast.people.values(), cast.witness, person_key("site.example")]
    forger = forger_of(replace(cast, charter=charter, envelope=sign(charter, *everyone)))
    with refuses("HISTORY_UNWITNESSED"):
        forger.judge(forger.draft(), stage)


def test_a_setting_with_one_officer_is_what_it_says(forger_of):
    forger = forger_of(make_cast(Setting(approvals=1)))
    drafted = forger.draft()
    assert forger.judge(drafted, Stage.SIGN, approvals=[forger.approval(drafted)])


def test_an_address_payee_cannot_be_named_twice_under_one_address(edit):
    cast = make_cast()
    twin = AddressPayee(name="Supplier Ltd", address=payee_address(SUPPLIER))
    with refuses("CHARTER_INVALID"):
        edit(cast.charter, payees=tuple(sorted((*cast.charter.payees, twin), key=lambda each: each.name)))
