"""A hostile coordinator, some officers, or the stick: what makes a station begin with what nobody has folded?

Everything here is right but for one lie, so that each is stopped by the check that is meant to stop it.
"""

import json
from contextlib import closing

import pytest

from custody.charter.people import Role
from custody.charter.rules import ApprovalsRule
from custody.envelope import Envelope, add_signature, sign
from custody.errors import CustodyError
from custody.examine.catchup import write_log
from custody.examine.confirmed import StateConfirmed, confirming, joined
from custody.examine.snapshot import sealed_at, write_snapshot
from custody.history import kinds, tables
from custody.history.difference import differences, encoded
from custody.history.maps import MapRows
from custody.history.on.charter import StateSealed
from custody.history.rows import Named, Number, Sealing, number
from custody.history.snapshot import MAX_KEY, MAX_ROW, rows_of_entry, sealed_rows, write_row
from custody.log import Frontier, seal, withhold, write_line
from custody.station import Station
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, REQUESTER, WITNESS
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
        return sign(self.statement(**changes), *(self.signer(name) for name in names))

    def signer(self, name):
        own = {"coordinator": self.cast.coordinator, WITNESS: self.cast.witness}
        return own.get(name) or self.cast.people[name]

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


@pytest.mark.parametrize(("what", "value"), [("size", 1), ("root", b"\x02" * 32), ("state", b"\x02" * 32)])
def test_confirmations_of_two_states_are_not_joined(attack, what, value):
    one, other = attack.confirmed(OFFICERS[0]), attack.confirmed(OFFICERS[1], **{what: value})
    with refuses("SNAPSHOT_DIFFERS") as caught:
        joined([one, other], attack.cast.charter)
    assert caught.error.what == what


def test_only_officers_signatures_are_joined(attack):
    beside = [attack.confirmed("coordinator", each) for each in OFFICERS[:2]]
    assert joined(beside, attack.cast.charter) == attack.confirmed()


def test_a_charter_without_its_signatures(attack):
    bare = sign(attack.cast.charter)
    attack.refused("CHARTER_UNSIGNED", attack.lines(charter=bare))
    with refuses("CHARTER_UNSIGNED"):
        attack.station().offered(lambda: iter(attack.lines(charter=bare)))


def test_what_is_offered_is_what_enough_officers_confirmed(attack):
    station = attack.station()
    assert station.offered(lambda: iter(attack.lines())) == (attack.statement(), OFFICERS[:2])
    with refuses("SNAPSHOT_UNCONFIRMED"):
        station.offered(lambda: iter(attack.lines(attack.confirmed(OFFICERS[0]))))


def test_a_snapshot_in_the_place_of_the_one_that_was_agreed_to(attack):
    station, agreed = attack.station(), (attack.statement(), OFFICERS[1:])
    with refuses("SNAPSHOT_INVALID"):
        station.begin(lambda: iter(attack.lines()), None, agreed)
    assert (station.seen().size, station.state().start) == (0, None)
    station.begin(lambda: iter(attack.lines()), None, (attack.statement(), OFFICERS[:2]))
    assert station.state().start.officers == OFFICERS[:2]


@pytest.mark.parametrize("who", ["coordinator", WITNESS, REQUESTER])
def test_only_an_officer_confirms_at_a_station(attack, who):
    seen = list(write_log(attack.cast.envelope, attack.sealed.cosigned(), attack.sealed.entries, 0))
    station = attack.station(seen)
    assert station.confirm(attack.cast.people[OFFICERS[0]]) == attack.confirmed(OFFICERS[0])
    with refuses("CONFIRMATION_AUTHOR"):
        station.confirm(attack.signer(who))


@pytest.mark.parametrize("size", [1, 2**64, 10**30])
def test_a_size_that_no_seal_is_of(attack, size):
    seen = list(write_log(attack.cast.envelope, attack.sealed.cosigned(), attack.sealed.entries, 0))
    with refuses("STATE_NOT_SEALED"):
        attack.station(seen).confirmation(size)


def rules(charter, *asked):
    """The charter with these rules of approvals, by role and count, in place of its own."""
    kept = [each for each in charter.rules if not isinstance(each, ApprovalsRule)]
    own = next(each for each in charter.rules if isinstance(each, ApprovalsRule))
    return charter.model_copy(
        update={"rules": (*kept, *(own.model_copy(update={"role": role, "count": count}) for role, count in asked))}
    )


def test_the_strictest_rule_for_officers_says_how_many(attack):
    charter = rules(attack.cast.charter, (Role.OFFICER, 1), (Role.OFFICER, 2), (Role.REQUESTER, 3))
    assert confirming(charter).threshold == 2


def test_nobody_confirms_where_no_rule_asks_for_an_officer(attack):
    with refuses("SNAPSHOT_NOBODY"):
        confirming(rules(attack.cast.charter, (Role.REQUESTER, 1)))


def test_a_station_that_begins_while_it_is_asked_to_confirm(attack):
    # Whatever happens between two questions: nobody confirms here what was not folded here.
    class Meanwhile(RememberedState):
        happens = None

        def load(self):
            found, happens, self.happens = super().load(), self.happens, None
            if happens is not None:
                happens()
            return found

    memory = Meanwhile()
    station, other = Station(memory, attack.clock), Station(memory, attack.clock)
    station.trust(attack.cast.envelope, show_words(attack.cast.digest))
    memory.happens = lambda: attack.begins(attack.lines(), other)
    with refuses("STATE_NOT_FOLDED"):
        station.confirmation()


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


