"""Killed, or on a medium that is full or fails, at any call: nothing is lost or doubled, and typing it again goes on.

Each command of a whole route is harmed once, by chance, and then typed again as people would: the same words, or what
the refusal names. `custody` and `custody-station` run as processes of their own (`site/sitecustomize.py` harms them).
"""

import random
from collections import Counter

import pytest

from .play import Play, route

CAMPAIGN = [pytest.param(seed, marks=pytest.mark.campaign) for seed in range(100, 130)]
ENTERED = Counter(
    {
        "charter_adopted": 1,
        "past_closed": 1,
        "address_issued": 1,
        "annexed": 2,
        "deposit_seen": 2,
        "coin_matured": 2,
        "requested": 1,
        "drafted": 1,
        "decided": 1,
        "approved": 2,
        "authorized": 1,
        "signing_requested": 1,
        "signed": 2,
        "combined": 1,
        "verified": 1,
        "released": 1,
        "broadcast": 1,
        "spend_seen": 1,
        "confirmed": 1,
    }
)
"""What stands in the log of a route that nothing has happened to; how often it was looked at the chain is left out."""


@pytest.mark.parametrize("seed", [1, *CAMPAIGN])
def test_a_route_that_is_harmed_at_every_command_ends_as_one_that_is_not(office, seed):
    play = Play(office, random.Random(seed))  # noqa: S311 - the same on every run
    for step in route(office):
        play.take(step)
    print(f"seed {seed}: {dict(play.harmed)}")  # noqa: T201 - the figures of a campaign
    entered = play.kinds()
    del entered["chain_seen"]
    assert entered == ENTERED, play.told
    assert office.does("transfer", "show", "newest")["status"] == "confirmed"
    assert office.does("log", "verify", "--deep")["is_folded"]
    assert office.types("doctor").exit_code == 0
    assert play.left_behind() == [], play.told


def test_a_command_that_is_harmed_nowhere_makes_the_calls_that_are_counted(office, tmp_path):
    # Else nothing above would be harmed, and all of it pass.
    play, first = Play(office, random.Random(0)), route(office)[0]  # noqa: S311 - nothing is drawn
    calls = tmp_path / "calls"
    assert play.start(first, CUSTODY_FAULT_CALLS=str(calls)) == (0, "")
    made = calls.read_text().split("\n")
    assert {"open", "write", "fsync", "link", "replace", "sqlite insert", "sqlite commit"} <= set(made)
