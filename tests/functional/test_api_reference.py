"""The page of what can be imported: it says something of every name, and names no error that does not exist."""

import importlib.util
import sys
from pathlib import Path

import pytest

import custody

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "api.md"


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "api_reference.py"
    spec = importlib.util.spec_from_file_location("api_reference", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def entry_of(script, tmp_path, monkeypatch):
    """Call with a module's text and a name in it: what the page says of it, and what is wrong."""

    def write(text, name):
        (tmp_path / "written_for_a_test.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "written_for_a_test", raising=False)
        writer = script.Writer({"Refused": custody.Refused})
        return writer.entry("written_for_a_test", name), writer.problems

    return write


def test_every_name_of_the_front_door_has_its_part():
    text = PAGE.read_text(encoding="utf-8")
    lacking = [each for each in custody.__all__ if f"\n### {each}\n\nIn `custody`; made in " not in text]
    assert lacking == ["__version__"]


def test_shape_errors_and_their_codes_are_shown(entry_of):
    text = 'def ask(name: str, size: int = 4) -> bytes:\n    """It is.\n\n    Raises:\n        Refused: no.\n    """\n'
    part, wrong = entry_of(text, "ask")
    assert "ask(name: str, size: int=4) -> bytes" in part
    assert "- `Refused` (`REFUSED`): no." in part
    assert wrong == []


def test_a_name_that_says_nothing_is_a_problem(entry_of):
    _, wrong = entry_of("def ask() -> None: ...\n", "ask")
    assert wrong == ["written_for_a_test.ask says nothing of itself"]


def test_an_error_that_does_not_exist_is_a_problem(entry_of):
    text = 'def ask() -> None:\n    """What it is.\n\n    Raises:\n        Vanished: no.\n    """\n'
    _, wrong = entry_of(text, "ask")
    assert wrong == ["written_for_a_test.ask names the error Vanished, which does not exist"]
