"""Two bases that differ: the first row in which they do, and what is wrong with it."""

import pytest

from custody.history import tables
from custody.history.difference import differences, encoded, first_difference
from custody.history.maps import MapRows
from custody.history.rows import Number, number


@pytest.mark.parametrize("table", tables.ALL, ids=lambda each: each.name)
def test_the_first_row_that_differs_is_named_by_table_and_key(told, table):
    state = told.states[told.index("unexplained_spend") + 1]
    one, found = encoded(MapRows.of(state)), list(state.scan(table))
    assert first_difference(one, one, tables.ALL) is None
    if found:
        key, _ = found[len(found) // 2]
        without = encoded(MapRows.of(state.put(table, key, None)))
        missing, made_up = first_difference(one, without, tables.ALL), first_difference(without, one, tables.ALL)
        assert (missing.table, missing.key) == (made_up.table, made_up.key) == (table.name, key.hex())
        assert ("missing" in missing.problem, "nothing in the log" in made_up.problem) == (True, True)
    if table.row is Number:
        key = found[0][0] if found else number(1)
        other = encoded(MapRows.of(state.put(table, key, Number(2**40))))
        differs = first_difference(one, other, tables.ALL)
        assert (differs.table, differs.key) == (table.name, key.hex())


@pytest.mark.parametrize(
    ("made", "stands", "problems"),
    [
        ("ab", "ab", ""),
        ("", "a", "a nothing in the log makes it"),
        ("a", "", "a it is missing"),
        ("a", "A", "a it says something else"),
        (
            "bd",
            "acD",
            "a nothing in the log makes it, b it is missing, c nothing in the log makes it, d it says something else",
        ),
    ],
)
def test_every_difference_is_found_in_the_order_of_keys(made, stands, problems):
    def listing(rows):
        return lambda _: ((each.lower().encode(), each.encode()) for each in rows)

    found = (each.named() for each in differences(listing(made), listing(stands), tables.LIVE))
    assert ", ".join(f"{chr(int(each.key, 16))} {each.problem}" for each in found) == problems
