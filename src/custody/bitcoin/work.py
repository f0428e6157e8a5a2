"""Has a block's header cost the work that its network asks for, and does it follow the one before?

1. Its hash is at most the target that it names, and that is at most what its network allows at all.
2. It names the block before it.
3. Its target is that of the block before. On the main network and on signet it changes at every 2016th block, and there
   by a factor of 4 at most; on regtest it never does. On testnet4 any block may name the network's limit, so there is
   nothing to compare.
4. A block has lost its place when others, from one below it on, go higher than it stood, each of about its work.

What a signet's blocks are signed for is not looked at, and neither is a block's time. Sources: Bitcoin Core, pow.cpp
(CheckProofOfWork, PermittedDifficultyTransition) and kernel/chainparams.cpp; BIP 94; BIP 325.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custody.bitcoin.block import BlockHeader
from custody.errors import InvalidInput
from custody.units import Network

PERIOD: Final = 2016
"""Blocks after which the target changes."""
MOST: Final = 4
"""How many times larger or smaller it may become at once."""
LIMITS: Final[Mapping[Network, int]] = {
    Network.MAIN: 0xFFFF << 208,
    Network.TESTNET4: 0xFFFF << 208,
    Network.SIGNET: 0x0377AE << 216,
    Network.REGTEST: 0x7FFFFF << 232,
}
"""The largest target of each network (Bitcoin Core, powLimit)."""


class BlockWork(InvalidInput, code="BLOCK_WORK"):
    """A block that nobody worked for as its network's rules ask, or that does not follow the one before."""

    message = "the block {block} at height {height} is not believed: {problem}"
    hint = "Nothing of it was entered. The node is broken, on another chain, or lies: ask another one."
    block: str
    height: int
    problem: str


def check_work(header: BlockHeader, height: int, network: Network) -> None:
    """Pass when a header that is to stand at `height` has work.

    Raises:
        BlockWork: it has none, or less than its network allows at least (rule 1).
    """
    if header.target > LIMITS[network]:
        raise _refusal(header, height, f"its target is easier than anything {network} allows")
    if not header.has_work:
        raise _refusal(header, height, "its hash does not meet its target: it has no proof of work")


def check_follows(header: BlockHeader, before: BlockHeader, height: int, network: Network) -> None:
    """Pass when a header that is to stand at `height` may follow another.

    Raises:
        BlockWork: it names another one (rule 2), or a target that it cannot have there (rule 3).
    """
    if header.previous != before.hash:
        raise _refusal(header, height, f"it does not follow the block {before.hash[::-1].hex()}")
    if network is Network.TESTNET4:
        return
    easiest = hardest = before.target
    if height % PERIOD == 0 and network is not Network.REGTEST:
        easiest, hardest = _as_written(min(before.target * MOST, LIMITS[network])), _as_written(before.target // MOST)
    if not hardest <= header.target <= easiest:
        raise _refusal(header, height, "its target is another than the block before it leads to")


@dataclass(frozen=True, slots=True)
class Displaced:
    """A block that has lost its place: `lost` stood at `height`, and `branch` follows the block `fork` at `since`."""

    lost: BlockHeader
    height: int
    since: int
    fork: bytes
    branch: tuple[BlockHeader, ...]

    def check(self, network: Network) -> None:
        """Pass when the branch shows that the block lost its place.

        Raises:
            BlockWork: a header of it has no work, or does not follow; it ends too low; or the block stands in it.
        """
        before: BlockHeader | None = None
        for height, header in enumerate(self.branch, self.since + 1):
            check_work(header, height, network)
            if before is None and header.previous != self.fork:
                raise _refusal(header, height, f"it does not follow the block {self.fork[::-1].hex()}")
            if before is not None:
                check_follows(header, before, height, network)
            # One retarget may lie between the two branches' blocks of one height; on testnet4 anything may.
            if network is not Network.TESTNET4 and header.target > self.lost.target * MOST:
                raise _refusal(header, height, "it has far less work than the block that it is to displace")
            before = header
        top = self.since + len(self.branch)
        is_below = self.since < self.height < top
        if not is_below or self.branch[self.height - self.since - 1].hash == self.lost.hash:
            raise _refusal(self.lost, self.height, f"a branch from {self.since} to {top} does not displace it")


def _as_written(target: int) -> int:
    """A target as a header can say it: its three highest bytes, the first of them below 0x80."""
    shift = max(0, 8 * ((target.bit_length() + 8) // 8 - 3))
    return target >> shift << shift


def _refusal(header: BlockHeader, height: int, problem: str) -> BlockWork:
    return BlockWork(block=header.hash[::-1].hex(), height=height, problem=problem)


def headers_of(raws: Sequence[bytes]) -> tuple[BlockHeader, ...]:
    """Headers from their bytes.

    Raises:
        BlockEncoding: one is not 80 bytes long.
    """
    return tuple(BlockHeader(raw) for raw in raws)
