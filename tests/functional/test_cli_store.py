"""What is kept beside the log is what the log makes: checked, and made again."""

import sqlite3
from pathlib import Path

import pytest


@pytest.fixture
def funded(office):
    office.funded()
    return office


def changed(office, statement: str, *values: object) -> None:
    connection = sqlite3.connect(office.folder / "coordinator" / "regtest" / "log.sqlite")
    with connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def test_a_sound_store_is_verified_and_made_again_with_the_same_rows(funded):
    quick, deep = funded.does("log", "verify"), funded.does("log", "verify", "--deep")
    assert (quick["is_folded"], deep["is_folded"]) == (False, True)
    assert deep["root"] == quick["root"]
    made = funded.does("store", "rebuild")
    assert (made["was_wrong"], made["erased"], made["log_size"]) == (None, 0, deep["size"])
    assert funded.does("log", "verify", "--deep")["root"] == deep["root"]


def test_a_row_that_somebody_changed_is_named_and_made_right(funded):
    before = funded.does("coin", "balance")
    changed(funded, "UPDATE state_rows SET value = ? WHERE name = 'balances'", b"[1]")
    assert "balances" in funded.refuses("STATE_CORRUPT", "log", "verify", "--deep")
    made = funded.does("store", "rebuild")
    assert made["was_wrong"]["table"] == "balances"
    assert funded.does("log", "verify", "--deep")["is_folded"]
    assert funded.does("coin", "balance") == before


def test_rows_that_somebody_took_away_come_back(funded):
    changed(funded, "DELETE FROM state_rows WHERE name = 'next_index'")
    assert "next_index" in funded.refuses("STATE_CORRUPT", "log", "verify", "--deep")
    assert funded.does("store", "rebuild")["was_wrong"]["table"] == "next_index"


def test_rows_of_another_log_than_the_one_beside_them_are_not_gone_by(funded):
    changed(funded, "UPDATE state_head SET size = size - 1, peaks = ?", bytes(32))
    assert funded.types("coin", "balance").exit_code == 6
    assert funded.does("store", "rebuild")["log_size"] > 0
    assert funded.does("coin", "balance")


@pytest.fixture
def released(office):
    """A transfer that was released and waits to be sent."""
    office.funded()
    transfer = office.drafted()
    office.verified(transfer)
    office.witnessed()
    office.does("transfer", "release", transfer)
    return office, transfer


def beside(office):
    connection = sqlite3.connect(office.folder / "coordinator" / "regtest" / "log.sqlite")
    queries = "SELECT * FROM holds ORDER BY 1", "SELECT * FROM outbox ORDER BY 1"
    found = [connection.execute(each).fetchall() for each in queries]
    connection.close()
    return found


DAMAGE = {
    "a row that should wait to be sent": ("DELETE FROM outbox", "does not wait to be sent"),
    "bytes that nobody released": ("UPDATE outbox SET raw = x'00'", "other bytes"),
    "a row of nobody": (
        "INSERT INTO outbox SELECT NULL, zeroblob(32), raw, 0, 0, 0, '' FROM outbox",
        "should not",
    ),
    "a coin that is held": ("DELETE FROM holds WHERE rowid = 1", "for nobody"),
    "a coin that nobody holds": ("INSERT INTO holds VALUES (zeroblob(36), zeroblob(32))", "by the log for nobody"),
    "somebody else's hold": ("UPDATE holds SET holder = zeroblob(32) WHERE rowid = 1", f"for {bytes(32).hex()}"),
}


def test_what_stands_beside_the_log_is_found_wrong_by_name_and_made_right(released):
    office, transfer = released
    assert {each["code"] for each in office.does("doctor")["checks"]} == {""}
    sound = beside(office)
    for statement, said in DAMAGE.values():
        changed(office, statement)
        assert said in office.refuses("BESIDE_LOG", "log", "verify", "--deep")
        assert "beside (BESIDE_LOG)" in office.refuses("UNSOUND", "doctor")
        (wrong,) = office.does("store", "rebuild")["beside"]
        assert said in wrong
        holds, outbox = beside(office)
        assert (holds, [each[1:] for each in outbox]) == (sound[0], [each[1:] for each in sound[1]])
    assert office.does("store", "rebuild")["beside"] == []
    assert office.does("transfer", "deliver")["sent"][0]["transfer"] == transfer


def test_what_was_sent_is_queued_again_as_sent(released):
    office, _ = released
    office.does("transfer", "deliver")
    sound = beside(office)
    changed(office, "DELETE FROM outbox")
    office.does("store", "rebuild")
    assert [each[1:] for each in beside(office)[1]] == [each[1:] for each in sound[1]]
    office.does("regtest", "mine", "6")
    assert office.does("log", "verify", "--deep")["is_folded"]


STORE, PASSPHRASE = "coordinator/regtest/log.sqlite", "passphrase"
GONE_BY = ("coordinator/config.toml", "coordinator/regtest/config.toml", "coordinator.key.json", PASSPHRASE)


def test_the_doctor_says_what_others_can_write(office):
    office.set_up("--passphrase-file", office.path(PASSPHRASE))
    for name in GONE_BY[2:]:
        Path(office.path(name)).chmod(0o600)
    office.does("doctor")
    folders = ("", "coordinator", "coordinator/regtest")
    for name, mode in [(STORE, 0o020), *((each, 0o002) for each in (STORE, *GONE_BY, *folders))]:
        path = Path(office.path(name))
        before = path.stat().st_mode
        path.chmod(before | mode)
        said = office.refuses("UNSOUND", "doctor")
        assert (said.startswith("1 of "), "others (FILES_EXPOSED)" in said) == (True, True), name
        assert f"others can write: {path}" in " ".join(office.types("doctor").output.split())
        path.chmod(before)


def test_the_doctor_says_what_cannot_be_written(office):
    office.set_up()
    for name in (STORE, "coordinator/regtest/seen.json", "coordinator/regtest/chain"):
        path = Path(office.path(name))
        before = path.stat().st_mode
        path.chmod(before & ~0o200)
        assert "writing (FILES_UNWRITABLE)" in office.refuses("UNSOUND", "doctor")
        assert f"cannot be written: {path}" in " ".join(office.types("doctor").output.split())
        path.chmod(before)