@pytest.mark.parametrize("data", ["x", "[]", '["00",true]', "9" * 100_000, "[" * 100_000, "[1e999]", "\x1b[2J"])
def test_a_row_that_does_not_read(attack, data):
    lines = attack.lines()
    lines.insert(1, json.dumps(["addresses", "00", data], separators=(",", ":")).encode())
    error = attack.refused("STATE_CORRUPT", lines)
    assert len(str(error)) < 200


@pytest.mark.parametrize("row", [["asked", "00", "[" + "{}," * MAX_ROW], ["asked", "00" * (MAX_KEY + 1), "x"]])
def test_a_row_that_is_larger_than_any(attack, row):
    # JSON of nothing but brackets takes some thirty times its bytes in memory.
    lines = attack.lines()
    lines.insert(1, json.dumps(row, separators=(",", ":")).encode())
    error = attack.refused("SNAPSHOT_INVALID", lines)
    assert "more than" in str(error)
    assert len(str(error)) < 200


def test_rows_that_are_not_those_that_were_sealed(attack):
    assert list(sealed_at(attack.statement(), rows(attack))) == rows(attack)
    with refuses("SEAL_BROKEN"):
        list(sealed_at(attack.statement(), rows(attack)[1:]))


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


def test_another_entry_behind_it(attack):
    forge = attack.forge()
    forge.write(kinds.CHAIN_SEEN, ChainSeen(height=1, block=bytes(32), time=attack.now, at=attack.now))
    attack.refused("SNAPSHOT_INVALID", attack.lines(forge=forge))


# --- the log under it -------------------------------------------------------------------------------------------------


def test_a_log_with_another_past(attack):
    lines = attack.lines()
    first = next(at for at, line in enumerate(lines) if line.startswith(b"{") and at)
    lines[first + 3], lines[first + 4] = lines[first + 4], lines[first + 3]
    error = attack.refused("SNAPSHOT_DIFFERS", lines)
    assert error.what == "root"


def test_a_log_that_ends_before_it(attack):
    error = attack.refused("SNAPSHOT_INVALID", attack.lines()[:-2])
    assert f"{attack.size} entries and has lines for {attack.size - 1}" in str(error)


def test_an_entry_of_an_unknown_kind(attack):
    forge = Forge(attack.cast, attack.now)
    forge.write_bytes("invented", b"{}")
    with refuses("HISTORY_INVALID"):
        list(rows_of_entry(forge.entries[0], Frontier()))


def test_a_station_that_has_seen_as_much_keeps_what_it_folded(attack):
    forge = attack.forge()
    station = attack.station(list(write_log(attack.cast.envelope, forge.cosigned(), forge.entries, 0)))
    assert station.seen().size == attack.size
    with refuses("SNAPSHOT_BEHIND"):
        attack.begins(attack.lines(), station)
    assert station.state().start is None


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
    forge.write(kinds.CHAIN_SEEN, ChainSeen(height=1, block=bytes(32), time=attack.now, at=attack.now))
    station = attack.station(list(write_log(attack.cast.envelope, forge.cosigned(), forge.entries, 0)))
    with refuses("HISTORY_FORKED"):
        attack.begins(attack.lines(), station)
    assert station.seen().frontier.root == forge.root
    assert station.state().start is None


# --- the file between its readings ------------------------------------------------------------------------------------


def a_row_less(attack):
    return attack.lines(rows=rows(attack)[1:])


def another_body(attack):
    head = attack.true[-1].head
    return changed_line(attack, head.index, seal(head.index, head.entry, head.author, head.subjects, b"{}", bytes(32)))


def another_seal(attack):
    forge = attack.forge()
    forge.write(kinds.STATE_SEALED, StateSealed(size=attack.size, state=bytes(32)))
    return changed_line(attack, attack.size, forge.entries[-1])


def changed_line(attack, index, entry):
    lines = attack.lines()
    first = next(at for at, line in enumerate(lines) if line.startswith(b"{") and at)
    lines[first + index] = write_line(entry)
    return lines


@pytest.mark.parametrize("other", [a_row_less, another_body, another_seal])
@pytest.mark.parametrize("reading", range(1, 8))
def test_a_file_that_changes_between_two_readings(attack, reading, other):
    lines, swapped, given = attack.lines(), other(attack), []

    def opened():
        given.append(None)
        return iter(swapped if len(given) > reading else lines)

    station, honest = attack.station(), attack.begins(attack.lines())
    try:
        station.begin(opened)
    except CustodyError as error:
        assert error.code in {"SNAPSHOT_INVALID", "SNAPSHOT_DIFFERS", "SEAL_BROKEN", "LOG_CORRUPT", "PROOF_INVALID"}  # noqa: PT017 - one of several
    began = station.seen()
    # Either nothing was kept, or all that the officers confirmed, and it is said who did.
    assert began.size in {0, attack.size, attack.size + 1}
    assert (station.state().start is None) == (began.size == 0)
    if began.size:
        kept, right = encoded(began.base), encoded(honest.seen().base)
        sealed_rows_of = [each for each in (*tables.ALL, tables.BODIES, tables.ROOTS) if each is not tables.SEALS]
        differing = [each for table in sealed_rows_of for each in differences(right, kept, table)]
        behind = {number(attack.size)} if began.size == attack.size else set()
        assert {each.key for each in differing} <= behind
