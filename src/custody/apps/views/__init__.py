"""How everything that the programs show reads: for a person, and as data for --json. Both programs show alike.

layout.py         how one fact stands on a terminal: text from outside, money, addresses, times, tables
judgement.py      what rules said, and who has agreed or signed: the one spelling in JSON
request.py        a request
ties.py           what a transfer replaces or speeds up, and what all fees come to
transfer.py       a transfer, by the coordinator's word
examination.py    a transfer, as a station judged it
unproved.py       evidence, papers and logs that this machine cannot prove
signatures.py     whose signatures there are, and what a returned file brought
consolidation.py  what a consolidation leaves behind
sending.py        fee rates, and what was sent and waits
statement.py      address statements and payer cards
charter.py        a charter
vault.py          vaults
deposit.py        addresses that were given out
coin.py           coins
unspent.py        the chain's unspent outputs, and where the log differs
node.py           a node
log.py            who stands behind the log
files.py          any other file: plain PSBTs, signed documents, checkpoints, key files

A `..._text`, `..._screen` or `..._table` is for a person, a `..._data` is the same for a program.
"""
