"""The commands of `custody-station`, imported one at a time by the program that runs them.

desk.py        a station's folder and clock

keys.py        new-key, export
charters.py    trust, sign-charter, address, status
devices.py     enrol, unlock
inspecting.py  inspect
transfers.py   approve, sign
statements.py  statement, verify-statement
catchup.py     catch-up
snapshots.py   confirm
witnesses.py   witness

How what they show reads is for `views`.
"""
