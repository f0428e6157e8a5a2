"""How does a file read on a machine that cannot prove what it says?

The first and the last line say that it is not proved, every title between them says whose word it is, and what was not
checked is listed. For a program, what the file says stands under `says`, apart from what was judged, so that nobody
takes one for the other: `proved` is false and `not_checked` has the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from custody.apps.terminal import JsonValue
from custody.apps.views.examination import (
    NOT_WITNESSED,
    headline,
    steps_data,
    steps_table,
    transfer_blocks,
    transfer_data,
)
from custody.apps.views.framing import banner, self_signed
from custody.apps.views.judgement import tally_data
from custody.apps.views.layout import (
    INDENT,
    Data,
    Theirs,
    bitcoin,
    block,
    counted,
    grouped,
    listed,
    moment,
    plain,
    said,
    sats,
    screen,
    spoken,
    table,
    under,
)
from custody.apps.views.log import names_of
from custody.apps.views.request import request_data
from custody.apps.views.statement import judged_data, signers_text, statement_data, statement_lines
from custody.apps.views.ties import named
from custody.bitcoin.script import OutputTypeRefused, address
from custody.bitcoin.transaction import TxOut
from custody.charter.card import card_of
from custody.charter.document import Charter
from custody.examine.examination import Examination, Step
from custody.examine.lack import NO_CHARTER, Lack
from custody.examine.statement import StatementExamination, signed_so_far
from custody.examine.unproved import (
    Excerpt,
    Glimpse,
    LogGlimpse,
    SnapshotGlimpse,
    StatementGlimpse,
    Unproved,
)
from custody.log import Checkpoint, Cosignature
from custody.transfer.approval import Opinion
from custody.transfer.request import TransferRequest
from custody.units import Network
from custody.words import WORD_COUNT, show_words

MOST_ENTRIES: Final = 40
"""Entries about a transfer that are listed on a screen; there are some ten of an ordinary one."""
_FILE: Final = ", as the file says"
_RIGHT: Final = frozenset({1, 2})


def _framed(found: Unproved[object], *blocks: str, words: str = "") -> str:
    """The blocks between the two lines that say how far they are proved."""
    line = banner(found.lack)
    return screen(line, *blocks, block("Not checked here", listed(found.not_checked)), words, line)


def _framed_data(kind: str, found: Unproved[object], says: Data) -> Data:
    return {
        "kind": kind,
        "proved": False,
        "trusted": found.lack.is_trusting,
        "says": says,
        "not_checked": list(found.not_checked),
    }


def _words(what: str, digest: bytes) -> str:
    # Not to be read aloud as agreement: who reads them has checked nothing.
    return f"{what} in {WORD_COUNT} words, to be compared with a machine that has checked it\n{spoken(digest)}"


def _agreeing(steps: Iterable[Step], lack: Lack) -> str:
    by = "by the charter trusted here" if lack.is_trusting else "by nothing but the charter that it carries"
    return block(f"Checked within the file, {by}", steps_table(steps))


def _charter_block(charter: Charter | None, named_as: bytes | None, lack: Lack) -> str:
    if charter is None:
        digest = "neither in the file nor named by it" if named_as is None else f"{named_as.hex()}, which is not here"
        return block(f"Charter{_FILE}", table([("digest", digest)]))
    whose = "the one trusted here" if lack.is_trusting else "carried by the file, trusted by nobody here"
    rows = [("of", f"{charter.institution}, version {charter.version}"), ("digest", charter.digest().hex())]
    return block("Charter", table([*rows, ("is", whose)]))


def _whole_log_block(checkpoint: Checkpoint, cosignatures: tuple[Cosignature, ...], charter: Charter) -> str:
    rows = [
        ("log", checkpoint.origin),
        ("entries", str(checkpoint.size)),
        ("root", checkpoint.root.hex()),
        ("lines", "all of them, from entry 0 on; they lead to that root"),
        ("signed", _names(cosignatures, charter, "the file's own charter")),
    ]
    return block(f"Log{_FILE}", table(rows))


def _names(cosignatures: tuple[Cosignature, ...], charter: Charter, whose: str) -> str:
    names = ", ".join(names_of(cosignatures, charter)) or "no witness"
    return f"by the log's key and {names}, by {whose}"


def _log_block(excerpt: Excerpt, charter: Charter | None, lack: Lack, *, is_joined: bool) -> str:
    checkpoint = excerpt.signed.checkpoint
    joined = "they lead to that root" if is_joined else "whether they lead to that root was not checked"
    rows = [
        ("log", checkpoint.origin),
        ("entries", str(checkpoint.size)),
        ("root", checkpoint.root.hex()),
        ("lines", f"{excerpt.lines} from entry {excerpt.since} on; {joined}"),
        ("seen here", f"the first {lack.seen}" if lack.seen else "none"),
        ("signed", _signed(excerpt, charter, lack)),
    ]
    return block(f"Log{_FILE if lack.is_any else ''}", table(rows))


def _signed(excerpt: Excerpt, charter: Charter | None, lack: Lack) -> str:
    if charter is None or excerpt.cosignatures is None:
        lines = ", ".join(each.name for each in excerpt.signed.signatures)
        return f"not checked: {NO_CHARTER}; its lines name {lines}"
    whose = "the charter trusted here" if lack.is_trusting else "the file's own charter"
    return _names(excerpt.cosignatures, charter, whose)


def _log_data(excerpt: Excerpt, charter: Charter | None, *, is_joined: bool) -> Data:
    checkpoint = excerpt.signed.checkpoint
    cosigned = None
    if charter is not None and excerpt.cosignatures is not None:
        cosigned = names_of(excerpt.cosignatures, charter)
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "since": excerpt.since,
        "lines": excerpt.lines,
        "is_joined": is_joined,
        "witnesses": cosigned,
    }


# --- evidence ---------------------------------------------------------------------------------------------------------


def evidence_screen(found: Unproved[Examination | Glimpse], now: int) -> str:
    """A transfer as evidence tells it; `now` is this machine's clock."""
    if isinstance(found.said, Examination):
        return _whole_screen(found.said, found, now)
    return _glimpse_screen(found.said, found, now)


