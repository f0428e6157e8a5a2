from collections.abc import Callable

import pytest

from custody.testing.asserts import refuses
from custody.units import HARDENED, Network
from custody.vault.keys import Cosigner
from custody.vault.templates import MAX_KEYS, ScriptType, account_path, check_path, check_quorum

H = HARDENED


@pytest.mark.parametrize(("threshold", "keys"), [(2, 2), (2, 3), (3, 5), (15, 15)])
def test_quorums_within_the_limits_pass(threshold: int, keys: int) -> None:
    check_quorum(threshold, keys)


@pytest.mark.parametrize(
    ("threshold", "keys"), [(0, 0), (0, 3), (1, 1), (1, 2), (1, 15), (3, 2), (-1, 3), (2, MAX_KEYS + 1)]
)
def test_quorums_outside_the_limits_are_refused(threshold: int, keys: int) -> None:
    with refuses("TEMPLATE"):
        check_quorum(threshold, keys)


@pytest.mark.parametrize(
    ("script_type", "path"),
    [
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 2 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 77 + H, 2 + H)),
        (ScriptType.SH_WSH, (48 + H, 1 + H, 0 + H, 1 + H)),
        (ScriptType.TR, (48 + H, 1 + H, 0 + H, 3 + H)),
        (ScriptType.WSH, (87 + H, 1 + H, 0 + H)),
        (ScriptType.SH_WSH, (87 + H, 1 + H, 3 + H)),
        (ScriptType.TR, (87 + H, 1 + H, 0 + H)),
    ],
)
def test_the_paths_of_bip48_and_bip87_pass(
    cosigner: Callable[..., Cosigner], script_type: ScriptType, path: tuple[int, ...]
) -> None:
    for network in (Network.REGTEST, Network.SIGNET, Network.TESTNET4):
        check_path(cosigner(1, network, path=path), script_type, network)


@pytest.mark.parametrize(
    ("script_type", "path"),
    [
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 1 + H)),  # the other script's
        (ScriptType.SH_WSH, (48 + H, 1 + H, 0 + H, 2 + H)),
        (ScriptType.TR, (48 + H, 1 + H, 0 + H, 2 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 0 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 3 + H)),  # taproot's
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 0, 2 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 2)),
        (ScriptType.WSH, (48, 1 + H, 0 + H, 2 + H)),
        (ScriptType.WSH, (48 + H, 1, 0 + H, 2 + H)),
        (ScriptType.WSH, (48 + H, 1 + H, 0 + H, 2 + H, 0)),
        (ScriptType.WSH, (87 + H, 1 + H)),
        (ScriptType.WSH, (87 + H, 1 + H, 0)),
        (ScriptType.WSH, (87 + H, 1 + H, 0 + H, 2 + H)),
        (ScriptType.WSH, (45 + H,)),
        (ScriptType.WSH, (45 + H, 1 + H, 0 + H, 2 + H)),
        (ScriptType.WSH, (44 + H, 1 + H, 0 + H)),
        (ScriptType.WSH, (84 + H, 1 + H, 0 + H)),
        (ScriptType.WSH, (0, 0)),
    ],
)
def test_every_other_path_is_refused(
    cosigner: Callable[..., Cosigner], script_type: ScriptType, path: tuple[int, ...]
) -> None:
    with refuses("PATH_NONSTANDARD"):
        check_path(cosigner(1, path=path), script_type, Network.REGTEST)


def test_a_key_of_another_network_is_refused(cosigner: Callable[..., Cosigner]) -> None:
    with refuses("NETWORK_MISMATCH"):
        check_path(cosigner(1, Network.REGTEST), ScriptType.WSH, Network.MAIN)
    with refuses("NETWORK_MISMATCH"):
        check_path(cosigner(1, Network.MAIN), ScriptType.WSH, Network.SIGNET)


@pytest.mark.parametrize("coin", [1, 2, 60])
def test_a_path_of_another_coin_is_refused(cosigner: Callable[..., Cosigner], coin: int) -> None:
    key = cosigner(1, Network.MAIN, path=(48 + H, coin + H, 0 + H, 2 + H))
    with refuses("NETWORK_MISMATCH"):
        check_path(key, ScriptType.WSH, Network.MAIN)


def test_accounts_are_those_of_bip_48():
    numbers = [48, 1, 3, 2]
    assert account_path(ScriptType.WSH, Network.SIGNET, 3) == tuple(HARDENED + each for each in numbers)
    assert account_path(ScriptType.TR, Network.MAIN, 0) == tuple(HARDENED + each for each in (48, 0, 0, 3))
    assert account_path(ScriptType.SH_WSH, Network.MAIN, 0) == tuple(HARDENED + each for each in (48, 0, 0, 1))
