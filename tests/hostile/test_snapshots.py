"""A hostile coordinator, some officers, or the stick: what makes a station begin with what nobody has folded?

Everything here is right but for one lie, so that each is stopped by the check that is meant to stop it.
"""

from contextlib import closing

import pytest

from custody.envelope import Envelope, add_signature, sign
from custody.errors import CustodyError
from custody.examine.catchup import write_log
from custody.examine.confirmed import StateConfirmed, joined
from custody.examine.snapshot import write_snapshot
from custody.history import kinds, tables
from custody.history.maps import MapRows
from custody.history.on.charter import StateSealed
from custody.history.rows import Named, Number, Sealing, number
from custody.history.snapshot import sealed_rows, write_row
from custody.log import withhold, write_line
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER
from custody.testing.forge import Forge
from custody.testing.scenario import RememberedState, Scenario
from custody.transfer.observe import ChainSeen
from custody.units import Network
from custody.words import show_words


class Attack:
    """A true log with a seal, and a coordinator that writes snapshots of it as it likes."""

    def __init__(self) -> None:
        with closing(Scenario.funded()) as scenario:
            scenario.confirmed()
            scenario.authorized()
            with scenario.store.read() as view:
                self.true = list(view.entries())
            self.cast, self.clock, self.now = scenario.cast, scenario.chain, scenario.chain.now()
        self.state = self.forge().history().state
        self.size = self.state.size
        self.sealed = self.forge()
        self.sealed.write(kinds.STATE_SEALED, StateSealed(size=self.size, state=self.state.digest()))

    def forge(self) -> Forge:
        return Forge(self.cast, self.now, self.true)

    def statement(self, **changes) -> StateConfirmed:
        fields = {
            "network": self.cast.charter.network,
            "charter": self.cast.digest,
            "size": self.size,
            "root": self.state.frontier.root,
            "state": self.state.digest(),
        }
        return StateConfirmed(**fields | changes)

    def confirmed(self, *people, **changes) -> Envelope:
        names = people or OFFICERS[:2]
        return sign(self.statement(**changes), *(self.cast.people[name] for name in names))

    def lines(self, confirmed=None, rows=None, forge=None, signed=None, charter=None) -> list[bytes]:
        forge = forge or self.sealed
        return list(
            write_snapshot(
                charter or self.cast.envelope,
                signed or forge.cosigned(),
                confirmed or self.confirmed(),
                sealed_rows(self.state_rows()) if rows is None else rows,
                forge.entries,
            )
        )

    def state_rows(self):
        return MapRows.of(self.state)

    def station(self, seen=()) -> Station:
        station = Station(RememberedState(), self.clock)
        station.trust(self.cast.envelope, show_words(self.cast.digest))
        if seen:
            station.catch_up(lambda: iter(seen))
        return station

    def begins(self, lines, station=None) -> Station:
        station = station or self.station()
        station.begin(lambda: iter(lines))
        return station

    def refused(self, code, lines):
        """The station refuses, and keeps nothing."""
        station = self.station()
        with refuses(code) as caught:
            self.begins(lines, station)
        assert station.seen().size == 0
        assert station.state().start is None
        return caught.error


@pytest.fixture(scope="module")
def attack() -> Attack:
    return Attack()


def test_an_honest_one_is_begun_with(attack):
    station = attack.begins(attack.lines())
    assert station.seen().size == attack.size + 1
    assert station.state().start.officers == OFFICERS[:2]


# --- who confirms -----------------------------------------------------------------------------------------------------


def test_too_few_officers(attack):
    error = attack.refused("SNAPSHOT_UNCONFIRMED", attack.lines(attack.confirmed(OFFICERS[0])))
    assert (error.given, error.needed) == (1, 2)


def test_one_officer_twice(attack):
    once = attack.confirmed(OFFICERS[0])
    twice = add_signature(once, attack.cast.people[OFFICERS[0]])
    attack.refused("SNAPSHOT_UNCONFIRMED", attack.lines(twice))


def test_the_coordinator_alone(attack):
    attack.refused("SNAPSHOT_UNCONFIRMED", attack.lines(sign(attack.statement(), attack.cast.coordinator)))


