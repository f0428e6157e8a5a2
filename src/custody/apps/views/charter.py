"""What does a charter say to a person and to a program, and who has signed it?

The words of its digest are for `layout.words_block`: not every screen that shows a charter shows them.
"""

from __future__ import annotations

from typing import Final

from custody.apps.terminal import JsonValue
from custody.apps.views.layout import (
    INDENT,
    Data,
    bitcoin,
    block,
    grouped,
    plain,
    rate,
    sats,
    screen,
    share,
    table,
    under,
)
from custody.charter.document import AddressPayee, Charter, CharterVault
from custody.charter.rules import AllowRule, ApprovalsRule, FeeRule, LimitRule, Rule
from custody.vault.descriptor import Branch, Vault
from custody.words import show_words

MAKERS_NOT_STATED: Final = "makers not stated"


def charter_screen(charter: Charter, missing: tuple[str, ...]) -> str:
    """Everything the charter says. `missing` are those it lists who have not signed it."""
    return screen(
        f"Charter version {charter.version} of {plain(charter.institution)}, network {charter.network}, "
        f"log {plain(charter.origin)}",
        block("People and keys", _people(charter, missing)),
        block("Witnesses", _witnesses(charter)),
        *(block(f"Vault {plain(entry.name)}", _vault(entry, charter.vault(entry.name))) for entry in charter.vaults),
        block("Payees", [line for each in charter.payees for line in _payee(each.name, charter)]),
        block("Rules", _charter_rules(charter)),
        _signed_by(charter, missing),
    )


def _people(charter: Charter, missing: tuple[str, ...]) -> list[str]:
    roles = {person.name: ", ".join(person.roles) for person in charter.people}
    roles["the coordinator"] = "keeps the log, approves nothing"
    signers = list(charter.signers())
    rows = [(name, roles.get(name, "witness"), "NOT SIGNED" if name in missing else "signed") for name, _ in signers]
    lines: list[str] = []
    for row, (_, key) in zip(table(rows), signers, strict=True):
        lines += [row, *under([key.hex(" ", 4)])]
    return lines


def _witnesses(charter: Charter) -> list[str]:
    if not charter.witnesses:
        return [f"{INDENT}none: the history is not witnessed, and one coordinator can show several"]
    quorum = f"{charter.witness_threshold} of {len(charter.witnesses)} cosign the log"
    return [f"{INDENT}{quorum}; at most {charter.faulty_witnesses} may fail or lie"]


def _vault(entry: CharterVault, vault: Vault) -> list[str]:
    lines = table(
        (
            ("signers", f"{vault.threshold} of {len(vault.cosigners)}, script {vault.script_type}"),
            ("keys", ", ".join(each.shown for each in vault.cosigners)),
            ("deposits", f"count from {entry.confirmations} confirmations on, found from block {entry.birthday} on"),
            ("coins", f"at most {entry.max_inputs} in one transfer"),
            ("id", vault.id.hex()),
        )
    )
    lines.append(f"{INDENT}first address, to be compared with every signing device:")
    lines += under(grouped(vault.address(Branch.RECEIVE, 0)))
    return [*lines, f"{INDENT}devices:", *(f"{INDENT}{line}" for line in devices_of(entry))]


def cosigners_data(entry: CharterVault, vault: Vault) -> list[JsonValue]:
    """The cosigners of this vault in their order, with name and site where the charter says them."""
    said = {each.fingerprint: (each.name, each.site) for each in entry.cosigners}
    named = ((each.fingerprint, *said.get(each.fingerprint, (None, None))) for each in vault.cosigners)
    return [{"fingerprint": key.hex(), "name": name, "site": site} for key, name, site in named]


def devices_of(entry: CharterVault) -> list[str]:
    """Who made the device of each cosigner of this vault, as the charter says it."""
    if not entry.devices:
        return [f"{INDENT}{MAKERS_NOT_STATED}: one maker's devices may be enough to spend"]
    return table(
        (
            each.fingerprint.hex(),
            f"by {each.maker}",
            each.model,
            "asked twice for each transfer" if each.is_deterministic else "asked once",
        )
        for each in entry.devices
    )


def _payee(name: str, charter: Charter) -> list[str]:
    payee = charter.payee(name)
    if isinstance(payee, AddressPayee):
        return [f"{INDENT}{plain(name)}", *under(grouped(payee.address))]
    return [f"{INDENT}{plain(name)}", *under([f"vault {plain(payee.vault)}, at its next unused address"])]


def _charter_rules(charter: Charter) -> list[str]:
    lines = [f"{INDENT}Nothing is allowed but what these rules allow; all of them must be content."]
    for rule in charter.rules:
        lines.append(f"{INDENT}{plain(rule.name)}, for {plain(', '.join(rule.vaults))}")
        lines += under([plain(_says(rule))])
    return lines


def _says(rule: Rule) -> str:
    match rule:
        case AllowRule():
            return f"may pay {', '.join(rule.payees)}"
        case ApprovalsRule():
            start = "every transfer" if rule.from_amount == 0 else f"a transfer of {bitcoin(rule.from_amount)} or more"
            return f"{start} needs {rule.count} with the role {rule.role}, the requester not among them"
        case LimitRule():
            return f"at most {bitcoin(rule.max_outflow)} in one transfer, fee included"
        case FeeRule():
            caps = f"{sats(rule.max_fee)}, {rate(rule.max_rate)} and {share(rule.max_share, 10_000)} of what is moved"
            return f"fee at most {caps}"


def _signed_by(charter: Charter, missing: tuple[str, ...]) -> str:
    if missing:
        return f"NOT IN FORCE: still to be signed by {plain(', '.join(missing))}"
    return f"Signed by everyone it lists ({sum(1 for _ in charter.signers())})."


def charter_data(charter: Charter, missing: tuple[str, ...]) -> Data:
    """What a charter says, for a program: its record, its digest and who has signed."""
    return {
        "charter": charter.model_dump(mode="json"),
        "digest": charter.digest().hex(),
        "words": show_words(charter.digest()),
        "missing": list(missing),
        "vaults": [
            {
                "name": entry.name,
                "id": charter.vault(entry.name).id.hex(),
                "first_address": charter.vault(entry.name).address(Branch.RECEIVE, 0),
                "makers_stated": bool(entry.devices),
                "cosigners": cosigners_data(entry, charter.vault(entry.name)),
            }
            for entry in charter.vaults
        ],
    }
