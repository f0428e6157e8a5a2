"""A state is a value: layers over a base say what one dict would, and an old state stays as it was."""

from hypothesis import given
from hypothesis import strategies as st

from custody.history import tables
from custody.history.maps import MapRows
from custody.history.multiset import Multiset
from custody.history.rows import Head, Named, Number, Sealing, Table, beyond, number
from custody.history.state import State

ONE, OTHER, LOCAL = Table("one", Number), Table("other", Named), Table("local", Number, Sealing.LOCAL)
TABLES = (ONE, OTHER, LOCAL)
keys = st.binary(min_size=1, max_size=3)
rows = st.none() | st.integers(0, 5)
changes = st.lists(st.tuples(st.sampled_from(TABLES), keys, rows), max_size=40)


def row_of(table, value):
    return None if value is None else Named(bytes([value])) if table is OTHER else Number(value)


def put_all(state, steps, model):
    """The state after these changes, and the dict that says the same."""
    model = dict(model)
    for table, key, value in steps:
        row = row_of(table, value)
        state = state.put(table, key, row)
        model.pop((table, key), None)
        if row is not None:
            model[table, key] = row
    return state, model


def of(model, table):
    return sorted((key, row) for (each, key), row in model.items() if each is table)


def over_a_base(below, above):
    base, model = put_all(State(bytes(32)), below, {})
    state, model = put_all(State.over(MapRows.of(base), bytes(32)), above, model)
    return state, model


def digest_of(model):
    """The sum over the rows that are there, made anew."""
    sealed = [table.element(key, row) for (table, key), row in model.items() if table is not LOCAL]
    return Multiset().changed(sealed).digest()


@given(changes, changes, keys, keys)
def test_layers_over_a_base_say_what_a_dict_says(below, above, start, stop):
    state, model = over_a_base(below, above)
    for table in TABLES:
        expected = of(model, table)
        assert list(state.scan(table)) == expected
        assert list(state.scan(table, backwards=True)) == expected[::-1]
        inside = [(key, row) for key, row in expected if start <= key < stop]
        assert list(state.scan(table, start, stop)) == inside
        assert list(state.scan(table, start, stop, backwards=True)) == inside[::-1]
        for key in {start, stop, *(key for key, _ in expected)}:
            assert state.get(table, key) == model.get((table, key))
            assert state.has(table, key) is ((table, key) in model)


@given(changes, changes, keys)
def test_what_is_under_a_prefix_begins_with_it(below, above, prefix):
    state, model = over_a_base(below, above)
    expected = [(key, row) for key, row in of(model, ONE) if key.startswith(prefix)]
    assert list(state.under(ONE, prefix)) == expected
    assert list(state.under(ONE, prefix, backwards=True)) == expected[::-1]


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_the_first_key_beyond_a_prefix_is_behind_all_that_begin_with_it(prefix, rest):
    stop = beyond(prefix)
    if stop is None:
        assert not prefix.strip(b"\xff")
    else:
        assert prefix + rest < stop
        assert stop[:-1] == prefix[: len(stop) - 1]


@given(changes, changes)
def test_an_old_state_stays_as_it_was(first, second):
    state, model = put_all(State(bytes(32)), first, {})
    before, digest = {table: list(state.scan(table)) for table in TABLES}, state.digest()
    later, _ = put_all(state, second, model)
    for table in TABLES:
        assert list(state.scan(table)) == before[table] == of(model, table)
    assert state.digest() == digest
    assert later.base is state.base


@given(changes, changes)
def test_changes_are_what_makes_one_base_of_another(below, above):
    state, model = over_a_base(below, above)
    kept = {(table, key): row for table in TABLES for key, row in state.base.scan(table, b"", None)}
    told = list(state.changes())
    for table, key, row in told:
        kept.pop((table, key), None)
        if row is not None:
            kept[table, key] = row
    assert kept == model
    assert [(table.name, key) for table, key, _ in told] == sorted({(table.name, key) for table, key, _ in told})
    moved = MapRows.of(state)
    assert {(table, key): row for table in TABLES for key, row in moved.scan(table, b"", None)} == model


@given(changes, changes)
def test_the_digest_is_of_the_sealed_rows_that_are_there_and_of_nothing_else(below, above):
    state, model = over_a_base(below, above)
    assert state.digest() == digest_of(model)
    # Kept as a base and read again it is the same.
    assert State.over(MapRows.of(state), bytes(32)).digest() == digest_of(model)


@given(changes)
def test_a_row_that_is_put_and_taken_away_again_changes_no_digest(steps):
    state, _ = put_all(State(bytes(32)), steps, {})
    there = state.get(ONE, b"somewhere")
    assert state.put(ONE, b"somewhere", Number(1)).put(ONE, b"somewhere", there).digest() == state.digest()


def test_layers_stay_few_however_much_is_put():
    state = State(bytes(32))
    for at in range(2_000):
        state = state.put(ONE, number(at), Number(at))
    assert len(state._layers) <= 12
    assert [row.value for _, row in state.scan(ONE)] == list(range(2_000))


def test_a_base_says_how_long_its_log_is(told):
    rows_ = MapRows.of(told.states[9])
    assert rows_.head == Head(told.states[9].frontier, told.states[9].total())
    assert State.over(rows_, told.cast.digest).size == 9
    assert {each.name for each in tables.ALL}.issuperset(rows_.tables.keys() - {"bodies", "roots"})
