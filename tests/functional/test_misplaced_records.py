"""A record where its digest is asked for is a mistake of the program, and is told with what to give instead."""

import inspect

import pytest

from custody import Custodian, History, PayerCard, RequestedPayment, Withdrawal, decide, show_words, verify_charter
from custody.charter.card import card_of
from custody.delivery import Delivery
from custody.examine.evidence import Stage
from custody.showing import Showing
from custody.testing.scenario import Scenario
from custody.transfer.request import ReasonAnnex

IDS = {"transfer_id", "request_id", "vault_id", "named"}


def taking_ids(kind):
    """Names of the public methods of a class that take an id, each with which."""
    for name, each in inspect.getmembers(kind, inspect.isfunction):
        found = IDS & set(inspect.signature(each).parameters)
        if found and not name.startswith("_"):
            yield kind, name, found.pop()


METHODS = [each for kind in (Custodian, Delivery, History, PayerCard, Showing) for each in taking_ids(kind)]


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded(60_000_000)
    yield scenario
    scenario.close()


@pytest.fixture(scope="module")
def transfer(story):
    return story.transfer(story.authorized())


@pytest.fixture(scope="module")
def owners(story, transfer):
    """Something of each class whose methods are called."""
    custodian = story.custodian
    every = (custodian, custodian._delivery, custodian.showing, transfer.source, card_of(story.cast.charter))
    return {type(each): each for each in every}


@pytest.fixture(scope="module")
def usual(story, transfer):
    """What else these methods ask for."""
    returned = story.custodian.psbt(transfer.id).to_psbt()
    return {"returned": returned, "branch": 0, "stage": Stage.SIGN, "record": ReasonAnnex}


def test_every_method_that_takes_an_id_is_tried():
    assert {kind for kind, _, _ in METHODS} == {Custodian, Delivery, History, PayerCard, Showing}
    assert len(METHODS) > 15


@pytest.mark.parametrize(("kind", "method", "name"), METHODS, ids=lambda each: getattr(each, "__name__", each))
def test_no_method_takes_a_record_for_its_digest(owners, transfer, usual, kind, method, name):
    called = getattr(owners[kind], method)
    parameters = inspect.signature(called).parameters.values()
    needed = [each.name for each in parameters if each.default is inspect.Parameter.empty]
    arguments = {each: transfer.draft if each == name else usual[each] for each in needed}
    with pytest.raises(TypeError, match=r"is asked for as its 32 bytes, and a Draft was given: give its \.transfer_id"):
        called(**arguments)


def test_nor_does_any_function_of_the_front_door(story, transfer):
    charter, history = story.cast.charter, transfer.source
    calls = [
        lambda: Custodian(story.store, charter, story.cast.coordinator, None),
        lambda: verify_charter(story.cast.envelope, charter),
        lambda: show_words(charter),
        lambda: charter.vault_by_id(charter),
        lambda: decide(charter, history.case(transfer), charter, history.facts(0)),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"as its 32 bytes, and a Charter was given: give its \.digest\(\)"):
            call()


def test_nor_does_a_record_s_field(story, transfer):
    fields = {
        "network": story.cast.charter.network,
        "charter": story.cast.digest,
        "transfer": transfer.id,
        "person": "Dana",
        "annex": bytes(32),
        "issued": 0,
        "nonce": bytes(16),
    }
    Withdrawal(**fields)
    with pytest.raises(TypeError, match=r"a digest is asked for as its 32 bytes, and a Draft was given"):
        Withdrawal(**fields | {"transfer": transfer.draft})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ab" * 32, "a str was given: read hexadecimal digits with bytes.fromhex"),
        (RequestedPayment(payee="Supplier", amount=1), r"a RequestedPayment was given: give its \.digest\(\)"),
        (None, "a NoneType was given$"),
    ],
)
def test_what_to_give_instead_is_said(story, given, told):
    with pytest.raises(TypeError, match=told):
        story.custodian.decide(given)


def test_a_vault_and_what_says_of_which_transfer_it_is_are_known_by_their_own_ids(story, transfer):
    with pytest.raises(TypeError, match=r"a Vault was given: give its \.id"):
        story.history().next_index(story.cast.vault, 0)
    with pytest.raises(TypeError, match=r"a Transfer was given: give its \.id"):
        story.custodian.decide(transfer)
    with pytest.raises(TypeError, match=r"an? SigningRequested was given: give its \.transfer"):
        story.custodian.decide(transfer.signing)
