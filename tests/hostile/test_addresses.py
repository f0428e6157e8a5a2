"""The database's descriptor is swapped, and deposits would go to the thief (THREATS F6): no address is shown first."""

from __future__ import annotations

import functools
import sqlite3
from pathlib import Path

import pytest

from custody.backends.sql import create_store, open_store
from custody.custodian import Custodian, Outside
from custody.envelope import Envelope, sign
from custody.history import kinds
from custody.log import Frontier, seal
from custody.station import Station, compare_vault
from custody.testing.asserts import refuses
from custody.testing.cast import Chance, Setting, expected, make_cast, vault_of
from custody.testing.chain import RegtestChain
from custody.testing.scenario import RememberedState
from custody.transfer.address import MOST_SKIPPED, AddressIssued
from custody.transfer.request import read_request
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType
from custody.words import show_words

NAMES = ("astana", "almaty", "shymkent")


@pytest.fixture(scope="module")
def chain():
    with RegtestChain() as chain:
        yield chain


@pytest.fixture
def station(chain) -> Station:
    """A station that was told the charter's words."""
    cast = make_cast()
    station = Station(RememberedState(), chain)
    station.trust(cast.envelope, show_words(cast.digest))
    return station


@functools.cache
def swapped_vaults() -> dict[str, Vault]:
    """Vaults that a thief would like to see in the reserve's place."""
    return {
        "one key swapped": vault_of(("astana", "almaty", "eve"), 2)[0],
        "all keys swapped": vault_of(("eve", "mallory", "trudy"), 2)[0],
        "another threshold": vault_of(NAMES, 3)[0],
        "another script type": vault_of(NAMES, 2, ScriptType.SH_WSH)[0],
        "a key less": vault_of(NAMES[:2], 2)[0],
        "a key more": vault_of((*NAMES, "eve"), 2)[0],
    }


def charter_with(vault) -> Envelope:
    """The charter with another vault under the same name, signed by everyone: they were shown another screen."""
    cast = make_cast()
    fields = {name: getattr(cast.charter, name) for name in type(cast.charter).model_fields}
    entry = cast.charter.vaults[0]
    other = type(entry)(
        **{name: getattr(entry, name) for name in type(entry).model_fields} | {"descriptor": vault.descriptor}
    )
    forged = type(cast.charter)(**fields | {"vaults": (other,)})
    return sign(forged, cast.coordinator, *cast.people.values(), cast.witness)


@pytest.mark.parametrize("which", swapped_vaults())
def test_another_vault_under_the_same_name_has_another_id(which):
    vault = swapped_vaults()[which]
    charter = make_cast().charter
    with refuses("VAULT_ID_MISMATCH") as caught:
        compare_vault(charter, "reserve", vault.descriptor)
    assert vault.address(Branch.RECEIVE, 0) not in str(caught.error)
    with refuses("VAULT_ID_MISMATCH"):
        charter.vault_by_id(vault.id)


def test_the_true_descriptor_is_the_vault_s():
    cast = make_cast()
    assert compare_vault(cast.charter, "reserve", cast.vault.descriptor).id == cast.vault.id


def test_the_birthday_is_no_part_of_who_a_vault_is():
    # It says where to look from; a later one hides coins and moves none.
    vault = vault_of(NAMES, 2, birthday=700_000)[0]
    assert compare_vault(make_cast().charter, "reserve", vault.descriptor).id == vault.id


@pytest.mark.parametrize("which", swapped_vaults())
def test_a_station_derives_no_address_from_another_charter(station, which):
    envelope = charter_with(swapped_vaults()[which])
    with refuses("CHARTER_MISMATCH") as caught:
        station.address(envelope, "reserve", Branch.RECEIVE, 0)
    assert "bcrt1" not in str(caught.error)


def test_a_station_derives_no_address_from_a_charter_that_lost_a_signature(station):
    cast = make_cast()
    fewer = sign(cast.charter, cast.coordinator, *cast.people.values())
    with refuses("CHARTER_UNSIGNED"):
        station.address(fewer, "reserve", Branch.RECEIVE, 0)
    assert station.address(cast.envelope, "reserve", Branch.RECEIVE, 0) == cast.vault.address(Branch.RECEIVE, 0)


def test_a_station_that_was_told_nothing_derives_nothing(chain):
    with refuses("STATION_UNTRUSTED"):
        Station(RememberedState(), chain).address(make_cast().envelope, "reserve", Branch.RECEIVE, 0)


def test_a_station_is_not_talked_into_another_charter(station):
    cast = make_cast()
    other = charter_with(swapped_vaults()["one key swapped"])
    with refuses("DIGEST_MISMATCH"):
        station.trust(other, show_words(cast.digest))
    forged = make_cast(Setting(approvals=1))
    with refuses("STATION_TRUSTS_ANOTHER"):
        station.trust(forged.envelope, show_words(forged.digest))
    assert station.state().charter == cast.digest


# --- the coordinator's own database ---------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "log.sqlite"


def custodian(path: Path, chain: RegtestChain, digest: bytes | None = None) -> Custodian:
    cast, chance = make_cast(), Chance()
    # Nobody looks at the chain here: the log is to be the charter and nothing else.
    outside = Outside(views=(), relay=chain.view, judges=(), clock=chain, below=chance.below, salt=chance.salt)
    return Custodian(open_store(path, Network.REGTEST), digest or cast.digest, cast.coordinator, outside)


def adopted(path: Path, chain: RegtestChain) -> None:
    """A store whose log begins with the true charter."""
    create_store(path, Network.REGTEST, make_cast().charter.origin)
    custodian(path, chain).adopt_charter(make_cast().envelope)


