"""What is kept beside the log is what the log makes: checked, and made again."""

import sqlite3

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
