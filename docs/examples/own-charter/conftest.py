"""The institution whose code is tested: people, vaults, payees and rules. Everything else comes with the package."""

import pytest

from custody import AllowRule, ApprovalsRule, FeeRule, LimitRule, Quorum, Role
from custody.testing.own import OwnCharter, OwnVault, cast_for

VAULTS = ("savings", "treasury")


@pytest.fixture
def custody_cast():
    return cast_for(
        OwnCharter(
            people={
                "Ada": (Role.REQUESTER,),
                "Bela": (Role.OFFICER,),
                "Cyd": (Role.OFFICER,),
                "Dora": (Role.OFFICER,),
            },
            vaults={
                "treasury": OwnVault(Quorum(2, ("north", "south", "east"))),
                "savings": OwnVault(Quorum(3, ("north", "south", "east", "west")), confirmations=3),
            },
            payees=("Mint", "Tax office"),
            rules=(
                AllowRule(name="the usual", vaults=VAULTS, payees=("Mint", "Tax office")),
                ApprovalsRule(name="three officers", vaults=VAULTS, role=Role.OFFICER, count=3),
                FeeRule(name="fees", vaults=VAULTS, max_fee=100_000, max_rate=50_000, max_share=500),
                LimitRule(name="daily bread", vaults=("treasury",), max_outflow=30_000_000),
            ),
        )
    )


@pytest.fixture
def custody_amounts():
    return (50_000_000, 20_000_000)
