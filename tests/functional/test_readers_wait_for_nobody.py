"""Who only reads waits for no writer: the same evidence is written by many at once, whoever holds the store."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from custody.testing.cast import Setting

AT_ONCE = 12
"""As many as a large house has at one store at the same moment."""
AGAIN = 4
COMMAND = Path(sys.executable).with_name("custody")


def started(office, *arguments):
    """A process of its own."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": office.path(""),
        "CUSTODY_DIR": office.path("coordinator"),
        "CUSTODY_PASSPHRASE_FILE": office.path("passphrase"),
    }
    return subprocess.Popen(
        [COMMAND, *arguments, "--json"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def evidence(office, transfer, name):
    return started(office, "transfer", "evidence", transfer, "--for", "sign", "-o", office.path(name))


def ends(running):
    """What they printed; each must end well."""
    printed = [each.communicate() for each in running]
    assert [each.returncode for each in running] == [0] * len(running), printed
    return printed


def test_evidence_that_is_asked_for_again_takes_no_lock(open_office):
    office = open_office(Setting(is_witnessed=False))
    office.funded()
    transfer = office.drafted()
    office.approved(transfer)
    # At once while nothing was asked for: one of them enters it, and nobody fails.
    ends([evidence(office, transfer, f"first-{number}.json") for number in range(AT_ONCE)])
    assert office.does("transfer", "show", transfer)["status"] == "signing"
    with closing(sqlite3.connect(office.path("coordinator/regtest/log.sqlite"), isolation_level=None)) as holding:
        holding.execute("BEGIN IMMEDIATE")
        ends([evidence(office, transfer, f"again-{number}.json") for number in range(AGAIN)])
    first, again = (Path(office.path(name)).read_bytes() for name in ("first-0.json", "again-0.json"))
    assert first == again


def test_what_was_decided_already_is_told_while_another_writes(story):
    transfer = story.authorized()
    custodian = story.custodian
    custodian.request_signatures(transfer)
    with story.store.transaction():
        assert custodian.decide(transfer).transfer == transfer
        assert custodian.authorize(transfer).transfer == transfer
        assert custodian.request_signatures(transfer).transfer == transfer