def evidence_data(found: Unproved[Examination | Glimpse]) -> Data:
    """The same for a program."""
    told = found.said
    return _framed_data(
        "evidence", found, transfer_data(told) if isinstance(told, Examination) else _glimpse_data(told)
    )


def _whole_screen(examined: Examination, found: Unproved[object], now: int) -> str:
    """Evidence that agrees with itself, by the charter it carries."""
    return _framed(
        found,
        f"A file that calls itself a transfer: {headline(examined)}",
        _charter_block(examined.charter, None, found.lack),
        _agreeing(examined.steps, found.lack),
        *transfer_blocks(examined, now, _FILE),
        _whole_log_block(examined.checkpoint, examined.cosignatures, examined.charter),
        "" if examined.is_witnessed else NOT_WITNESSED,
        words=_words("Transfer of this file", examined.transfer_id),
    )


def _glimpse_screen(told: Glimpse, found: Unproved[object], now: int) -> str:
    """Evidence of which the beginning of the log was not seen."""
    draft, network = told.draft, None if told.draft is None else told.draft.identity.network
    named_as = None if draft is None else draft.identity.charter
    return _framed(
        found,
        f"A file that calls itself a transfer{_of_whom(told)}",
        _charter_block(told.charter, named_as, found.lack),
        _agreeing(told.steps, found.lack),
        block(f"Asked for{_FILE}", _asked(told, now)),
        block(f"Pays{_FILE}", _pays(told, network)),
        block(f"Money{_FILE}", _money(told)),
        block(f"Approvals{_FILE}", _opinions(told)),
        block(f"Entries about it{_FILE}", _entries(told)),
        _log_block(told.excerpt, told.charter, found.lack, is_joined=False),
        words=_words("Transfer of this file" if draft else "Transfer that the file names", told.transfer_id),
    )


def _of_whom(told: Glimpse) -> str:
    if told.proposal is not None:
        return f": {_of(told.proposal.entry.name, told.proposal.charter)}"
    return "" if told.draft is None else f": vault {told.draft.identity.vault.hex()}, on {told.draft.identity.network}"


def _asked(told: Glimpse, now: int) -> list[str]:
    request = told.request
    if request is None:
        return [f"{INDENT}the request does not stand in the lines of this file"]
    signed = "signed with that person's key in the charter trusted here"
    if told.charter is None:
        signed = self_signed(told.request_keys)
    return table(
        [
            ("by", Theirs(request.requester)),
            ("why", said(told.reason)),
            ("what", f"a {request.purpose}"),
            *(("names", Theirs(each.payee, f"{_wanted(each.amount)} to ")) for each in request.payments),
            *named(request),
            ("when", f"{moment(request.issued)}, holds until {moment(request.expires)}"),
            ("now", f"{moment(now)} by the clock of this machine{', too late' if now >= request.expires else ''}"),
            ("signature", signed),
        ]
    )


def _wanted(amount: int | None) -> str:
    return "everything" if amount is None else bitcoin(amount)


