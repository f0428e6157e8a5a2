"""Small files with large bills (THREATS F23): reading any costs about what reading an honest one of its size does."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from custody.apps.config import Folders
from custody.backends.sql import create_store
from custody.bitcoin.psbt import PsbtMap
from custody.bitcoin.transaction import TxOut
from custody.record import RecordInvalid
from custody.testing.asserts import refuses
from custody.testing.cast import expected, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.vault.descriptor import Branch

MOST_MEMORY = 64
"""MB beyond what the process had before it read."""
MOST_CPU = 2
"""Seconds, as `costs` counts them; none of the cases needs more than one on a machine that does nothing else."""
EXPECTED = {
    "BLOCK_ENCODING",
    "CHARTER_INVALID",
    "CHARTER_MISMATCH",
    "CHECKPOINT_INVALID",
    "CONFIG_INVALID",
    "KEY_INVALID",
    "LIMIT",
    "LOG_CORRUPT",
    "PATH_NONSTANDARD",
    "CSV_UNREADABLE",
    "PSBT_ENCODING",
    "RECORD_INVALID",
    "SECRET_MATERIAL",
    "SNAPSHOT_INVALID",
    "STATE_CORRUPT",
    "TEMPLATE",
    "TX_ENCODING",
    "TX_OUT_PROOF",
}
HARMLESS = {"secrets, xpr", "secrets, ms1", "secrets, A", "secrets, a "} | {
    f"{kind}, {what}" for kind in ("transaction", "mined transaction") for what in ("witness items", "outputs")
}
"""What is read, since it is what it says it is."""


@pytest.fixture(scope="module")
def bills() -> list[dict[str, object]]:
    """What each case came to: one process that has everything imported, and a child of it for each."""
    told = subprocess.run([sys.executable, str(Path(__file__).with_name("costs.py"))], capture_output=True, check=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_every_file_made_to_cost_much_is_refused_by_name(bills):
    assert len(bills) > 200
    assert {each["name"] for each in bills if each["code"] == "READ"} == HARMLESS
    assert {each["code"] for each in bills} - {"READ"} == EXPECTED


def test_no_file_takes_more_memory_than_it_may(bills):
    assert [each for each in bills if each["memory"] > MOST_MEMORY] == []


def test_no_file_takes_more_time_than_it_may(bills):
    assert [each for each in bills if each["cpu"] > MOST_CPU] == []


@pytest.mark.parametrize(
    "name", ["dots", "tables", "lists", "digits", "openings"], ids=lambda name: f"a text with {name}"
)
def test_a_costly_text_is_refused_before_it_is_read(bills, name):
    codes = {each["name"]: each["code"] for each in bills}
    assert codes[f"charter text, {name}"] in {"LIMIT", "CHARTER_INVALID"}
    assert codes[f"settings, {name}"] == "CONFIG_INVALID"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("network = 1979-05-27\n", "line 1, network"),
        ("network = nan\n", "line 1, network"),
        ('network = "regtest"\ncharter = ' + "1" * 5_000, "line 2, charter"),
        ("network = 1.5\n", "network"),
        (".".join("a" * 10_000) + " = 1", "line 1, a.a.a"),
    ],
)
def test_settings_that_no_coordinator_wrote_are_refused_with_line_and_key(tmp_path, text, says):
    where = Folders(tmp_path, Network.REGTEST)
    where.folder.mkdir()
    (where.folder / "config.toml").write_text(text, encoding="utf-8")
    with refuses("CONFIG_INVALID") as caught:
        where.settings()
    assert says in str(caught.error)


def test_the_first_fault_of_a_large_record_is_told_like_that_of_a_small_one():
    charter = make_cast().charter
    tree = json.loads(charter.to_bytes())
    tree["rules"][0]["vaults"] = [5]
    for padding in ("", "x" * 100_000):
        with refuses("RECORD_INVALID") as caught:
            type(charter).from_bytes(_written(tree, padding))
        assert isinstance(caught.error, RecordInvalid)
        assert (caught.error.where, caught.error.problem) == (
            "rules.0.allow.vaults.0",
            "Input should be a valid string",
        )


def _written(tree: dict[str, object], padding: str) -> bytes:
    return json.dumps(tree | ({"zzz": padding} if padding else {}), sort_keys=True, separators=(",", ":")).encode()


def test_a_file_that_came_back_is_looked_through_before_anybody_waits_for_the_store():
    """It may have been made to be searched for seconds: others go on meanwhile."""
    story = Scenario.funded()
    drafted, _ = story.drafted(story.request())
    story.approved(drafted.transfer_id)
    story.custodian.authorize(drafted.transfer_id)
    story.custodian.request_signatures(drafted.transfer_id)
    good = story.signature(drafted.transfer_id, 0)
    bad = type(good)(good.version, PsbtMap((*good.global_map.pairs, (b"\xf0", b"6P" * 400))), good.inputs, good.outputs)
    codes: list[str] = []

    def receive() -> None:
        with refuses("FIELD_FORBIDDEN") as caught:
            story.custodian.receive(drafted.transfer_id, bad)
        codes.append(caught.error.code)

    with story.store.transaction():
        waiting = threading.Thread(target=receive)
        waiting.start()
        waiting.join(timeout=60)
        assert codes == ["FIELD_FORBIDDEN"]
    waiting.join()
    story.close()


def test_a_payment_with_many_outputs_to_us_is_kept_once(tmp_path):
    """The store grows by the payment, and by as much for each output: not by the payment for each."""
    before, small, large = (_store_after(tmp_path, outputs) for outputs in (0, 150, 600))
    assert large - before < 4.5 * (small - before)
    assert large - before < 3_000 * 600


def _store_after(folder: Path, outputs: int) -> int:
    """Bytes of a store that saw one payment with so many outputs to one address of ours."""
    path = folder / f"{outputs}.sqlite"
    story = Scenario.begin(
        chain=RegtestChain().fund(4), store=create_store(path, Network.REGTEST, make_cast().charter.origin)
    )
    story.custodian.observe()
    issued = story.custodian.issue_address("reserve", expected("one batch"))
    script = story.cast.vault.script_pubkey(Branch.RECEIVE, issued.index)
    story.chain.pay_all([TxOut(20_000, script)] * (outputs or 1))
    story.mine()
    assert story.balance == 20_000 * (outputs or 1)
    story.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size
