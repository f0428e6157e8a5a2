"""How does regtest's own chain get blocks and payments? Only there; nothing here exists for other networks.

The chain lives in the coordinator's folder; a node mines by itself, and is refused here. What waits for a block does
not outlive a command, so payments are mined at once; what the coordinator has sent is handed in again by `OwnChain`.
"""

from __future__ import annotations

import click

from custody.apps.chains import own_chain
from custody.apps.commands.telling import warn_of_theft
from custody.apps.coordinator import coordinator
from custody.apps.terminal import Verb, output
from custody.apps.views.coin import observation_text
from custody.apps.views.layout import bitcoin
from custody.bitcoin.script import script_of
from custody.units import Network, parse_amount

MAX_BLOCKS = 1000


@click.command(cls=Verb, epilog="Example: custody regtest mine 6")
@click.argument("count", type=click.IntRange(1, MAX_BLOCKS))
@click.option("--to", "address", metavar="ADDRESS", help="Who gets the block rewards; otherwise the faucet.")
def mine(*, count: int, address: str | None) -> None:
    """Mine blocks on regtest, then look at the chain.

    The first block holds what was delivered and waits. A reward may be spent 100 blocks later.
    """
    script = None if address is None else script_of(address, Network.REGTEST)
    with coordinator().work() as work:
        regtest = own_chain(work.chain).regtest()
        mined = len(regtest.view.pending())
        regtest.mine(count, script)
        seen = work.custodian.observe()
    output().emit(
        {"blocks": count, "transactions": mined, "height": seen.height, "added": [str(each) for each in seen.added]},
        f"mined {count} block(s) with {mined} transaction(s); {observation_text(seen)}",
    )
    warn_of_theft(seen)


@click.command(cls=Verb, epilog="Example: custody regtest pay bcrt1q... '0.6 BTC'")
@click.argument("address")
@click.argument("amount")
def pay(*, address: str, amount: str) -> None:
    """Pay an address on regtest, in a block at once.

    The faucet pays AMOUNT, in sats or with its unit, such as '0.6 BTC'. Then the chain is looked at.
    """
    script, sats = script_of(address, Network.REGTEST), parse_amount(amount)
    with coordinator().work() as work:
        regtest = own_chain(work.chain).regtest()
        outpoint = regtest.pay(script, sats)
        regtest.mine(1)
        seen = work.custodian.observe()
    output().emit(
        {
            "outpoint": str(outpoint),
            "amount": sats,
            "height": seen.height,
            "added": [str(each) for each in seen.added],
        },
        f"paid {bitcoin(sats)} in {outpoint}; {observation_text(seen)}",
    )
    warn_of_theft(seen)
    output().next_step("deposits count after as many blocks as the vault asks for: custody regtest mine N")
