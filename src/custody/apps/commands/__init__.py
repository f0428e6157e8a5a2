"""The commands of `custody`, imported one at a time by the program that runs them.

setup.py           init, store upgrade
vault.py           vault: create, list, show
vault_export.py    vault: export
deposit.py         vault: address, addresses
statement.py       vault: statement
charter.py         charter: template, new, merge, card, show
coin.py            coin: list, balance; observe
coin_release.py    coin: release
transfer_ask.py    transfer: request, submit
transfer_agree.py  transfer: draft, approve, cancel
transfer_sign.py   transfer: evidence, combine, release, deliver
transfer_plain.py  transfer: export, import
transfer_show.py   transfer: list, show
payments_file.py   the list of payments that transfer request reads
telling.py         what is said beside an answer: warnings, progress, what is next
node.py            node: status, scan
unspent.py         coin: reconcile
log.py             log: checkpoint, cosign, verify, export
regtest.py         regtest: mine, pay
doctor.py          doctor
demo.py            demo

How what they show reads is for `views`.
"""
