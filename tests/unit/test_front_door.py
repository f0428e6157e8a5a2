"""The front door: what `custody` says it exports is what can be had from it, and nothing else."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import custody

MODULES = {each.name for each in pkgutil.iter_modules(custody.__path__)}


@pytest.fixture
def loaded() -> list[str]:
    """The modules of ours that a fresh interpreter has after it has imported the front door."""
    program = "import sys, custody; print(*[each for each in sys.modules if each.startswith('custody.')])"
    found = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return found.stdout.split()


def type_checked() -> set[str]:
    """The names that type checkers are shown: imported where nothing is at run time."""
    branches = [each for each in ast.walk(ast.parse(inspect.getsource(custody))) if isinstance(each, ast.If)]
    imports = [each for branch in branches for each in branch.body if isinstance(each, ast.ImportFrom)]
    return {f"{each.module}.{name.name}" for each in imports for name in each.names}


def test_every_name_is_said_once_and_in_order():
    assert custody.__all__ == sorted(set(custody.__all__))


def test_what_is_exported_is_what_has_a_home():
    assert set(custody.__all__) == {*custody._HOME_OF, "__version__"}
    assert sum(len(names) for names in custody._HOMES.values()) == len(custody._HOME_OF)


def test_type_checkers_are_shown_the_same_names_from_the_same_homes():
    assert type_checked() == {f"{home}.{name}" for name, home in custody._HOME_OF.items()}


@pytest.mark.parametrize("name", sorted(custody._HOME_OF))
def test_each_name_is_what_its_home_defines(name):
    home = importlib.import_module(custody._HOME_OF[name])
    assert getattr(custody, name) is vars(home)[name]
    # Where it is made, and not a module that only passes it on.
    assert getattr(custody, name).__module__ == home.__name__


def test_no_exported_name_is_a_module_s():
    # A module that is loaded takes the place of whatever else its package has under that name.
    assert MODULES.isdisjoint(custody.__all__)


def test_dir_lists_what_is_exported():
    assert dir(custody) == sorted(custody.__all__)


def test_a_name_that_is_not_exported_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'Coins'"):
        _ = custody.Coins


def test_nothing_is_loaded_before_it_is_asked_for(loaded):
    assert loaded == []
