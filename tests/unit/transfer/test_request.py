"""A request: what may be asked for, by whom, and that it is text until its requester signs it."""

import pytest

from custody.charter.rules import Payment
from custody.envelope import sign
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, SUPPLIER
from custody.transfer.request import (
    Purpose,
    RequestedPayment,
    TransferRequest,
    check_request,
    read_request,
    refuse_expired_request,
)
from custody.units import Network

ONE = RequestedPayment(payee=SUPPLIER, amount=1)
ALL = RequestedPayment(payee=SUPPLIER, amount=None)
NOTHING = RequestedPayment(payee=SUPPLIER, amount=0)
OTHER = bytes(31) + b"\x01"


@pytest.mark.parametrize(
    ("purpose", "payments", "replaces", "is_sound"),
    [
        (Purpose.PAYMENT, (ONE,), (), True),
        (Purpose.PAYMENT, (ONE, ONE), (OTHER,), True),
        (Purpose.PAYMENT, (), (), False),
        (Purpose.PAYMENT, (ALL,), (), False),
        (Purpose.PAYMENT, (ONE, ALL), (), False),
        (Purpose.PAYMENT, (ONE, NOTHING), (), False),
        (Purpose.SWEEP, (ALL,), (), True),
        (Purpose.SWEEP, (ONE,), (), False),
        (Purpose.SWEEP, (ALL, ALL), (), False),
        (Purpose.SWEEP, (), (), False),
        (Purpose.CONSOLIDATION, (), (), True),
        (Purpose.CONSOLIDATION, (ONE,), (), False),
        (Purpose.CANCELLATION, (), (OTHER,), True),
        (Purpose.CANCELLATION, (), (), False),
        (Purpose.CANCELLATION, (ONE,), (OTHER,), False),
        (Purpose.PAYMENT, (ONE,), (OTHER, OTHER), False),
    ],
)
def test_a_request_says_one_thing(told, edit, purpose, payments, replaces, is_sound):
    def make() -> TransferRequest:
        return edit(told.request, purpose=purpose, payments=payments, replaces=replaces)

    if is_sound:
        assert make().wanted() == tuple(
            Payment(each.payee, each.amount) for each in payments if each.amount is not None
        )
    else:
        with refuses("REQUEST_INVALID"):
            make()


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("parent", [None, OTHER])
def test_a_child_names_its_parent_and_nothing_else_does(told, edit, purpose, parent):
    payments = {Purpose.PAYMENT: (ONE,), Purpose.SWEEP: (ALL,)}.get(purpose, ())
    replaces = (bytes(32),) if purpose is Purpose.CANCELLATION else ()

    def make() -> TransferRequest:
        return edit(told.request, purpose=purpose, payments=payments, replaces=replaces, parent=parent)

    if (purpose is Purpose.CHILD) is (parent is not None):
        assert make().wanted() == tuple(Payment(each.payee, each.amount) for each in payments if each.amount)
    else:
        with refuses("REQUEST_INVALID"):
            make()


def test_a_child_pays_nobody(told, edit):
    with refuses("REQUEST_INVALID"):
        edit(told.request, purpose=Purpose.CHILD, payments=(ONE,), parent=OTHER)


def test_a_request_without_a_parent_has_one_spelling(told, edit):
    plain = told.request.to_bytes()
    assert b"parent" not in plain
    assert TransferRequest.from_bytes(plain) == told.request
    spelt = plain.replace(b'"payments":', b'"parent":null,"payments":')
    with refuses("RECORD_NOT_CANONICAL"):
        TransferRequest.from_bytes(spelt)
    child = edit(told.request, purpose=Purpose.CHILD, payments=(), parent=OTHER)
    assert TransferRequest.from_bytes(child.to_bytes()).parent == OTHER


@pytest.mark.parametrize("lifetime", [0, -1])
def test_a_request_does_not_expire_before_it_is_made(told, edit, lifetime):
    with refuses("REQUEST_INVALID"):
        edit(told.request, expires=told.request.issued + lifetime)


def test_a_request_holds_to_the_last_second_before_it_expires(told):
    refuse_expired_request(told.request, told.request.expires - 1)
    with refuses("REQUEST_EXPIRED"):
        refuse_expired_request(told.request, told.request.expires)


def test_a_signed_request_passes(told):
    assert check_request(told.request_envelope, told.charter) == told.request
    assert read_request(told.request_envelope) == told.request


@pytest.mark.parametrize("signer", [OFFICERS[0], "nobody"])
def test_a_request_that_its_requester_did_not_sign_is_text(told, signer):
    others = () if signer == "nobody" else (told.cast.people[signer],)
    forged = sign(told.request, *others) if others else sign(told.request, told.cast.witness)
    with refuses("REQUEST_AUTHOR"):
        check_request(forged, told.charter)


@pytest.mark.parametrize(("name", "signer"), [("Mallory", REQUESTER), (OFFICERS[0], OFFICERS[0])])
def test_who_may_not_ask_is_refused_even_with_a_good_signature(told, edit, name, signer):
    with refuses("REQUEST_AUTHOR"):
        check_request(sign(edit(told.request, requester=name), told.cast.people[signer]), told.charter)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"network": Network.MAIN}, "NETWORK_MISMATCH"),
        ({"charter": bytes(32)}, "REQUEST_MISMATCH"),
        ({"vault": bytes(32)}, "VAULT_ID_MISMATCH"),
        ({"payments": (RequestedPayment(payee="Mallory", amount=1),)}, "NAME_UNKNOWN"),
    ],
)
def test_a_request_for_something_else_is_refused(told, edit, changes, code):
    with refuses(code):
        check_request(sign(edit(told.request, **changes), told.cast.people[REQUESTER]), told.charter)


def test_two_requests_for_the_same_thing_are_two(told, edit):
    assert edit(told.request, nonce=bytes(16)).digest() != told.request.digest()
