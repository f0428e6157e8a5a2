"""The commands of `custody-station`, imported one at a time by the program that runs them.

desk.py               what a station is given: its folder, a clock, key files, passphrases, the files people carry to it
layout.py             how one fact stands on a terminal: text from outside, money, addresses, times, tables
screens.py            what an officer and a custodian read, and the same as data for --json
statement_screens.py  what an officer and a payer read of an address statement; payer cards
papers.py             the other files that reach a station: plain PSBTs, approvals, checkpoints, key files

keys.py        new-key, export
charters.py    trust, sign-charter, address, status
devices.py     enrol
transfers.py   inspect, approve, sign
statements.py  statement, verify-statement
witnesses.py   witness
"""
