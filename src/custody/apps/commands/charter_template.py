"""What does an empty charter look like? The text that `custody charter template` prints.

Every value in it is an example that must be replaced; a charter with the examples left in is refused, since they are no
keys and no addresses.
"""

from __future__ import annotations

from typing import Final

TEMPLATE: Final = """\
# A charter: who may do what with which coins. Replace every value, then: custody charter new FILE -o charter.json
# Amounts are whole sats, or text with a unit: "5 BTC", "200000 sat". Nothing is allowed but what a rule allows.
# Lists may stand in any order.

institution = "National Bank"
network = "regtest"                     # main, testnet4, signet or regtest
origin = "bank.example/custody"         # name of the log, in every checkpoint: lower-case letters, digits, . / -
coordinator = "KEY"                     # 64 hexadecimal digits, an ssh-ed25519 line or PEM: custody-station export
witness_threshold = 1                   # how many witnesses must stand behind the log; 0 when there are none
faulty_witnesses = 0                    # how many of them may fail or lie

# --- people: everybody has a key of their own. requester: asks for transfers. officer: approves what others asked for.

[[person]]
name = "Dana"
key = "KEY"
roles = ["requester"]

[[person]]
name = "Aigerim"
key = "KEY"
roles = ["officer"]

[[person]]
name = "Bolat"
key = "KEY"
roles = ["officer"]

# --- witnesses: others who make sure that there is one history. Not officers, not the coordinator.

[[witness]]
name = "parliament.example"
key = "KEY"

# --- vaults: custody vault create prints the descriptor.

[[vault]]
name = "reserve"
descriptor = "DESCRIPTOR"
birthday = 0                            # first block that can hold a coin of it
confirmations = 6                       # depth at which a deposit counts and a transfer is settled
max_inputs = 250                        # as many as the signing devices take in one transaction

# Who holds each key, and where: one table for each cosigner of the vault above, or none at all. Screens show both.
#
# [[vault.cosigner]]
# fingerprint = "73c5da0a"
# name = "Saule"
# site = "Astana"

# Who made the devices: one table for each cosigner of the vault above, or none at all. custody vault create --device
# prints them. One maker's devices must not be enough to sign; a key in a file is made by "software".
#
# [[vault.device]]
# fingerprint = "73c5da0a"
# maker = "coinkite"
# model = "Coldcard Mk4, firmware 5.4"
# is_deterministic = true               # it signs by RFC 6979: stations ask it twice for each transfer, and compare

# --- payees: an address outside, or one of the vaults above (paid at its next unused address, never a chosen one).

[[payee]]
name = "Supplier"
address = "ADDRESS"

[[payee]]
name = "Reserve"
vault = "reserve"

# --- rules: of four types. Every vault needs approvals from amount 0 up, and a fee rule.

[[rule]]
type = "allow"                          # these vaults may pay these payees
name = "known payees"
vaults = ["reserve"]
payees = ["Supplier", "Reserve"]

[[rule]]
type = "approvals"                      # transfers of from_amount or more need so many of this role
name = "two officers"
vaults = ["reserve"]
role = "officer"
count = 2
from_amount = 0

[[rule]]
type = "limit"                          # at most so much leaves in one transfer, fee included
name = "per transfer"
vaults = ["reserve"]
max_outflow = "5 BTC"

[[rule]]
type = "fee"                            # ceilings of the fee; all three hold
name = "modest fees"
vaults = ["reserve"]
max_fee = "0.002 BTC"
max_rate = "100 sat/vB"
max_share = 100                         # parts in 10000 of what is moved
"""
