"""What bitcoind takes of a vault: one descriptor a branch, and how far it looks."""

import pytest

from custody.testing.cast import vault_of
from custody.units import HARDENED, Network
from custody.vault.bitcoind import AHEAD, watched
from custody.vault.descriptor import Branch, check
from custody.vault.templates import ScriptType

NAMES = ("astana", "almaty", "shymkent")


@pytest.mark.parametrize("script_type", list(ScriptType))
@pytest.mark.parametrize("branch", list(Branch))
def test_each_branch_is_a_descriptor_of_its_own(script_type, branch):
    vault, _ = vault_of(NAMES, 2, script_type)
    found = watched(vault, branch, 7)
    body = check(found.descriptor)
    assert "<" not in body
    keys = len(NAMES) + (script_type is ScriptType.TR)
    assert body.count(f"/{branch:d}/*") == keys
    assert body.replace(f"/{branch:d}/*", "/<0;1>/*") == check(vault.descriptor)
    assert vault.network is Network.REGTEST


def test_a_thousand_indexes_beyond_the_last_one_used_are_looked_at():
    vault, _ = vault_of(NAMES, 2)
    request = watched(vault, Branch.CHANGE, 7).request(1_700_000_000)
    assert request["range"] == [0, 6 + AHEAD]
    assert request == {
        "desc": watched(vault, Branch.CHANGE, 7).descriptor,
        "active": True,
        "internal": True,
        "range": [0, 1_006],
        "next_index": 7,
        "timestamp": 1_700_000_000,
    }


def test_no_range_reaches_indexes_that_are_hardened():
    vault, _ = vault_of(NAMES, 2)
    assert watched(vault, Branch.RECEIVE, HARDENED - 1).last == HARDENED - 1
