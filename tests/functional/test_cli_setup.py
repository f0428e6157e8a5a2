"""A coordinator is set up once, by words that a person brought, and notices what was exchanged behind its back."""

import json
import shutil
import sqlite3
import stat
import tomllib
from pathlib import Path

from click.testing import CliRunner

from custody.apps.cli import program
from custody.backends.sql import create_store
from custody.envelope import sign
from custody.testing.cast import ORIGIN, Setting
from custody.testing.chain import RegtestChain
from custody.testing.scenario import Scenario
from custody.units import Network
from custody.words import show_words

WRONG = show_words(bytes(32)).split()


def test_setting_up_pins_the_charter_outside_the_store(office):
    said = "--passphrase-file", office.path("passphrase")
    office.does("init", office.path("charter.json"), *office.words, *_key(office), *said)
    folder = office.folder / "coordinator" / "regtest"
    pinned = tomllib.loads((folder / "config.toml").read_text())
    assert pinned == {
        "network": "regtest",
        "charter": office.cast.digest.hex(),
        "coordinator_key": office.key("coordinator"),
        "passphrase_file": office.path("passphrase"),
        "chain": "kernel",
    }
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder / "config.toml", folder / "log.sqlite")} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    office.refuses("ALREADY_INITIALISED", "init", office.path("charter.json"), *office.words, *_key(office))


def _key(office):
    return "--coordinator-key", office.key("coordinator")


def test_a_passphrase_file_of_the_environment_is_not_pinned(office):
    office.set_up()
    pinned = tomllib.loads((office.folder / "coordinator" / "regtest" / "config.toml").read_text())
    assert "passphrase_file" not in pinned
    without = {"CUSTODY_PASSPHRASE_FILE": None}
    office.refuses("PASSPHRASE_NEEDED", "log", "checkpoint", "-o", office.path("checkpoint.json"), **without)
    assert office.types("vault", "list", **without).exit_code == 0


def test_wrong_words_another_key_or_a_missing_signature_set_nothing_up(office):
    charter = office.path("charter.json")
    said = office.refuses("DIGEST_MISMATCH", "init", charter, *WRONG, *_key(office))
    assert office.cast.digest.hex() not in said
    assert "word 24 is missing" in office.refuses("WORDS_MISTYPED", "init", charter, *office.words[:-1], *_key(office))
    office.refuses("WORDS_NEEDED", "init", charter, *_key(office))
    office.refuses("KEY_NOT_LISTED", "init", charter, *office.words, "--coordinator-key", office.key("Dana"))
    office.refuses("NETWORK_MISMATCH", "init", charter, *office.words, *_key(office), CUSTODY_NETWORK="signet")
    unsigned = office.new_path("unsigned.json")
    Path(unsigned).write_bytes(sign(office.cast.charter, office.cast.coordinator).to_bytes())
    office.refuses("CHARTER_UNSIGNED", "init", unsigned, *office.words, *_key(office))
    office.refuses("NOT_INITIALISED", "transfer", "list")
    office.set_up()


def test_set_up_is_taken_up_again_after_a_power_cut(office):
    office.set_up()
    (office.folder / "coordinator" / "regtest" / "config.toml").unlink()
    office.set_up()
    assert office.does("log", "verify")["charter"] == office.cast.digest.hex()


def test_words_and_passphrase_are_asked_for_on_a_terminal(office, converse):
    shown = converse(
        office.folder,
        [
            ("24 words", " ".join(office.words)),
            ("Passphrase of", (office.folder / "passphrase").read_text().strip()),
        ],
        "-c",
        "from custody.apps.cli import main; main()",
        "--dir",
        office.path("coordinator"),
        "init",
        office.path("charter.json"),
        *_key(office),
    )
    before, asked, after = shown.partition("24 words")
    # The words are never shown before they are typed.
    assert asked
    assert show_words(office.cast.digest) not in before
    assert "Set up in" in after
    assert "correct horse" not in shown
    assert office.does("vault", "list")["vaults"][0]["name"] == "reserve"


