"""The pytest plugin: an example project, outside this tree, tests its own charter with what the package ships.

It costs nothing to a project that does not use it, and neither program ever loads it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custody.testing import plugin

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "own-charter"
PAGE = DOCS / "how-to" / "testing.md"

USES_NOTHING = """
import sys

def test_nothing_of_custody_is_used():
    assert {each for each in sys.modules if each.partition(".")[0] == "custody"} == {
        "custody", "custody.testing", "custody.testing.plugin"
    }
    assert not {"coincurve", "embit", "pbk", "pydantic", "sqlalchemy"} & set(sys.modules)
"""
ON_SOME_CHAIN = """
import pytest

@pytest.mark.parametrize("custody_chain", ["{kind}"], indirect=True)
def test_a_chain_of_some_kind(custody_chain):
    assert custody_chain.view.tip().height > 100
"""
USUAL = """
from custody import ScriptType, Status
from custody.testing.cast import Setting
import pytest

@pytest.fixture
def custody_setting():
    return Setting(script_type=ScriptType.TR, approvals=1)

@pytest.fixture
def custody_amounts():
    return ()

def test_the_usual_charter_with_a_difference(custody_story):
    assert custody_story.balance == 0
    custody_story.deposit(60_000_000)
    custody_story.mine()
    transfer = custody_story.transfer(custody_story.confirmed())
    assert transfer.status is Status.CONFIRMED
    assert len(transfer.approvals) == 1
"""


def run_pytest(folder, *arguments, **variables):
    """What pytest, started in a folder of its own as anybody would, says and ends with."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=inherited | variables, capture_output=True, text=True, check=False, timeout=300
    )


def fixtures():
    """The names of the plugin's fixtures, in its order."""
    return [name for name, each in vars(plugin).items() if isinstance(each, type(plugin.custody_cast))]


@pytest.fixture
def example(tmp_path):
    """The example, copied to where nothing else of this tree is."""
    return shutil.copytree(EXAMPLE, tmp_path / "own-charter", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def project(tmp_path):
    """Call with the text of a test file: a project that has nothing else."""

    def write(text):
        (tmp_path / "test_it.py").write_text(text)
        return tmp_path

    return write


def test_the_example_passes_with_the_installed_package(example):
    ended = run_pytest(example)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


def test_the_example_passes_on_a_node(example, bitcoind):
    ended = run_pytest(example, "--custody-bitcoind", bitcoind)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


def test_the_page_says_what_works(tmp_path, bitcoind):
    usual, own, both = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "test_usual.py").write_text(usual)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "conftest.py").write_text(own)
    (tmp_path / "own" / "test_both.py").write_text(f"import pytest\n\n{both}")
    ended = run_pytest(tmp_path, "--custody-bitcoind", bitcoind)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout


def test_the_page_lists_every_fixture():
    listed = re.findall(r"^\| `(custody_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == fixtures()


def test_the_usual_charter_takes_other_settings(project):
    ended = run_pytest(project(USUAL))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_project_that_uses_no_fixture_loads_nothing(project):
    ended = run_pytest(project(USES_NOTHING))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_node_that_cannot_be_found_is_asked_for(project):
    ended = run_pytest(project(ON_SOME_CHAIN.format(kind="bitcoind")), PATH="", BITCOIND="")
    assert ended.returncode == 1
    assert "name one with --custody-bitcoind PATH" in ended.stdout


def test_a_chain_of_an_unknown_kind_is_named(project):
    ended = run_pytest(project(ON_SOME_CHAIN.format(kind="mainnet")))
    assert ended.returncode == 1
    assert "custody_chain is 'kernel' or 'bitcoind', not 'mainnet'" in ended.stdout


def test_every_fixture_s_name_says_whose_it_is():
    assert fixtures()
    assert all(name.startswith("custody_") for name in fixtures())


@pytest.mark.parametrize("program", ["custody.apps.cli", "custody.apps.station"])
def test_neither_program_loads_pytest(program):
    script = (
        f"import sys, importlib; program = importlib.import_module('{program}').program\n"
        "import custody.testing.demo\n"
        "def load(group):\n"
        "    for name in group.list_commands(None):\n"
        "        each = group.get_command(None, name)\n"
        "        if hasattr(each, 'list_commands'): load(each)\n"
        "load(program)\n"
        "print(sorted({'pytest', '_pytest', 'custody.testing.plugin'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
