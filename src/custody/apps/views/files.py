"""What do the other files that reach a station say: plain PSBTs, signed documents, checkpoints, key files?

None of them is evidence. Each screen says what was checked here and what was not, and every `..._paper` gives the data
for `--json` beside the screen. Signatures count only by keys of the charter this station trusts; where it trusts none,
first and last stands that nothing is proved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from custody.apps.views.charter import charter_data, charter_screen
from custody.apps.views.coin_release import coin_release_paper
from custody.apps.views.framing import NOT_CHECKED, Shown, framed_paper, self_signed
from custody.apps.views.layout import (
    INDENT,
    Cell,
    Data,
    Theirs,
    bitcoin,
    block,
    counted,
    grouped,
    listed,
    sats,
    table,
    under,
    words_block,
)
from custody.apps.views.papers import approval_paper, document_data, request_paper, withdrawal_paper
from custody.apps.views.statement import (
    card_data,
    card_screen,
    signers_text,
    statement_data,
    statement_lines,
)
from custody.backends.keyfile import KeyFile, Purpose
from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.script import OutputTypeRefused, address, script_of
from custody.bitcoin.sighash import Sighashes
from custody.bitcoin.transaction import PreviousTransaction, TxOut
from custody.charter.card import PayerCard, card_of, check_card
from custody.charter.document import AddressPayee, Charter, UnknownName, read_charter, unsigned_by
from custody.dates import moment
from custody.envelope import Envelope, payload_type, unsafe_payload, unsafe_signers
from custody.examine.confirmed import StateConfirmed, confirmed_by
from custody.examine.lack import NO_CHARTER
from custody.examine.statement import AddressStatement, count_signers
from custody.log import SignedCheckpoint, faults_of, verify_checkpoint, witnesses_of
from custody.log.witnessing import WitnessRequest, refuse_wrong_root
from custody.transfer.approval import Approval, Withdrawal
from custody.transfer.coin_release import CoinRelease
from custody.transfer.request import TransferRequest
from custody.transfer.signing import check_signature
from custody.vault.descriptor import Branch, Vault
from custody.vault.ownership import Reading, read_ownership

OWN_ADDRESSES: Final = 200
"""How many receive addresses of each vault are compared with an output."""
_RIGHT: Final = frozenset({1, 2})


# --- plain PSBTs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PsbtPaper:
    """A PSBT with what could be found out about it. `reading` is there when it was checked against `vault`."""

    psbt: TransferPsbt
    charter: Charter | None
    vault_name: str
    vault: Vault | None
    reading: Reading | None

    @classmethod
    def of(cls, psbt: TransferPsbt, charter: Charter | None, vault_name: str | None) -> PsbtPaper:
        """Check `psbt` against the charter's vault called `vault_name`, as far as they are known.

        Raises:
            UnknownName: a vault was named and there is no charter, or it has no such vault.
            CustodyError: what `read_ownership` refuses.
        """
        if vault_name is None:
            return cls(psbt, charter, "", None, None)
        if charter is None:
            raise UnknownName(what="vault", name=ascii(vault_name[:60]), known="nothing: no charter is trusted here")
        vault = charter.vault(vault_name)
        return cls(psbt, charter, vault_name, vault, read_ownership(psbt, vault))


def psbt_paper(paper: PsbtPaper) -> Shown:
    """What a plain PSBT moves, and how little of it is known."""
    transaction = paper.psbt.transaction
    spent = _spent(paper)
    total = sum(each.amount for each in spent) if spent is not None else None
    paid = sum(each.amount for each in transaction.outputs)
    outputs = [_output(paper, index) for index in range(len(transaction.outputs))]
    signatures = _signatures(paper)
    checked = _checked(paper, has_amounts=spent is not None)
    money = [("pays", bitcoin(paid), sats(paid), counted(len(outputs), "output"))]
    if total is not None:
        money.insert(0, ("spends", bitcoin(total), sats(total), counted(len(transaction.inputs), "input")))
        money.append(("fee", bitcoin(total - paid), sats(total - paid), "what is left"))
    data: Data = {
        "kind": "psbt",
        "txid": transaction.txid_hex,
        "inputs": [str(each.outpoint) for each in transaction.inputs],
        "outputs": [{"sats": o.output.amount, "to": o.to, "script": o.output.script_pubkey.hex()} for o in outputs],
        "change": [o.change for o in outputs if o.change is not None],
        "sats": {"spent": total, "paid": paid, "fee": None if total is None else total - paid},
        "signatures": [list(row) for row in signatures],
        "checked": checked,
    }
    return framed_paper(
        paper.charter,
        data,
        _unchecked(paper, has_amounts=spent is not None),
        "Plain PSBT: a transaction without evidence",
        block("Outputs", _output_lines(outputs)),
        block("Money", table(money, _RIGHT)),
        block("Signatures", table(signatures) or [f"{INDENT}none"]),
        block("Transaction", table([("txid", transaction.txid_hex), ("locktime", str(transaction.locktime))])),
        block("Checked here", listed(checked)),
        "",
    )


@dataclass(frozen=True, slots=True)
class _Output:
    """An output for people: `to` is its address or script, `whose` as far as that is known."""

    output: TxOut
    to: str
    whose: str
    change: int | None


def _output_lines(outputs: Sequence[_Output]) -> list[str]:
    rows = [
        (f"{number}.", bitcoin(each.output.amount), sats(each.output.amount), each.whose)
        for number, each in enumerate(outputs, 1)
    ]
    lines: list[str] = []
    for row, each in zip(table(rows, _RIGHT), outputs, strict=True):
        lines += [row, *under(grouped(each.to))]
    return lines


def _output(paper: PsbtPaper, index: int) -> _Output:
    output = paper.psbt.transaction.outputs[index]
    change = paper.reading.outputs[index].change if paper.reading is not None else None
    if paper.charter is None:
        # Without a network a script has no address.
        return _Output(output, output.script_pubkey.hex(), "a script; no charter says which network this is", None)
    try:
        to = address(output.script_pubkey, paper.charter.network)
    except OutputTypeRefused:
        to = output.script_pubkey.hex()
    if change is not None:
        return _Output(output, to, f"change of vault {paper.vault_name}, index {change}", change)
    return _Output(output, to, _named(paper.charter, output.script_pubkey), None)


def _named(charter: Charter, script: bytes) -> str:
    """Whom the charter names for a script: a payee, or one of its own vaults near the start of its addresses."""
    for payee in charter.payees:
        if isinstance(payee, AddressPayee) and script_of(payee.address, charter.network) == script:
            return f"payee {payee.name}"
    for entry in charter.vaults:
        own = charter.vault(entry.name).scripts(Branch.RECEIVE, 0, OWN_ADDRESSES)
        if script in own:
            return f"vault {entry.name}, receive address {own.index(script)}"
    return "an address that the charter does not name"


def _spent(paper: PsbtPaper) -> tuple[TxOut, ...] | None:
    """What the inputs spend, by previous transactions whose txids were checked; None when one is missing."""
    if paper.reading is not None:
        return paper.reading.spent
    found: list[TxOut] = []
    for spending, claims in zip(paper.psbt.transaction.inputs, paper.psbt.inputs, strict=True):
        raw = claims.previous_transaction
        output = PreviousTransaction(raw).output(spending.outpoint.index) if raw else None
        if output is None:
            return None
        found.append(output)
    return tuple(found)


def _signatures(paper: PsbtPaper) -> list[tuple[str, str]]:
    """(fingerprint, what it signed), each signature verified when the vault is known.

    Raises:
        SigInvalid: one does not verify.
    """
    count: Counter[str] = Counter()
    sighashes = None if paper.reading is None else Sighashes(paper.psbt.transaction, paper.reading.spent.__getitem__)
    for index, claims in enumerate(paper.psbt.inputs):
        paths = dict(claims.key_paths)
        if paper.vault is not None and paper.reading is not None and sighashes is not None:
            own = paper.reading.inputs[index]
            paths = dict(paper.vault.key_paths(own.branch, own.index))
            lock = paper.vault.lock(own.branch, own.index)
            digest = lock.digest(sighashes, index)
            for key, signature in claims.signatures:
                check_signature(lock, key, digest, signature, index)
        count["finalized"] += bool(claims.final_witness)
        count.update(paths[key].fingerprint.hex() if key in paths else "a stranger" for key, _ in claims.signatures)
    known = "verified" if paper.reading is not None else "not verified: the vault is not known"
    return [
        (name, f"{number} of {len(paper.psbt.inputs)} inputs, {'not verified' if name == 'finalized' else known}")
        for name, number in sorted(count.items())
        if number
    ]


def _checked(paper: PsbtPaper, *, has_amounts: bool) -> list[str]:
    found = ["the file holds nothing but what a vault transfer carries; it asks to sign the whole transaction only"]
    if has_amounts:
        found.append("amounts: every input's previous transaction is the one it spends from")
    if paper.vault is not None:
        found.append(f"every input is vault {paper.vault_name}'s, with its own scripts; so is what is called change")
    return found


def _unchecked(paper: PsbtPaper, *, has_amounts: bool) -> list[str]:
    found = []
    if not has_amounts:
        found.append("amounts: a previous transaction is missing, so the fee may be anything. DO NOT SIGN")
    if paper.vault is None:
        found.append("whose coins these are and which output is change: name the vault with --vault")
    found += [
        "who asked for it, why, and who approved it: a plain PSBT carries no evidence",
        "whether the charter's rules allow it",
        "whether change is at the next unused index, and whether the coins are still unspent",
    ]
    return found


# --- signed documents -------------------------------------------------------------------------------------------------


def document_paper(envelope: Envelope, charter: Charter | None) -> Shown:
    """A charter, request, approval, withdrawal or release of a coin, and whether the person it names has signed it.

    Raises:
        SigInvalid, RequestAuthor, ...: it is signed by somebody else.
    """
    kind = envelope.payloadType
    if kind == payload_type(Charter):
        found, missing = read_charter(envelope), unsigned_by(envelope)
        known = "the charter this station trusts" if charter == found else "NOT the charter this station trusts"
        if charter is None:
            known = f"a charter; {NO_CHARTER}"
        return framed_paper(
            charter,
            {"kind": "charter", **charter_data(found, missing)},
            [],
            f"This is {known}.",
            charter_screen(found, missing),
            words_block("Charter", found.digest()),
        )
    papers = {
        payload_type(TransferRequest): lambda: request_paper(envelope, None, charter),
        payload_type(Approval): lambda: approval_paper(envelope, charter),
        payload_type(Withdrawal): lambda: withdrawal_paper(envelope, None, charter),
        payload_type(CoinRelease): lambda: coin_release_paper(envelope, None, charter),
        payload_type(AddressStatement): lambda: _statement_paper(envelope, charter),
        payload_type(StateConfirmed): lambda: _confirmation_paper(envelope, charter),
    }
    if kind in papers:
        return papers[kind]()
    rows: list[tuple[str, Cell]] = [
        ("holds", Theirs(kind)),
        *(("claims", f"to be signed by {key.hex()}") for key in envelope.claimed_keys),
    ]
    data: Data = {"kind": kind, "claimed_keys": [key.hex() for key in envelope.claimed_keys]}
    unchecked = ["what it says, and whether these keys have signed it: this program does not know its kind"]
    shown = block("A signed document of a kind that this program does not show", table(rows))
    return framed_paper(charter, data, unchecked, shown, "")


def _statement_paper(envelope: Envelope, charter: Charter | None) -> Shown:
    statement = unsafe_payload(envelope, AddressStatement)
    if charter is None:
        rows = [("signed by", self_signed(unsafe_signers(envelope, AddressStatement)))]
    else:
        card = card_of(charter)
        rows = signers_text(count_signers(envelope, card)[1], card)
    return framed_paper(
        charter,
        {"kind": "address-statement", **statement_data(statement), "signature": dict(rows)},
        [
            "whether the address is the vault's and was given out: an officer's station asks the paper for that",
            "whether it holds now: custody-station verify-statement says so, with the payer card",
        ],
        block("Address statement", statement_lines(statement)),
        block("Officers", table(rows)),
        words_block("Statement", statement.digest()),
    )


def _confirmation_paper(envelope: Envelope, charter: Charter | None) -> Shown:
    found = unsafe_payload(envelope, StateConfirmed)
    if charter is None:
        state = self_signed(unsafe_signers(envelope, StateConfirmed))
    else:
        tally = confirmed_by(envelope, charter)[1]
        names = [each.name for each in charter.people if each.key in tally.acted]
        state = f"signed by {', '.join(names) or 'no officer'}; {tally.threshold} are needed"
    rows = [
        ("entries", str(found.size)),
        ("root", found.root.hex()),
        ("state", found.state.hex()),
        ("signature", state),
    ]
    return framed_paper(
        charter,
        document_data("state-confirmed", found, state),
        ["whether the log comes to that state: no log is in this file"],
        block("Confirmation of a sealed state", table(rows)),
        words_block("State", found.digest()),
    )


def card_paper(card: PayerCard, charter: Charter | None) -> Shown:
    """A payer card, which must be the trusted charter's.

    Raises:
        CardMismatch: it is another.
    """
    known = NOT_CHECKED
    if charter is not None:
        check_card(card, charter)
        known = "this is the card of the charter trusted here: its words may be published"
    last = "" if charter is None else known
    return framed_paper(charter, {**card_data(card), "checked": known}, [], card_screen(card), last)


# --- checkpoints and key files ----------------------------------------------------------------------------------------


def checkpoint_paper(signed: SignedCheckpoint, request: WitnessRequest | None, charter: Charter | None) -> Shown:
    """A checkpoint of a log, with the leaf hashes under it when they came along in a `request`.

    Raises:
        ProofInvalid: the leaves are not those under the checkpoint.
        CheckpointInvalid: not signed by the trusted charter's log, or a witness's line does not verify.
    """
    checkpoint = signed.checkpoint
    leaves = "not in this file"
    if request is not None:
        refuse_wrong_root(request)
        leaves = "all there; the root was computed from them"
        if request.since:
            leaves = f"without the first {request.since}; a witness that has seen those computes the root"
    rows = [
        ("log", checkpoint.origin),
        ("entries", str(checkpoint.size)),
        ("root", checkpoint.root.hex()),
        ("leaves", leaves),
        *_stands_behind(signed, charter),
    ]
    data: Data = {
        "kind": "checkpoint",
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "lines": [each.name for each in signed.signatures],
    }
    unchecked = ["what the log holds, and whether it goes on from what was seen here: only hashes are in this file"]
    return framed_paper(charter, data, unchecked, block("Checkpoint of a log", table(rows)), "")


def _stands_behind(signed: SignedCheckpoint, charter: Charter | None) -> Iterator[tuple[str, str]]:
    if charter is None:
        yield "signatures", f"{NOT_CHECKED}; the lines name {', '.join(each.name for each in signed.signatures)}"
        return
    verify_checkpoint(signed, charter.origin, charter.coordinator)
    yield "log's key", "signed by the coordinator of the charter trusted here"
    names = {each.key: each.name for each in charter.witnesses}
    for each in witnesses_of(signed, charter.witness_keys):
        yield "cosigned", f"by {names[each.key]} at {moment(each.time)}"
    for name, fault in faults_of(signed, charter.witness_keys).items():
        yield "left out", f"{name}: {fault}"
    yield "needed", f"{charter.witness_threshold} of {len(charter.witnesses)} witnesses"


def key_paper(file: KeyFile) -> Shown:
    """What a key file says in clear. None of it is proved before the file is opened."""
    header = file.header
    is_cosigner = header.purpose is Purpose.COINS
    rows: list[tuple[str, Cell]] = [
        ("name", Theirs(header.name)),
        ("signs", f"{header.purpose} on {header.network}"),
        ("fingerprint" if is_cosigner else "public key", header.identity.hex()),
        ("checked", "nothing: custody-station export opens the file and shows the key inside"),
    ]
    data: Data = {
        "kind": "key-file",
        "name": header.name,
        "purpose": header.purpose.value,
        "network": header.network.value,
        "identity": header.identity.hex(),
        "not_checked": ["whether this key is inside, and whose it is: the file was not opened"],
    }
    return data, block("Key file, encrypted", table(rows))