def _outputs(told: Glimpse, network: Network | None) -> list[tuple[TxOut, str, str]]:
    """Each output with its address, and whose it is as far as a trusted charter says."""
    if told.draft is None or network is None:
        return []
    paid = [] if told.proposal is None else list(told.proposal.paid)
    found = []
    for output in told.draft.transaction.outputs:
        try:
            to = address(output.script_pubkey, network)
        except OutputTypeRefused:
            to = output.script_pubkey.hex()
        payee = next((each for each in paid if (each.address, each.amount) == (to, output.amount)), None)
        if payee is not None:
            paid.remove(payee)
            found.append((output, to, payee.payee))
        else:
            found.append((output, to, "returns to the vault" if told.proposal is not None else _whose_not(told)))
    return found


def _whose_not(told: Glimpse) -> str:
    return f"not checked whose: {NO_CHARTER if told.charter is None else 'the request is not here'}"


def _pays(told: Glimpse, network: Network | None) -> list[str]:
    outputs = _outputs(told, network)
    if not outputs:
        return [f"{INDENT}the draft does not stand in the lines of this file"]
    rows = [(f"{n}.", bitcoin(each.amount), sats(each.amount), whose) for n, (each, _, whose) in enumerate(outputs, 1)]
    lines: list[str] = []
    for row, (_, to, _) in zip(table(rows, _RIGHT), outputs, strict=True):
        lines += [row, *under(grouped(to))]
    return lines


def _money(told: Glimpse) -> list[str]:
    if told.draft is None:
        return []
    spent = sum(each.amount for each in told.spent)
    whose = "of the vault, by previous transactions" if told.proposal is not None else "by previous transactions"
    fee = told.draft.fee
    rows = [
        ("spends", bitcoin(spent), sats(spent), f"{counted(len(told.spent), 'coin')} {whose}"),
        ("fee", bitcoin(fee), sats(fee), "what is left"),
    ]
    return table(rows, _RIGHT)


def _opinions(told: Glimpse) -> list[str]:
    by = (
        "signed with the key in the charter trusted here" if told.proposal is not None else "by a key of the file's own"
    )
    rows = [
        (
            Theirs(each.officer),
            "NO: veto" if each.verdict is Opinion.VETO else "yes",
            f"until {moment(each.expires)}",
            by,
        )
        for each in told.opinions
    ]
    return table(rows)


def _entries(told: Glimpse) -> list[str]:
    rows = [
        (str(each.index), Theirs(each.entry), Theirs(each.author, "by ")) for each in islice(told.about, MOST_ENTRIES)
    ]
    more = len(told.about) - len(rows)
    return [*table(rows), *([f"{INDENT}and {more} more"] if more else [])] or [f"{INDENT}none in these lines"]


def _glimpse_data(told: Glimpse) -> Data:
    draft = told.draft
    network = None if draft is None else draft.identity.network
    return {
        "transfer": told.transfer_id.hex(),
        "words": show_words(told.transfer_id),
        "network": network,
        "charter": None if draft is None else draft.identity.charter.hex(),
        "vault_id": None if draft is None else draft.identity.vault.hex(),
        "request": None if told.request is None else _request_data(told.request, told),
        "outputs": [
            {"sats": output.amount, "to": to, "payee": None if told.proposal is None else whose}
            for output, to, whose in _outputs(told, network)
        ],
        "inputs": [] if draft is None else [str(each) for each in draft.outpoints],
        "sats": None if draft is None else {"spent": sum(each.amount for each in told.spent), "fee": draft.fee},
        "approvals": [
            {"officer": each.officer, "opinion": each.verdict.value, "expires": each.expires} for each in told.opinions
        ],
        "entries": [{"index": each.index, "entry": each.entry, "author": each.author} for each in told.about],
        "log": _log_data(told.excerpt, told.charter, is_joined=False),
        "steps": steps_data(told.steps),
    }


def _request_data(request: TransferRequest, told: Glimpse) -> JsonValue:
    return {**request_data(request, told.reason), "signed_by": [key.hex() for key in told.request_keys]}


# --- an address statement's paper -------------------------------------------------------------------------------------


def paper_screen(found: Unproved[StatementExamination | StatementGlimpse]) -> str:
    """An address statement as its paper tells it."""
    if isinstance(found.said, StatementExamination):
        return _whole_paper_screen(found.said, found)
    return _paper_glimpse_screen(found.said, found)


def paper_data(found: Unproved[StatementExamination | StatementGlimpse]) -> Data:
    """The same for a program."""
    told = found.said
    nobody = signed_so_far(None, told.statement, told.quorum)
    if isinstance(told, StatementExamination):
        return _framed_data("statement-paper", found, judged_data(told, nobody))
    says: Data = {
        **statement_data(told.statement),
        "institution": told.charter.institution,
        "vault_name": told.vault_name,
        **tally_data(nobody, card_of(told.charter).name_of),
        "issuing_shown": told.is_issuing_shown,
        "log_shown": _log_data(told.excerpt, told.charter, is_joined=False),
        "steps": steps_data(told.steps),
    }
    return _framed_data("statement-paper", found, says)


