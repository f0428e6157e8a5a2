"""What do an officer and a payer read of an address statement, and what does a payer card look like?

The address on an officer's screen was derived on that machine; on a payer's it is the one that officers signed. Each
screen says what was checked here and what was not, and has its twin for `--json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from custody.apps.views.examination import NOT_WITNESSED, steps_data, steps_table
from custody.apps.views.judgement import tally_data
from custody.apps.views.layout import (
    INDENT,
    Data,
    Theirs,
    block,
    counted,
    grouped,
    listed,
    plain,
    screen,
    table,
    under,
    words_block,
)
from custody.charter.card import PayerCard, card_of
from custody.dates import moment
from custody.examine.statement import AddressStatement, StatementExamination, VerifiedStatement
from custody.quorum import Tally
from custody.words import show_words


def statement_lines(statement: AddressStatement) -> list[str]:
    """What a statement says, the address first."""
    return [
        f"{INDENT}address",
        *under(grouped(statement.address)),
        *table(
            (
                ("payer", Theirs(statement.payer)),
                ("purpose", Theirs(statement.purpose)),
                ("class", statement.coin_class),
                ("index", str(statement.index)),
                ("holds", f"{moment(statement.issued)} to {moment(statement.expires)}"),
                ("vault", statement.vault.hex()),
                ("log", f"{statement.log_size} entries, root {statement.log_root.hex()}"),
            )
        ),
    ]


def statement_data(statement: AddressStatement) -> Data:
    """The same for a program."""
    return {
        "statement": statement.digest().hex(),
        "words": show_words(statement.digest()),
        "network": statement.network.value,
        "charter": statement.charter.hex(),
        "vault": statement.vault.hex(),
        "address": statement.address,
        "index": statement.index,
        "payer": statement.payer,
        "purpose": statement.purpose,
        "class": statement.coin_class,
        "log": {"size": statement.log_size, "root": statement.log_root.hex()},
        "issued": statement.issued,
        "expires": statement.expires,
    }


def _names(keys: Iterable[bytes], card: PayerCard) -> list[str]:
    """Names of officers by their keys."""
    return [card.name_of(key) for key in keys]


def signers_text(tally: Tally[bytes], card: PayerCard) -> list[tuple[str, str]]:
    """Who has signed, and who still may."""
    rows = [
        ("needed", f"{tally.threshold} of {len(card.officers)}"),
        ("signed", ", ".join(_names(tally.acted, card)) or "nobody yet"),
    ]
    if not tally.is_met:
        rows.append(("may still", ", ".join(_names(tally.missing, card))))
    return rows


# --- for an officer ---------------------------------------------------------------------------------------------------


def stating_screen(found: StatementExamination, tally: Tally[bytes]) -> str:
    """What an officer is asked to sign, as this machine judged it."""
    charter = found.charter
    return screen(
        f"Address statement to sign: vault {plain(found.vault_name)} of {plain(charter.institution)}, "
        f"on {charter.network}",
        block("Examined here", steps_table(found.steps)),
        block("States", statement_lines(found.statement)),
        block("Officers", table(signers_text(tally, card_of(charter)))),
        block("Not checked here", listed(found.not_checked)),
        "" if charter.witnesses else NOT_WITNESSED,
        words_block("Statement", found.statement.digest()),
    )


def stating_data(found: StatementExamination, tally: Tally[bytes]) -> Data:
    """The same for a program."""
    return {**judged_data(found, tally), "proved": True, "not_checked": list(found.not_checked)}


def judged_data(found: StatementExamination, tally: Tally[bytes]) -> Data:
    """The same without a word on how far it is proved."""
    return {
        "kind": "statement-paper",
        **statement_data(found.statement),
        "institution": found.charter.institution,
        "vault_name": found.vault_name,
        **tally_data(tally, card_of(found.charter).name_of),
        "witnessed": bool(found.charter.witnesses),
        "steps": steps_data(found.steps),
    }


# --- for a payer ------------------------------------------------------------------------------------------------------


def verified_screen(found: VerifiedStatement, compared: Sequence[str]) -> str:
    """What a payer may pay by; `compared` are the things that the payer brought and that agree."""
    card, tally = found.card, found.tally
    checked = [
        "the card is the one whose 24 words were typed",
        f"{counted(len(tally.acted), 'officer')} of the card signed this statement; {tally.threshold} must",
        "it is made under the card's charter, for its network and for a vault it lists; it holds now",
        *(f"the {what} is the one that was given here" for what in compared),
    ]
    return screen(
        f"Pay {plain(card.institution)}, on {card.network}, at this address",
        block("States", statement_lines(found.statement)),
        block("Officers", table(signers_text(tally, card))),
        block("Checked here", listed(checked)),
        block("Not checked here", listed(_unchecked(compared))),
        words_block("Statement", found.statement.digest()),
    )


def _unchecked(compared: Sequence[str]) -> list[str]:
    found = ["whether the card's 24 words came from the institution itself"]
    if "payer" not in compared:
        found.append("whether you are the payer it names (--payer compares)")
    if "address" not in compared:
        found.append("whether your wallet pays this address: compare every group, or give it with --address")
    return found


def verified_data(found: VerifiedStatement, compared: Sequence[str]) -> Data:
    """The same for a program."""
    return {
        **statement_data(found.statement),
        "institution": found.card.institution,
        "card": found.card.digest().hex(),
        **tally_data(found.tally, found.card.name_of),
        "compared": list(compared),
        "not_checked": _unchecked(compared),
    }


def card_screen(card: PayerCard) -> str:
    """Who vouches for an institution's addresses, and the words by which payers know the card."""
    officers = table((each.name, each.key.hex(" ", 4)) for each in card.officers)
    vaults = table((each.vault.hex(), f"{each.threshold} of {len(card.officers)}") for each in card.vaults)
    return screen(
        f"Payer card of {plain(card.institution)}, network {card.network}",
        block("Officers and keys", officers),
        block("Vaults, and how many officers must sign a statement", vaults),
        block("Charter", [f"{INDENT}{card.charter.hex()}"]),
        words_block("Card", card.digest()),
    )


def card_data(card: PayerCard) -> Data:
    """The same for a program."""
    return {
        "kind": "payer-card",
        "card": card.model_dump(mode="json"),
        "digest": card.digest().hex(),
        "words": show_words(card.digest()),
    }
