"""One person, one key."""

import itertools

import pytest
from pydantic import ValidationError

from custody.charter.people import Person, Role, Witness, refuse_shared_keys
from custody.testing.asserts import refuses

KEYS = [bytes([n]) * 32 for n in range(1, 4)]


def test_different_keys_pass():
    refuse_shared_keys([(f"p{n}", key) for n, key in enumerate(KEYS)])


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(range(3), 2)))
def test_a_key_that_stands_twice_is_refused_and_both_are_named(first, second):
    holders = [[f"p{n}", key] for n, key in enumerate(KEYS)]
    holders[second][1] = holders[first][1]
    with refuses("DUP_OFFICER_KEY") as caught:
        refuse_shared_keys([(name, key) for name, key in holders])
    assert (caught.error.first, caught.error.second) == (f"p{first}", f"p{second}")


def test_a_person_has_the_roles_listed_and_no_other():
    both = Person(name="A", key=KEYS[0], roles=(Role.OFFICER, Role.REQUESTER))
    assert both.has_role(Role.OFFICER)
    assert both.has_role(Role.REQUESTER)
    assert not Person(name="A", key=KEYS[0], roles=(Role.OFFICER,)).has_role(Role.REQUESTER)


@pytest.mark.parametrize("roles", [(), (Role.REQUESTER, Role.OFFICER), (Role.OFFICER, Role.OFFICER)])
def test_roles_stand_in_order_each_once_and_there_is_one(roles):
    with pytest.raises(ValidationError):
        Person(name="A", key=KEYS[0], roles=roles)


@pytest.mark.parametrize("name", ["", "UPPER.example", "-x", "a b", "a\nb", "x" * 101, "ü.example"])
def test_a_witness_s_name_fits_a_signed_note(name):
    with pytest.raises(ValidationError):
        Witness(name=name, key=KEYS[0])
