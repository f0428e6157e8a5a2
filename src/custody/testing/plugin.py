"""pytest fixtures for whoever builds on this library; pytest loads them by itself where the package is installed.

    custody_cast ------- everybody: a charter, keys, cosigners    <- custody_setting, or a charter of one's own
    custody_chain ------ a regtest chain, which is also the clock <- --custody-bitcoind
    custody_store ------ an empty store
    custody_story ------ all of it at work, each vault holding    <- custody_amounts
    custody_custodian, custody_stations, custody_desks: its parts

Override a fixture in a conftest.py to have another; every test gets its own. Regtest only. Nothing of the library is
loaded before a fixture is used. How to: docs/how-to/testing.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from custody.custodian import Custodian
    from custody.ports import Store
    from custody.station import Station
    from custody.testing.cast import Cast, Setting
    from custody.testing.chain import RegtestChain
    from custody.testing.scenario import Scenario

# ruff: noqa: PLC0415 - a project that uses no fixture loads nothing

AMOUNTS: Final = (60_000_000, 40_000_000, 30_000_000)
"""Sats of the coins that each vault begins with."""
_COINBASES: Final = 4
_BITCOIND: Final = "--custody-bitcoind"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which chain the tests run on."""
    parser.getgroup("custody", "multi-signature custody of bitcoin").addoption(
        _BITCOIND,
        metavar="PATH",
        help="have custody_chain mined on this bitcoind (Core from 29 on, or Knots), else on libbitcoinkernel",
    )


@pytest.fixture
def custody_setting() -> Setting:
    """What may differ in the usual charter: quorum, script type, limits. See `custody.testing.cast.Setting`."""
    from custody.testing.cast import Setting

    return Setting()


@pytest.fixture
def custody_cast(custody_setting: Setting) -> Cast:
    """Everybody: charter, vault, people's keys, cosigners. For a charter of one's own see `custody.testing.own`."""
    from custody.testing.cast import make_cast

    return make_cast(custody_setting)


@pytest.fixture
def custody_chain(request: pytest.FixtureRequest) -> Iterator[RegtestChain]:
    """A regtest chain whose faucet can pay, in this process or on a bitcoind. A test may say which, indirectly."""
    from custody.testing.chain import RegtestChain

    kind = getattr(request, "param", "bitcoind" if request.config.getoption(_BITCOIND) else "kernel")
    if kind == "bitcoind":
        from custody.testing.node import NodeChain, OfflineNode

        with OfflineNode(_bitcoind(request.config)) as node, NodeChain(node) as chain:
            yield chain.fund(_COINBASES)
    elif kind == "kernel":
        with RegtestChain.funded(_COINBASES) as chain:
            yield chain
    else:
        pytest.fail(f"custody_chain is 'kernel' or 'bitcoind', not {kind!r}", pytrace=False)


def _bitcoind(config: pytest.Config) -> str:
    """The bitcoind that was named, else the one that is found."""
    found = config.getoption(_BITCOIND) or os.environ.get("BITCOIND") or shutil.which("bitcoind")
    if not found:
        pytest.fail(f"no bitcoind: name one with {_BITCOIND} PATH or $BITCOIND, or put it on PATH", pytrace=False)
    return str(found)


@pytest.fixture
def custody_store(custody_cast: Cast) -> Store:
    """An empty store, in memory. `custody.create_store` makes one that lasts."""
    from custody.testing.memory import InMemoryStore

    return InMemoryStore(custody_cast.charter.network, custody_cast.charter.origin)


@pytest.fixture
def custody_amounts() -> tuple[int, ...]:
    """Sats of the coins that each vault begins with; empty for none."""
    return AMOUNTS


@pytest.fixture
def custody_story(
    custody_cast: Cast, custody_chain: RegtestChain, custody_store: Store, custody_amounts: tuple[int, ...]
) -> Scenario:
    """A custodian, a station for each cosigner and officer, witnesses, and vaults whose coins are mature."""
    from custody.testing.scenario import Scenario

    story = Scenario.begin(cast=custody_cast, chain=custody_chain, store=custody_store)
    story.custodian.observe()
    told = [story.at(each.name) for each in custody_cast.charter.vaults]
    for each in told:
        for amount in custody_amounts:
            each.deposit(amount)
    if custody_amounts:
        story.mine(max(each.depth for each in told))
    return story


@pytest.fixture
def custody_custodian(custody_story: Scenario) -> Custodian:
    """The coordinator's side of the story."""
    return custody_story.custodian


@pytest.fixture
def custody_stations(custody_story: Scenario) -> tuple[Station, ...]:
    """The cosigners' air-gapped machines, in the order of the cast's signers."""
    return custody_story.stations


@pytest.fixture
def custody_desks(custody_story: Scenario) -> dict[str, Station]:
    """The officers' own machines, by name."""
    return custody_story.desks