def test_the_coordinator_the_witness_and_the_requester_beside_one_officer(attack):
    everyone = [attack.cast.coordinator, attack.cast.witness, attack.cast.people[REQUESTER]]
    confirmed = sign(attack.statement(), *everyone, attack.cast.people[OFFICERS[0]])
    error = attack.refused("SNAPSHOT_UNCONFIRMED", attack.lines(confirmed))
    assert (error.given, error.needed) == (1, 2)


def test_signatures_on_another_statement(attack):
    true, other = attack.confirmed(), attack.statement(state=bytes(32))
    moved = Envelope(
        payload=sign(other, attack.cast.people[OFFICERS[0]]).payload,
        payloadType=true.payloadType,
        signatures=true.signatures,
    )
    attack.refused("SIG_INVALID", attack.lines(moved))


def test_an_approval_is_no_confirmation(attack):
    approval = next(each for each in attack.true if each.head.entry == kinds.APPROVED)
    attack.refused("ENVELOPE_TYPE", attack.lines(Envelope.from_bytes(approval.body)))


@pytest.mark.parametrize(("what", "value"), [("charter", b"\x01" * 32), ("network", Network.SIGNET)])
def test_a_state_of_another_charter_or_network(attack, what, value):
    error = attack.refused("SNAPSHOT_DIFFERS", attack.lines(attack.confirmed(**{what: value})))
    assert error.what == what


def test_another_charter(attack, recast):
    other = recast(attack.cast, institution="Another Bank")
    attack.refused("CHARTER_MISMATCH", attack.lines(charter=other.envelope))


def test_confirmations_of_two_states_are_not_joined(attack):
    one, other = attack.confirmed(OFFICERS[0]), attack.confirmed(OFFICERS[1], state=b"\x02" * 32)
    with refuses("SNAPSHOT_DIFFERS") as caught:
        joined([one, other], attack.cast.charter)
    assert caught.error.what == "state"


# --- what it is of ----------------------------------------------------------------------------------------------------


def rows(attack):
    return list(sealed_rows(attack.state_rows()))


def test_a_row_of_any_table_left_out(attack):
    given = rows(attack)
    first_of_each = {row[0].name: row for row in reversed(given)}.values()
    assert len(first_of_each) > 20
    for left_out in first_of_each:
        error = attack.refused("SNAPSHOT_DIFFERS", attack.lines(rows=[each for each in given if each is not left_out]))
        assert error.what == "state"


@pytest.mark.parametrize("table", [tables.COMMITTED_ALL, tables.NEXT_INDEX, tables.REQUESTS])
def test_a_row_changed(attack, table):
    changed = [
        (each, key, table.encode(Number(table.decode(key, data).value + 1)) if each is table else data)
        for each, key, data in rows(attack)
    ]
    assert changed != rows(attack)
    attack.refused("SNAPSHOT_DIFFERS", attack.lines(rows=changed))


def test_a_row_more(attack):
    more = sorted(
        [*rows(attack), (tables.SEALS, number(1), tables.SEALS.encode(Named(bytes(32))))],
        key=lambda row: (row[0].name, row[1]),
    )
    attack.refused("SNAPSHOT_DIFFERS", attack.lines(rows=more))


def test_a_row_twice_and_rows_in_another_order(attack):
    given = rows(attack)
    attack.refused("SNAPSHOT_INVALID", attack.lines(rows=[given[0], *given]))
    attack.refused("SNAPSHOT_INVALID", attack.lines(rows=[given[1], given[0], *given[2:]]))


@pytest.mark.parametrize("sealing", [Sealing.LOCAL, Sealing.LOG])
def test_rows_that_do_not_travel(attack, sealing):
    table = next(each for each in (*tables.ALL, tables.BODIES) if each.sealing is sealing)
    lines = attack.lines()
    lines.insert(1, write_row((table, b"", b"{}")))
    attack.refused("SNAPSHOT_INVALID", lines)


@pytest.mark.parametrize(
    "spelled", [b'[ "asked","00","[]"]', b'["ASKED","00","[]"]', b'["asked","0G","[]"]', b"[" * 9999]
)
def test_rows_that_are_spelled_in_another_way(attack, spelled):
    lines = attack.lines()
    lines.insert(1, spelled)
    attack.refused("SNAPSHOT_INVALID", lines)