def put_charter(path: Path, envelope: Envelope, *, is_whole: bool) -> None:
    """Write another charter into the first row; with `is_whole`, every hash above it as well."""
    body = envelope.to_bytes()
    connection = sqlite3.connect(path)
    with connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute('UPDATE bodies SET body = ? WHERE "index" = 0', (body,))
        if is_whole:
            salt = connection.execute('SELECT salt FROM bodies WHERE "index" = 0').fetchone()[0]
            entry = seal(0, kinds.CHARTER_ADOPTED, "coordinator", kinds.CHARTER_ADOPTED.subjects(envelope), body, salt)
            frontier = Frontier().append(entry.leaf)
            values = (entry.head.to_bytes(), entry.leaf, frontier.root)
            connection.execute('UPDATE entries SET head = ?, leaf = ?, root = ? WHERE "index" = 0', values)
            connection.execute("UPDATE log_head SET peaks = ?", (b"".join(frontier.peaks),))
            connection.execute("UPDATE state_head SET peaks = ?", (b"".join(frontier.peaks),))
    connection.close()


@pytest.mark.parametrize(("is_whole", "code"), [(False, "LOG_CORRUPT"), (True, "CHARTER_MISMATCH")])
@pytest.mark.parametrize("which", ["one key swapped", "all keys swapped"])
def test_a_swapped_row_gives_no_address(path, chain, is_whole, code, which):
    adopted(path, chain)
    put_charter(path, charter_with(swapped_vaults()[which]), is_whole=is_whole)
    with refuses(code) as caught:
        custodian(path, chain).issue_address("reserve", expected("seized coins"))
    assert "bcrt1" not in str(caught.error)


def test_an_untouched_store_gives_the_charter_s_address(path, chain):
    adopted(path, chain)
    cast = make_cast()
    issued = custodian(path, chain).issue_address("reserve", expected("seized coins"))
    assert issued.address == cast.vault.address(Branch.RECEIVE, 0)


def test_a_coordinator_started_for_another_charter_gives_no_address(path, chain):
    adopted(path, chain)
    other = make_cast(Setting(approvals=1))
    with refuses("CHARTER_MISMATCH"):
        custodian(path, chain, other.digest).issue_address("reserve", expected("seized coins"))


def test_a_coordinator_does_not_adopt_another_charter(path, chain):
    create_store(path, Network.REGTEST, make_cast().charter.origin)
    with refuses("CHARTER_MISMATCH"):
        custodian(path, chain).adopt_charter(charter_with(swapped_vaults()["one key swapped"]))


def test_an_address_of_an_unknown_vault_has_no_place_in_the_log(forger):
    # What an auditor or a witness with bodies would read as "we gave out this address".
    log = forger.log()
    for vault in swapped_vaults().values():
        issued = AddressIssued.of("seized", bytes(32), vault.id, 0, 0, 0)
        log.write(kinds.ADDRESS_ISSUED, issued)
        with refuses("HISTORY_INVALID") as caught:
            log.history()
        assert caught.error.__cause__.code == "VAULT_ID_MISMATCH"
        log.entries.pop()


@pytest.mark.parametrize(("branch", "index"), [(0, MOST_SKIPPED), (0, 2**31 - 1), (1, 0)])
def test_no_address_is_given_out_far_ahead_of_its_turn_or_from_the_change_branch(forger, edit, branch, index):
    log = forger.bare_log()
    issued = edit(AddressIssued.of("seized", bytes(32), forger.vault.id, index, 0, 0), branch=branch)
    log.write(kinds.ADDRESS_ISSUED, issued)
    with refuses("HISTORY_INVALID"):
        log.history()


def test_evidence_of_another_charter_is_refused_before_anything_else(forger, stage, edit):
    # The log of another charter, in which everything is right, but a signature; and the vault is the thief's.
    log = forger.log()
    log.rewrite(0, charter_with(swapped_vaults()["one key swapped"]))
    evidence = forger.evidence(stage=stage, log=log)
    bare = log.signed().text()
    for swapped in (evidence, edit(evidence, checkpoint=bare)):
        with refuses("CHARTER_MISMATCH"):
            forger.examine(swapped, stage)


def test_a_transfer_of_a_vault_that_the_charter_does_not_know_is_refused(forger, stage, edit):
    drafted = forger.draft()
    other = swapped_vaults()["another threshold"]
    with refuses("TRANSFER_MISMATCH"):
        forger.judge(edit(drafted, identity=edit(drafted.identity, vault=other.id)), stage)
    request = forger.request(vault=other.id)
    identity = edit(drafted.identity, vault=other.id, request=read_request(request).digest())
    with refuses("VAULT_ID_MISMATCH"):
        forger.judge(edit(drafted, identity=identity), stage, request=request)


@pytest.mark.parametrize("script_type", list(ScriptType), ids=str)
@pytest.mark.parametrize("branch", list(Branch))
def test_a_station_shows_the_last_index_and_none_after_it(chain, script_type, branch):
    # Ledger 2.1.2: from 2^31 on the child is hardened, and nobody can spend what is paid there.
    cast = make_cast(Setting(script_type=script_type))
    station = Station(RememberedState(), chain)
    station.trust(cast.envelope, show_words(cast.digest))
    assert station.address(cast.envelope, "reserve", branch, 2**31 - 1).startswith(("bcrt1", "2"))
    for index in (2**31, -1, 2**32, 2**32 + 5):
        with refuses("INDEX_RANGE"):
            station.address(cast.envelope, "reserve", branch, index)
