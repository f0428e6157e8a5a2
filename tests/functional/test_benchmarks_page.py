"""The benchmarks' page shows the rows that `make bench` gives, with their targets, and says which it missed.

Nothing is timed here: the plan of a run is compared with the page, and what becomes of given times is looked at.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
FIELDS = ["name", "size", "ours_us", "peer", "peer_us", "ratio", "target", "met"]


def module(name: str) -> Iterator[ModuleType]:
    """A file of tests/benchmarks, which is a program and no package: its files import each other by their names."""
    folder = str(ROOT / "tests" / "benchmarks")
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(folder)
        for each in set(sys.modules) - before:
            if str(getattr(sys.modules[each], "__file__", None)).startswith(folder):
                del sys.modules[each]


@pytest.fixture
def measure() -> Iterator[ModuleType]:
    yield from module("measure")


@pytest.fixture
def plan(measure: ModuleType) -> ModuleType:
    return sys.modules[measure.Goal.__module__]


@pytest.fixture
def shown() -> list[list[str]]:
    """The page's table, without its headings."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return rows[2:]


def test_the_page_has_the_rows_of_a_run(plan: ModuleType, shown: list[list[str]]) -> None:
    expected = [
        [goal.title, f"{goal.size:,}", goal.peer, "" if goal.target is None else f"<= {goal.target:g}"]
        for goal in plan.PLAN
    ]
    assert [[work, size, peer, target] for work, size, _, peer, _, _, target, _ in shown] == expected


def test_the_page_says_of_every_row_what_its_numbers_say(shown: list[list[str]]) -> None:
    bullets = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    judged = missed = 0
    for work, size, ours, peer, theirs, ratio, target, verdict in shown:
        assert peer
        assert float(ratio) == pytest.approx(
            float(ours.replace(",", "")) / float(theirs.replace(",", "")), rel=0.03, abs=0.001
        )
        if not target:
            assert verdict == ""
            continue
        judged += 1
        limit = float(target.removeprefix("<= "))
        # A ratio is shown in three digits; where they are the target's, only the run knows.
        assert verdict == ("met" if float(ratio) <= limit else "MISSED") or float(ratio) == limit
        row, other = f"- MISSED: {work}, {size}: ", f" of {peer}, target "
        is_listed = any(line.startswith(row) and other in line for line in bullets)
        assert is_listed is (verdict == "MISSED")
        missed += verdict == "MISSED"
    assert f"- {judged - missed} of {judged} targets met" in bullets


def test_design_s_targets_are_all_in_the_plan(plan: ModuleType) -> None:
    targets = {(goal.name, goal.size, goal.peer.split()[0]): goal.target for goal in plan.PLAN if goal.target}
    for size in (100, 1_000):
        assert targets[plan.PARSE, size, "wallycore"] == 1.0
        assert targets[plan.PARSE, size, "bdkpython"] == 0.1
        assert targets[plan.SIGN, size, "bdkpython"] == 0.35
        assert targets[plan.SIGN, size, "wallycore"] == 0.7
        assert targets[plan.SIGN, size, "bitcoind"] == 0.3
        assert targets[plan.COMBINE, size, "bdkpython"] == 0.5
    assert targets[plan.DERIVE, 10_000, "bitcoind"] == 0.5
    assert targets[plan.DERIVE, 10_000, "bdkpython"] == 0.45
    assert targets[plan.DERIVE_TR, 10_000, "bitcoind"] == 0.55
    assert targets[plan.FINALIZE, 100, "bdkpython"] == 0.4
    assert targets[plan.FINALIZE, 1_000, "bdkpython"] == 0.1
    assert targets[plan.SELECT, 10_000, "bitcoind"] == 0.3
    assert (targets[plan.SELECT, 100_000, "150"], plan.MANY_COINS_US) == (1.0, 150_000)
    assert {target for (name, *_), target in targets.items() if name.startswith("growth")} == {11.0}
    old = plan.MANY_ENTRIES
    assert {targets[deed, old, "ours"] for deed in plan.DEEDS.values()} == {1.3}
    assert {targets[work, old, "ours"] for work in (plan.LOOK, plan.BALANCE, plan.REBUILD, plan.CATCH_UP)} == {1.3}
    bounds = [(plan.DEEDS["decide"], "5"), (plan.LOCKED, "20"), (plan.LOOK, "1"), (plan.MEMORY, "150")]
    bounds += [(plan.EVIDENCE_SIZE, "60"), (plan.EXAMINE, "4"), (plan.TOGETHER, "1")]
    # 300 us an entry are five minutes for a million of them.
    bounds += [(plan.REBUILD, "300"), (plan.REBUILD_MEMORY, "400")]
    assert {targets[work, old, bound] for work, bound in bounds} == {1.0}


@pytest.mark.parametrize(
    ("times", "ratio", "met", "verdict"),
    [
        ((35.0, 100.0), 0.35, True, "met"),
        ((35.1, 100.0), 0.351, False, "MISSED"),
        ((35.0, None), None, None, "not measured"),
    ],
)
def test_a_row_is_its_goal_and_what_became_of_it(
    measure: ModuleType,
    tmp_path: Path,
    times: tuple[float, float | None],
    ratio: float | None,
    met: bool | None,  # noqa: FBT001 - what the row says
    verdict: str,
) -> None:
    ours, theirs = times
    row = measure.Row.of(measure.Goal("sign", 100, "bdkpython", 0.35, "ours, text"), ours, theirs)
    assert row.verdict == verdict
    measure.write([row], tmp_path / "made" / "bench.json")
    (written,) = json.loads((tmp_path / "made" / "bench.json").read_bytes())
    assert list(written) == FIELDS
    assert list(written.values()) == ["sign (text)", 100, ours, "bdkpython", theirs, ratio, 0.35, met]
    said = "\n".join(measure.conclusion([row]))
    assert ("MISSED: sign (text), 100: 0.351 of bdkpython, target 0.35" in said) is (verdict == "MISSED")
    assert ("not measured: sign (text), 100, against bdkpython" in said) is (verdict == "not measured")


def test_a_page_keeps_what_stands_around_the_table(measure: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{measure._PAGE_START}old\n{measure._PAGE_END}after\n", encoding="utf-8")
    rows = [measure.Row.of(measure.Goal("sign", 100, "bdkpython", 0.35), 20.0, 100.0)]
    for _ in range(2):
        measure.write_page("introduction\n", rows, page)
        text = page.read_text(encoding="utf-8")
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert text.count("| sign | 100 | 0.02 | bdkpython | 0.10 | 0.200 | <= 0.35 | met |") == 1
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        measure.write_page("introduction\n", rows, page)