def test_a_state_that_officers_confirmed_and_nobody_sealed(attack):
    # Officers in on it: the log that witnesses stand behind still says another state.
    lie = attack.state.put(tables.COMMITTED_ALL, tables.ONLY, Number(1))
    confirmed = attack.confirmed(state=lie.digest())
    attack.refused("SEAL_BROKEN", attack.lines(confirmed, rows=sealed_rows(MapRows.of(lie))))


def test_a_seal_of_another_state(attack):
    forge = attack.forge()
    forge.write(kinds.STATE_SEALED, StateSealed(size=attack.size, state=b"\x03" * 32))
    attack.refused("SEAL_BROKEN", attack.lines(forge=forge))


def test_no_seal_behind_it(attack):
    attack.refused("SNAPSHOT_INVALID", attack.lines(forge=attack.forge()))


# --- the log under it -------------------------------------------------------------------------------------------------


def test_a_log_with_another_past(attack):
    lines = attack.lines()
    first = next(at for at, line in enumerate(lines) if line.startswith(b"{") and at)
    lines[first + 3], lines[first + 4] = lines[first + 4], lines[first + 3]
    error = attack.refused("SNAPSHOT_DIFFERS", lines)
    assert error.what == "root"


def test_a_root_that_officers_did_not_see(attack):
    error = attack.refused("SNAPSHOT_DIFFERS", attack.lines(attack.confirmed(root=b"\x04" * 32)))
    assert error.what == "root"


def test_too_few_witnesses(attack):
    attack.refused("HISTORY_UNWITNESSED", attack.lines(signed=attack.sealed.signed()))


def test_a_checkpoint_of_another_log(attack):
    forge = attack.forge()
    forge.write(kinds.STATE_SEALED, StateSealed(size=attack.size, state=bytes(32)))
    attack.refused("HISTORY_FORKED", attack.lines(signed=forge.cosigned()))


@pytest.mark.parametrize("lie", ["a line less", "a line more"])
def test_lines_that_are_not_as_many_as_the_checkpoint_says(attack, lie):
    lines = attack.lines()
    forge = Forge(attack.cast, attack.now, attack.sealed.entries)
    forge.copy(attack.true[1])
    if lie == "a line more":
        lines.append(write_line(forge.entries[-1]))
        attack.refused("EVIDENCE_INVALID", lines)
    else:
        attack.refused("EVIDENCE_INVALID", attack.lines(signed=forge.cosigned()))


def test_a_body_that_readers_need_withheld(attack):
    at = next(each.head.index for each in attack.true if each.head.entry == kinds.DRAFTED)
    lines = attack.lines()
    first = next(at for at, line in enumerate(lines) if line.startswith(b"{") and at)
    lines[first + at] = write_line(withhold(attack.true[at]))
    attack.refused("BODY_WITHHELD", lines)


def test_a_body_that_is_another(attack):
    at = next(each.head.index for each in attack.true if each.head.entry == kinds.DRAFTED)
    lines = attack.lines()
    first = next(at for at, line in enumerate(lines) if line.startswith(b"{") and at)
    lines[first + at] = lines[first + at].replace(b'"salt":"', b'"salt":"00', 1)
    attack.refused("LOG_CORRUPT", lines)


def test_a_station_that_has_seen_another_log(attack):
    forge = Forge(attack.cast, attack.now, attack.true[:1])
    forge.write(kinds.CHAIN_SEEN, ChainSeen(height=1, block=bytes(32), at=attack.now))
    station = attack.station(list(write_log(attack.cast.envelope, forge.cosigned(), forge.entries, 0)))
    with refuses("HISTORY_FORKED"):
        attack.begins(attack.lines(), station)
    assert station.seen().frontier.root == forge.root
    assert station.state().start is None


# --- the file between its readings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", range(1, 8))
def test_a_file_that_changes_between_two_readings(attack, reading):
    lines, given = attack.lines(), []
    other = attack.lines(rows=rows(attack)[1:])

    def opened():
        given.append(None)
        return iter(other if len(given) > reading else lines)

    station, code = attack.station(), None
    try:
        station.begin(opened)
    except CustodyError as error:
        code = error.code
    if code is None:
        # The rows were not read again.
        assert station.seen().digest() == attack.begins(attack.lines()).seen().digest()
    else:
        assert code in {"SNAPSHOT_INVALID", "SNAPSHOT_DIFFERS", "LOG_CORRUPT"}
        assert station.seen().size == 0
