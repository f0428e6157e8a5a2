"""Every error of the whole tree: one code each, and something to do next."""

import importlib
import inspect
import pkgutil
import re
import string

import pytest

import custody
from custody.errors import BackendError, CustodyError, IntegrityError, InvalidInput, Refused, leaf_errors

BRANCHES = {InvalidInput: 3, Refused: 4, BackendError: 5, IntegrityError: 6}


def import_everything() -> list[type[CustodyError]]:
    for module in pkgutil.walk_packages(custody.__path__, "custody."):
        # Migrations are run by alembic and nobody else.
        if not module.name.endswith(".__main__") and ".migrations" not in module.name:
            _import(module.name)
    return [each for each in leaf_errors() if each.__module__.startswith("custody.")]


def _import(name: str) -> None:
    """Import a module, unless it belongs to an extra that is not installed here."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("custody"):
            raise


LEAVES = import_everything()
every_leaf = pytest.mark.parametrize("leaf", LEAVES, ids=lambda each: each.__name__)


def filled(leaf: type[CustodyError]) -> CustodyError:
    """The error with a value of roughly the right kind in every field."""
    values = {name: 7 if "int" in str(kind) else f"({name})" for name, kind in annotations(leaf).items()}
    return leaf(**values)


def annotations(leaf: type[CustodyError]) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in reversed(leaf.__mro__):
        if issubclass(each, CustodyError) and each is not CustodyError:
            found |= {n: kind for n, kind in inspect.get_annotations(each).items() if "ClassVar" not in str(kind)}
    return found


def test_there_are_errors_to_look_at():
    assert len(LEAVES) > 80


def test_no_two_errors_share_a_code():
    owners: dict[str, type[CustodyError]] = {}
    for leaf in LEAVES:
        assert owners.setdefault(leaf.code, leaf) is leaf, f"{leaf} and {owners[leaf.code]} are both {leaf.code}"


@every_leaf
def test_a_code_is_in_capitals_and_its_class_stands_in_one_branch(leaf):
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", leaf.code)
    assert leaf.code not in {branch.code for branch in BRANCHES}
    (branch,) = [each for each in BRANCHES if issubclass(leaf, each)]
    assert leaf.exit_code == BRANCHES[branch]


@every_leaf
def test_message_and_hint_can_be_filled_in_and_say_something(leaf):
    error = filled(leaf)
    assert len(str(error)) > 8
    assert len(error.advice()) > 8
    assert error.advice()[0].isupper()
    assert error.advice()[-1] in ".)"
    assert f"{leaf.__name__}({leaf.code}: " in repr(error)
    assert leaf.__doc__


@every_leaf
def test_templates_name_fields_that_exist_and_the_message_shows_every_one(leaf):
    def names(template: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}

    fields = set(filled(leaf).values())
    assert names(leaf.message) | names(leaf.hint) == fields


@every_leaf
def test_an_error_is_made_with_all_its_values_or_not_at_all(leaf):
    if annotations(leaf):
        with pytest.raises(TypeError):
            leaf()
    with pytest.raises(TypeError):
        leaf(**filled(leaf).values(), something_else=1)


def test_branches_say_what_to_do_by_their_exit_status():
    assert {branch.exit_code for branch in BRANCHES} == {3, 4, 5, 6}


def test_values_keep_their_types():
    class Sample(Refused, code="SAMPLE_OF_THIS_TEST"):
        """An example."""

        message = "{count} of {kinds}"
        hint = "Use fewer than {count}."
        count: int
        kinds: str

    error = Sample(count=3, kinds="sorts")
    assert (str(error), error.advice(), error.values()) == (
        "3 of sorts",
        "Use fewer than 3.",
        {"count": 3, "kinds": "sorts"},
    )
    assert error != Sample(count=3, kinds="sorts")
