"""What a block's header has to have cost, on published headers and on forged ones."""

from dataclasses import replace

import pytest

from custody.bitcoin.block import BlockHeader
from custody.bitcoin.work import LIMITS, Displaced, check_follows, check_work
from custody.testing.asserts import refuses
from custody.testing.chain import build_block
from custody.units import Network

MERKLE = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
GENESIS = {
    # Network: root, time, bits and nonce of block 0 (Bitcoin Core, kernel/chainparams.cpp).
    Network.MAIN: (MERKLE, 1231006505, 0x1D00FFFF, 2083236893),
    Network.TESTNET4: (
        "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e",
        1714777860,
        0x1D00FFFF,
        393743547,
    ),
    Network.SIGNET: (MERKLE, 1598918400, 0x1E0377AE, 52613770),
    Network.REGTEST: (MERKLE, 1296688602, 0x207FFFFF, 2),
}
ROOT_1 = "0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098"
REGTEST_BITS = 0x207FFFFF


def header(root: str, time: int, bits: int, nonce: int, previous: bytes = bytes(32)) -> BlockHeader:
    numbers = (each.to_bytes(4, "little") for each in (time, bits, nonce))
    return BlockHeader((1).to_bytes(4, "little") + previous + bytes.fromhex(root)[::-1] + b"".join(numbers))


def of_bits(bits: int, previous: BlockHeader | None = None) -> BlockHeader:
    return header(MERKLE, 0, bits, 0, bytes(32) if previous is None else previous.hash)


def mined(previous: bytes, height: int, nonce: int = 0) -> BlockHeader:
    raw = build_block(previous=previous, height=height, time=height, reward_to=b"\x51", extra_nonce=nonce)
    return BlockHeader(raw[:80])


def chain(previous: bytes, height: int, count: int, nonce: int = 0) -> tuple[BlockHeader, ...]:
    """So many headers, the first of which follows `previous` and stands at `height`."""
    found: list[BlockHeader] = []
    for at in range(height, height + count):
        found.append(mined(found[-1].hash if found else previous, at, nonce))
    return tuple(found)


# --- 1. work ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", list(Network))
def test_every_network_s_first_block_has_its_work(network):
    first = header(*GENESIS[network])
    assert first.hash[::-1].hex() == network.genesis
    check_work(first, 0, network)


@pytest.mark.parametrize("network", list(Network))
def test_a_block_that_nobody_worked_for_is_refused(network):
    root, time, bits, nonce = GENESIS[network]
    forged = (header(root, time, bits, nonce + step) for step in range(1, 9))
    idle = next(each for each in forged if not each.has_work)
    with refuses("BLOCK_WORK") as caught:
        check_work(idle, 7, network)
    assert caught.error.height == 7


@pytest.mark.parametrize("network", [each for each in Network if each is not Network.REGTEST])
def test_work_by_an_easier_network_s_rules_is_none(network):
    easy = mined(bytes(32), 1)
    check_work(easy, 1, Network.REGTEST)
    with refuses("BLOCK_WORK") as caught:
        check_work(easy, 1, network)
    assert "easier" in caught.error.problem


@pytest.mark.parametrize("bits", [0x2100FFFF, 0x22000100, 0xFF7FFFFF, 0x00000000, 0x04923456, 0x207FFFFF | 0x800000])
def test_a_target_that_says_nothing_or_everything_is_no_target(bits):
    with refuses("BLOCK_WORK"):
        check_work(of_bits(bits), 1, Network.REGTEST)


# --- 2, 3. what follows what ------------------------------------------------------------------------------------------


def test_the_main_network_s_second_block_follows_its_first():
    first = header(*GENESIS[Network.MAIN])
    second = header(ROOT_1, 1231469665, 0x1D00FFFF, 2573394689, first.hash)
    assert second.hash[::-1].hex() == "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
    check_work(second, 1, Network.MAIN)
    check_follows(second, first, 1, Network.MAIN)
    with refuses("BLOCK_WORK"):
        check_follows(first, second, 2, Network.MAIN)