def _whole_paper_screen(examined: StatementExamination, found: Unproved[object]) -> str:
    """A paper that agrees with itself, by the charter it carries."""
    nobody = signed_so_far(None, examined.statement, examined.quorum)
    return _framed(
        found,
        f"A paper that calls itself an address statement: {_of(examined.vault_name, examined.charter)}",
        _charter_block(examined.charter, None, found.lack),
        _agreeing(examined.steps, found.lack),
        block(f"States{_FILE}", statement_lines(examined.statement)),
        block(f"Officers{_FILE}", table(signers_text(nobody, card_of(examined.charter)))),
        _whole_log_block(examined.checkpoint, examined.cosignatures, examined.charter),
        "" if examined.charter.witnesses else NOT_WITNESSED,
        words=_words("Statement of this file", examined.statement.digest()),
    )


def _paper_glimpse_screen(told: StatementGlimpse, found: Unproved[object]) -> str:
    """A paper of which the beginning of the log was not seen."""
    nobody = signed_so_far(None, told.statement, told.quorum)
    return _framed(
        found,
        f"A paper that calls itself an address statement: {_of(told.vault_name, told.charter)}",
        _charter_block(told.charter, None, found.lack),
        _agreeing(told.steps, found.lack),
        block(f"States{_FILE}", statement_lines(told.statement)),
        block(f"Given out{_FILE}", [f"{INDENT}{_issuing(told)}"]),
        block(f"Officers{_FILE}", table(signers_text(nobody, card_of(told.charter)))),
        _log_block(told.excerpt, told.charter, found.lack, is_joined=False),
        words=_words("Statement of this file", told.statement.digest()),
    )


def _issuing(told: StatementGlimpse) -> str:
    if told.is_issuing_shown:
        return "to this payer, for this purpose and class, says an entry of the log"
    return "no entry that is shown here says so"


def _of(vault: str, charter: Charter) -> str:
    return f"vault {plain(vault)} of {plain(charter.institution)}, on {charter.network}"


# --- the log in a file ------------------------------------------------------------------------------------------------


def log_screen(found: Unproved[LogGlimpse]) -> str:
    """A log for stations, before it is taken in."""
    told = found.said
    return _framed(
        found,
        "A log for stations, hashed here and not taken in",
        _charter_block(told.charter, None, found.lack),
        _log_block(told.excerpt, told.charter, found.lack, is_joined=told.is_joined),
    )


def log_data(found: Unproved[LogGlimpse]) -> Data:
    """The same for a program."""
    told = found.said
    says: Data = {
        "institution": told.charter.institution,
        "charter": told.charter.digest().hex(),
        **_log_data(told.excerpt, told.charter, is_joined=told.is_joined),
    }
    return _framed_data("log-file", found, says)


def snapshot_screen(found: Unproved[SnapshotGlimpse]) -> str:
    """A snapshot for stations, before one begins with it."""
    told = found.said
    checked, confirmed = told.checked, told.checked.confirmed
    whose = "the charter trusted here" if found.lack.is_trusting else "the file's own charter"
    rows = [
        ("entries", f"{confirmed.size}, whose state is in the file"),
        ("root", confirmed.root.hex()),
        ("state", confirmed.state.hex()),
        ("confirmed", f"by {', '.join(checked.officers)}, by {whose}"),
        ("log", f"{checked.signed.checkpoint.size} entries; they lead to the checkpoint's root"),
        ("signed", _names(checked.cosignatures, told.charter, whose)),
    ]
    return _framed(
        found,
        "A snapshot for stations, hashed here and not begun with",
        _charter_block(told.charter, None, found.lack),
        block(f"Snapshot{_FILE if found.lack.is_any else ''}", table(rows)),
    )


def snapshot_data(found: Unproved[SnapshotGlimpse]) -> Data:
    """The same for a program."""
    told = found.said
    checked, confirmed = told.checked, told.checked.confirmed
    says: Data = {
        "institution": told.charter.institution,
        "charter": told.charter.digest().hex(),
        "size": confirmed.size,
        "root": confirmed.root.hex(),
        "state": confirmed.state.hex(),
        "officers": list(checked.officers),
        "log_size": checked.signed.checkpoint.size,
        "witnesses": names_of(checked.cosignatures, told.charter),
    }
    return _framed_data("snapshot", found, says)
