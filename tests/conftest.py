"""How hypothesis runs (no deadline anywhere, the same examples every time on a build server), and real nodes.

A node is `$BITCOIND`, else `bitcoind` on PATH, else what scripts/fetch_bitcoind.sh fetches.
"""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from custody.testing.chain import RegtestChain
from custody.testing.node import NodeChain, OfflineNode

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

_FETCH = Path(__file__).resolve().parents[1] / "scripts" / "fetch_bitcoind.sh"


@pytest.fixture(scope="session")
def bitcoind():
    """Path of a bitcoind. Where none can be had, tests that need it are skipped; on a build server they fail."""
    found = subprocess.run([_FETCH], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    reason = (found.stderr.strip().splitlines() or ["no bitcoind"])[-1]
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node(bitcoind):
    """A regtest node that all tests share: only for questions that change nothing on it."""
    with OfflineNode(bitcoind) as running:
        yield running


@pytest.fixture
def node_chain(bitcoind):
    """A node of one's own with nothing on it but the genesis block."""
    with OfflineNode(bitcoind) as running, NodeChain(running) as chain:
        yield chain


@pytest.fixture(params=["kernel", "bitcoind"])
def any_chain(request):
    """A chain of each kind, with nothing on it but the genesis block."""
    if request.param == "bitcoind":
        yield request.getfixturevalue("node_chain")
    else:
        with RegtestChain() as chain:
            yield chain
