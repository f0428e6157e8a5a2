"""The commands of `custody`, imported one at a time by the program that runs them.

setup.py           init, store upgrade
vault.py           vault: create, list, show
vault_export.py    vault: export
deposit.py         vault: address, addresses
statement.py       vault: statement
charter.py         charter: template, new, merge, card, show
coin.py            coin: list, balance; observe
transfer_ask.py    transfer: request, submit, draft, approve, cancel
transfer_sign.py   transfer: evidence, combine, release, deliver
transfer_plain.py  transfer: export, import
transfer_show.py   transfer: list, show; and how a transfer reads
log.py             log: checkpoint, cosign, verify, export
regtest.py         regtest: mine, pay
doctor.py          doctor
demo.py            demo
"""
