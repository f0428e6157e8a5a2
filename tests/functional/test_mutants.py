"""The campaign that changes the core finds what the tests miss; a few changes of one file, whose tests are few."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MERKLE = "tests/unit/log/test_merkle.py"


def campaign(build: Path, *options: str) -> tuple[str, str]:
    """What it says of a campaign by one worker, and its list of survivors."""
    program = [sys.executable, "tests/mutants", "--workers", "1", "--build", build, *options]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr, (build / "survived.txt").read_text(encoding="utf-8")


def test_every_change_of_ten_is_noticed_by_the_tests_of_its_file(tmp_path):
    said, survived = campaign(tmp_path, "--tests", MERKLE, "--only", "log/merkle", "--sample", "10", "--seed", "4")
    assert "all          10 of 10 killed" in said
    assert survived == ""


def test_what_no_test_notices_or_reaches_is_named(tmp_path):
    only = f"{MERKLE}::test_an_empty_log_has_the_root_of_no_bytes"
    said, survived = campaign(tmp_path, "--tests", only, "--only", "MerkleTree.root")
    assert "survived: " in said
    assert "MerkleTree.root: not done" in survived
    said, survived = campaign(tmp_path, "--tests", only, "--only", "MerkleTree.inclusion")
    assert "not reached: " in said
    assert "MerkleTree.inclusion: not done" in survived