@pytest.mark.parametrize(
    ("height", "before", "after"),
    [
        (32_256, 0x1D00FFFF, 0x1D00D86A),
        (68_544, 0x1C05A3F4, 0x1C0168FD),
        (46_368, 0x1C387F6F, 0x1D00E1FD),
        (2_016, 0x1D00FFFF, 0x1D00FFFF),
    ],
)
@pytest.mark.parametrize("network", [Network.MAIN, Network.SIGNET])
def test_targets_change_at_the_end_of_a_period_as_published(network, height, before, after):
    """Source: Bitcoin Core, pow_tests.cpp."""
    first = of_bits(before)
    check_follows(of_bits(after, first), first, height, network)
    if before != after:
        with refuses("BLOCK_WORK"):
            check_follows(of_bits(after, first), first, height + 1, network)


@pytest.mark.parametrize(
    ("height", "before", "after"),
    [
        (68_544, 0x1C05A3F4, 0x1C0168FC),
        (46_368, 0x1C387F6F, 0x1D00E1FE),
        (2_016, 0x1B00FFFF, 0x1D00FFFF),
        (2_017, 0x1C05A3F4, 0x1C05A3F5),
        (2_017, 0x1C05A3F4, 0x1C05A3F3),
    ],
)
def test_a_target_that_changes_too_much_or_too_early_is_refused(height, before, after):
    first = of_bits(before)
    with refuses("BLOCK_WORK"):
        check_follows(of_bits(after, first), first, height, Network.MAIN)


def test_on_testnet4_any_block_may_be_as_easy_as_the_network_allows():
    hard = of_bits(0x1B00FFFF)
    check_follows(of_bits(0x1D00FFFF, hard), hard, 5, Network.TESTNET4)
    with refuses("BLOCK_WORK"):
        check_follows(of_bits(0x1D00FFFF), hard, 5, Network.TESTNET4)


def test_on_regtest_the_target_never_changes():
    first = of_bits(REGTEST_BITS)
    with refuses("BLOCK_WORK"):
        check_follows(of_bits(0x1D00FFFF, first), first, 2_016, Network.REGTEST)


# --- 4. what has lost its place ---------------------------------------------------------------------------------------

FORK = b"\x05" * 32


@pytest.fixture
def shown() -> Displaced:
    """A block at height 102 on a branch from 100; the other branch reaches 103."""
    return Displaced(chain(FORK, 101, 2)[-1], 102, 100, FORK, chain(FORK, 101, 3, nonce=1))


def test_a_branch_that_goes_higher_displaces_a_block(shown):
    shown.check(Network.REGTEST)


def test_one_that_goes_no_higher_does_not(shown):
    with refuses("BLOCK_WORK"):
        replace(shown, branch=shown.branch[:2]).check(Network.REGTEST)
    with refuses("BLOCK_WORK"):
        replace(shown, branch=()).check(Network.REGTEST)


def test_one_that_the_block_stands_in_does_not():
    branch = chain(FORK, 101, 3)
    with refuses("BLOCK_WORK"):
        Displaced(branch[1], 102, 100, FORK, branch).check(Network.REGTEST)


def test_one_from_another_block_does_not(shown):
    with refuses("BLOCK_WORK"):
        replace(shown, fork=b"\x06" * 32).check(Network.REGTEST)


def test_one_from_above_the_block_does_not(shown):
    with refuses("BLOCK_WORK"):
        replace(shown, since=102).check(Network.REGTEST)


def test_one_with_a_gap_does_not(shown):
    first, _, *rest = shown.branch
    with refuses("BLOCK_WORK"):
        replace(shown, branch=(first, *rest, *rest)).check(Network.REGTEST)


def test_one_without_work_does_not(shown):
    raw = shown.branch[-1].raw
    forged = (BlockHeader(raw[:76] + nonce.to_bytes(4, "little")) for nonce in range(64))
    idle = next(each for each in forged if not each.has_work)
    with refuses("BLOCK_WORK"):
        replace(shown, branch=(*shown.branch[:-1], idle)).check(Network.REGTEST)


def test_easy_blocks_do_not_displace_a_hard_one(shown):
    # As if the network's rule allowed both: 1,024 times the work of each block of the branch.
    hard = replace(shown, lost=of_bits(0x1F1FFFFF))
    with refuses("BLOCK_WORK") as caught:
        hard.check(Network.REGTEST)
    assert "far less work" in caught.error.problem


@pytest.mark.parametrize("network", list(Network))
def test_a_network_s_limit_is_the_target_of_its_first_block(network):
    assert LIMITS[network] == header(*GENESIS[network]).target