def test_a_store_that_was_exchanged_or_restored_is_not_believed(office):
    office.set_up()
    store = office.folder / "coordinator" / "regtest" / "log.sqlite"
    shutil.copy(store, office.folder / "yesterday.sqlite")
    office.does(*office.address_for("seized, case 17"))
    shutil.copy(office.folder / "yesterday.sqlite", store)
    office.refuses("ROLLBACK", *office.address_for("the same index again"))
    assert office.refuses("UNSOUND", "doctor").startswith("6 of 13 checks failed")

    store.unlink()
    office.refuses("STORE_MISSING", "coin", "list")
    _other_store(store)
    (store.parent / "seen.json").unlink()
    office.refuses("CHARTER_MISMATCH", *office.address_for("from a swapped charter"))


def _other_store(path):
    """A sound store of the same log's name, under another charter."""
    scenario = Scenario.begin(Setting(approvals=1), store=create_store(path, Network.REGTEST, ORIGIN))
    scenario.close()


def test_a_damaged_entry_is_named_by_its_index(office):
    office.set_up()
    store = office.folder / "coordinator" / "regtest" / "log.sqlite"
    connection = sqlite3.connect(store)
    changed = connection.execute(
        """UPDATE bodies SET body = CAST(replace(CAST(body AS TEXT), 'charter', 'chart3r') AS BLOB) WHERE "index" = 0"""
    )
    assert changed.rowcount == 1
    connection.commit()
    connection.close()
    message = office.refuses("LOG_CORRUPT", "log", "verify")
    assert "entry 0" in message


def test_whoever_does_not_look_at_the_chain_does_not_wait_for_it(office):
    office.set_up()
    chain = office.folder / "coordinator" / "regtest" / "chain"
    with RegtestChain(chain):
        assert office.does(*office.address_for("seized, case 17"))["index"] == 0
        office.refuses("NODE_UNAVAILABLE", "observe")
    assert office.does("observe")["height"] == 109
    chain.rename(chain.with_name("lost"))
    office.refuses("NODE_UNAVAILABLE", "observe")
    assert not chain.exists()


def test_a_damaged_configuration_is_refused(office):
    office.set_up()
    config = office.folder / "coordinator" / "regtest" / "config.toml"
    config.write_text(config.read_text().replace('charter = "', 'charter = "00'))
    office.refuses("CONFIG_INVALID", "transfer", "list")
    config.write_text("not = toml = at all")
    office.refuses("CONFIG_INVALID", "transfer", "list")


def test_a_flag_goes_before_the_environment_and_that_before_the_file(office):
    office.set_up()
    elsewhere = office.path("elsewhere")
    office.refuses("NOT_INITIALISED", "--dir", elsewhere, "vault", "list")
    office.refuses("NOT_INITIALISED", "vault", "list", CUSTODY_NETWORK="main")
    assert office.types("--network", "regtest", "vault", "list", CUSTODY_NETWORK="main").exit_code == 0


def test_the_doctor_finds_everything_in_order(office):
    office.set_up()
    checks = {each["name"]: each for each in office.does("doctor")["checks"]}
    assert set(checks) == {
        "versions",
        "secp256k1",
        "judges",
        "disk",
        "writing",
        "others",
        "charter",
        "store",
        "beside",
        "freeze",
        "clock",
        "chain",
        "blocks",
    }
    assert not any(each["code"] for each in checks.values())
    assert office.cast.digest.hex() in checks["charter"]["finding"]
    assert "height 109" in checks["chain"]["finding"]


def test_the_doctor_looks_at_the_machine_alone_before_anything_was_set_up(office):
    result = office.types("doctor")
    assert result.exit_code == 3
    assert "error NOT_INITIALISED" in result.stderr
    assert "custody init" in result.stderr
    assert "WRONG" not in result.stdout
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["versions", "secp256k1", "judges", "disk"]
    assert office.refuses("NOT_INITIALISED", "doctor")


def test_store_upgrade_leaves_a_current_store_as_it_is(office):
    office.set_up()
    size = office.does("log", "verify")["size"]
    assert office.does("store", "upgrade")["log_size"] == size


def test_two_coordinators_live_in_two_folders(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run = CliRunner()
    for each in (one, two):
        result = run.invoke(program, ["--dir", str(each), "vault", "list", "--json"])
        assert json.loads(result.stdout)["error"]["code"] == "NOT_INITIALISED"
        assert not each.exists()
