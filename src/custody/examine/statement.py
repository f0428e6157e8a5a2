"""Whose word is it that an address is the institution's: what does an officer check before signing, and a payer after?

An address statement binds an address to a vault of a charter, to one payer, a purpose and a class of coins, to the log
it was given out in, and to a time. Officers sign it on their own machines. `examine_statement` judges it in numbered
steps from a paper that anybody may have written:

1. The charter is the pinned one, signed by everyone it lists.
2. The statement is made for that charter, its network and a vault of it.
3. The address is the one derived here; what the paper says is only compared with it (THREATS F6).
4. The log is the charter's: checkpoint signed, cosigned by the witness quorum, every entry in its place, and it extends
   every log seen before and the one that the statement names.
5. In that log the address was given out for this class; the annex that it names says this payer and this purpose;
   nothing is frozen.
6. The statement holds now.

A payer has neither charter nor log, which show every coin of a vault. `verify_statement` needs the payer card alone:
enough officers have signed, for the card's charter, network and vault, and it holds now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field, model_validator

from custody.bitcoin.script import script_of
from custody.charter.card import PayerCard, statement_quorum
from custody.charter.decide import refuse_frozen
from custody.charter.document import Charter
from custody.clock import CLOCK_SKEW, refuse_behind
from custody.envelope import Envelope, unsafe_payload, verify
from custody.errors import InvalidInput, Refused
from custody.examine.examination import Step, step_charter
from custody.examine.shown import (
    MAX_LINES,
    Shown,
    check_witnesses,
    extended,
    lines_of,
    own_shown,
    pinned_charter,
    read_lines,
    times_shown,
    witness_finding,
)
from custody.history import lists
from custody.history.questions import History
from custody.history.state import State
from custody.log import Checkpoint, Cosignature, LogEntry, SignedCheckpoint
from custody.quorum import Quorum, Tally
from custody.record import Digest, FileRecord, Record, check_text
from custody.transfer.address import AddressAnnex, AddressIssued
from custody.transfer.annex import Annex, AnnexWithheld
from custody.units import Count, Index, Network, UnixTime
from custody.vault.coins import CoinClass
from custody.vault.descriptor import Branch
from custody.vault.keys import PublicText

DAY: Final = 24 * 3600
MAX_DAYS: Final = 366
"""Days that a statement holds at most: keys and officers change."""


class StatementInvalid(InvalidInput, code="STATEMENT_INVALID"):
    """A statement that contradicts itself."""

    message = "the address statement {problem}"
    hint = "Have it made anew: custody vault statement."
    problem: str


class StatementMismatch(Refused, code="STATEMENT_MISMATCH"):
    """A statement of something else than the reader can find true."""

    message = "the statement's {what} is [{stated}], not [{expected}]"
    hint = "Neither sign it nor pay: ask the institution's officers by voice, over a line you trust."
    what: str
    stated: str
    expected: str


class StatementEarly(Refused, code="STATEMENT_NOT_YET"):
    """A statement that is dated later than now."""

    message = "the statement holds from {issued!t} on; it is {now!t} by the clock of this machine"
    hint = "Check the clock of this machine, in UTC. If it is right, ask for a new statement before paying."
    issued: int
    now: int


class StatementExpired(Refused, code="STATEMENT_EXPIRED"):
    """A statement past its time."""

    message = "the statement held from {issued!t} until {expires!t}; it is {now!t} by the clock of this machine"
    hint = "Ask for a new statement before paying, and check the clock of this machine."
    issued: int
    expires: int
    now: int


class StatementUnsigned(Refused, code="STATEMENT_UNSIGNED"):
    """A statement that too few officers stand behind."""

    message = "{given} of {needed} officers signed the statement; it may still be signed by: {missing}"
    hint = "Do not pay yet: more officers must sign it on their own machines (custody-station statement)."
    given: int
    needed: int
    missing: str


class StatementAuthor(Refused, code="STATEMENT_AUTHOR"):
    """Somebody signing a statement who may not."""

    message = "{signer} may not sign address statements: this key is no officer's of the charter"
    hint = "An officer signs it on their own machine, with the key that the charter lists."
    signer: str


class AddressNotIssued(Refused, code="ADDRESS_NOT_ISSUED"):
    """An address that the log given does not know."""

    message = "no address of vault {vault} at index {index} was given out in a log of {size} entries"
    hint = (
        "Issue it (custody vault address). If it was issued just now, have a new checkpoint cosigned first "
        "(custody log checkpoint, custody log cosign)."
    )
    vault: str
    index: int
    size: int


class AddressStatement(Record):
    """What officers say of an address. `log_size` and `log_root` are a log that holds its issuing."""

    kind: ClassVar[str] = "address-statement"

    network: Network
    charter: Digest
    vault: Digest
    address: Annotated[str, Field(max_length=100, pattern=r"^[a-zA-Z0-9]+$")]
    index: Index
    payer: PublicText
    purpose: PublicText
    coin_class: CoinClass
    log_size: Count
    log_root: Digest
    issued: UnixTime
    expires: UnixTime

    @model_validator(mode="after")
    def _is_sound(self) -> AddressStatement:
        if not self.issued < self.expires <= self.issued + MAX_DAYS * DAY:
            raise StatementInvalid(problem=f"does not hold for a time, or for more than {MAX_DAYS} days")
        # A misspelt address, or one of another network, is nobody's.
        script_of(self.address, self.network)
        return self


class StatementPaper(FileRecord):
    """The file for officers: what they are asked to sign, and what it can be judged by. It is not for payers.

    `lines` are the log's from entry `since` on, up to the checkpoint (a C2SP note); `annex` says what the address was
    given out for.
    """

    kind: ClassVar[str] = "statement-paper"

    asked: AddressStatement
    charter: Envelope
    since: Count
    checkpoint: Annotated[str, Field(max_length=100_000)]
    lines: Annotated[tuple[str, ...], Field(max_length=MAX_LINES)]
    annex: Annex


@dataclass(frozen=True, slots=True)
class StatementExamination:
    """What an officer knows after every step has passed. `shown` is the log their machine must remember."""

    charter: Charter
    vault_name: str
    statement: AddressStatement
    quorum: Quorum[bytes]
    shown: Shown
    steps: tuple[Step, ...]
    not_checked: tuple[str, ...]

    @property
    def checkpoint(self) -> Checkpoint:
        """The end of the log that was shown."""
        return self.shown.checkpoint

    @property
    def cosignatures(self) -> tuple[Cosignature, ...]:
        """Who stands behind that log, beside its coordinator."""
        return self.shown.cosignatures


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement that a payer may pay by, and the keys of the officers who signed it."""

    card: PayerCard
    statement: AddressStatement
    tally: Tally[bytes]


# --- made by the coordinator ------------------------------------------------------------------------------------------


def state_address(
    issued: AddressIssued, annex: Annex | None, charter: Charter, checkpoint: Checkpoint, now: int, lifetime: int
) -> AddressStatement:
    """A statement of an address that the log under `checkpoint` holds, for `lifetime` seconds from `now` on.

    Raises:
        AnnexWithheld: nobody knows any more what it was given out for.
        AnnexMismatch: the annex is another address's.
    """
    said = _said(issued, annex)
    _, vault = charter.vault_by_id(issued.vault)
    return AddressStatement(
        network=charter.network,
        charter=charter.digest(),
        vault=vault.id,
        address=vault.address(Branch.RECEIVE, issued.index),
        index=issued.index,
        payer=said.payer,
        purpose=said.purpose,
        coin_class=issued.coin_class,
        log_size=checkpoint.size,
        log_root=checkpoint.root,
        issued=now,
        expires=now + lifetime,
    )


def write_paper(
    asked: AddressStatement,
    annex: Annex,
    charter: Envelope,
    signed: SignedCheckpoint,
    entries: Iterable[LogEntry],
    since: int = 0,
) -> StatementPaper:
    """The paper for officers who have seen `since` entries: `entries` are those from there up to the checkpoint."""
    return StatementPaper(
        asked=asked,
        charter=charter,
        since=since,
        checkpoint=signed.text(),
        lines=lines_of(entries),
        annex=annex,
    )


# --- judged by an officer ---------------------------------------------------------------------------------------------


def examine_statement(paper: StatementPaper, known: State, now: int) -> StatementExamination:
    """Judge what an officer is asked to sign, by what their machine has seen before, at `now` (Unix seconds).

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    signed = SignedCheckpoint.parse(paper.checkpoint)

    def show(charter: Charter) -> Shown:
        cosignatures = check_witnesses(signed, charter)
        entries = read_lines(paper.lines, paper.since)
        shown = Shown(extended(known, entries, paper.since, signed.checkpoint), signed.checkpoint, cosignatures)
        refuse_behind(now, times_shown(shown, charter))
        return shown

    return _examine(paper.asked, paper.annex, paper.charter, show, _Asked(known, now))


def examine_own_statement(
    asked: AddressStatement, annex: Annex | None, history: History, signed: SignedCheckpoint, now: int
) -> StatementExamination:
    """The same for whoever keeps the log itself: what no officer would sign is not written.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """

    def show(charter: Charter) -> Shown:
        return own_shown(history, signed, charter)

    return _examine(asked, annex, history.charter_envelope, show, _Asked(history.state, now))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks: knowing what of the log, and when (Unix seconds)."""

    known: State
    now: int


def _examine(
    asked: AddressStatement, annex: Annex | None, envelope: Envelope, show: Callable[[Charter], Shown], reader: _Asked
) -> StatementExamination:
    # 1 to 3
    opened = open_statement(asked, envelope, reader.known)
    charter, vault_name, steps = opened.charter, opened.vault_name, list(opened.steps)
    # 4
    shown = show(charter)
    history = History(shown.state)
    root = history.root_at(asked.log_size)
    log = f"{asked.log_size} entries under root {'none' if root is None else root.hex()}"
    _refuse_other("log", f"{asked.log_size} entries under root {asked.log_root.hex()}", log)
    steps.append(Step(4, "history", witness_finding(shown.checkpoint, shown.cosignatures, charter)))
    # 5
    row = lists.address(history, asked.vault, asked.index)
    if row is None or row.issued >= asked.log_size:
        raise AddressNotIssued(vault=vault_name, index=asked.index, size=asked.log_size)
    compare_issuing(asked, history.read(AddressIssued, row.issued), annex)
    # Somebody else holds enough keys of a vault: nobody should be told to pay in now.
    refuse_frozen(history.frozen_by)
    steps.append(Step(5, "issuing", "given out in that log, once, to this payer, for this purpose and class"))
    # 6
    steps.append(judge_time(asked, reader.now))
    return StatementExamination(
        charter=charter,
        vault_name=vault_name,
        statement=asked,
        quorum=opened.quorum,
        shown=shown,
        steps=tuple(steps),
        not_checked=unknowable(charter),
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A statement after steps 1 to 3."""

    charter: Charter
    vault_name: str
    quorum: Quorum[bytes]
    steps: tuple[Step, ...]


def open_statement(asked: AddressStatement, envelope: Envelope, known: State) -> Opened:
    """Steps 1 to 3, which ask nothing of the log but whether its charter was adopted.

    Raises:
        CustodyError: the first fact that is wrong, by its own code.
    """
    # 1
    charter = pinned_charter(known, envelope)
    steps = [step_charter(charter)]
    # 2
    _refuse_other("charter", asked.charter.hex(), charter.digest().hex())
    _refuse_other("network", asked.network, charter.network)
    entry, vault = charter.vault_by_id(asked.vault)
    quorum = statement_quorum(charter, entry.name)
    steps.append(Step(2, "vault", f"{entry.name}; {quorum.threshold} of {len(quorum.members)} officers vouch for it"))
    # 3
    _refuse_other("address", asked.address, vault.address(Branch.RECEIVE, asked.index))
    steps.append(Step(3, "address", f"derived here from the charter, receive index {asked.index}"))
    return Opened(charter, entry.name, quorum, tuple(steps))


def compare_issuing(asked: AddressStatement, issued: AddressIssued, annex: Annex | None) -> None:
    """Pass when the address was given out to this payer, for this purpose and class.

    Raises:
        StatementMismatch: for others.
        AnnexWithheld, AnnexMismatch: nobody can say, or the annex is another address's.
    """
    said = _said(issued, annex)
    _refuse_other("payer", asked.payer, said.payer)
    _refuse_other("purpose", asked.purpose, said.purpose)
    _refuse_other("class", asked.coin_class, issued.coin_class)


def judge_time(asked: AddressStatement, now: int) -> Step:
    """Step 6.

    Raises:
        StatementEarly, StatementExpired: it does not hold at `now` (Unix seconds).
    """
    _refuse_untimely(asked, now)
    return Step(6, "time", "holds now, by the clock of this machine")


def _said(issued: AddressIssued, annex: Annex | None) -> AddressAnnex:
    """Payer and purpose of an address, as the annex says that its issuing names."""
    if annex is None:
        raise AnnexWithheld(what=f"the payer of the address at index {issued.index}")
    return annex.words(AddressAnnex, issued.annex)


def check_signer(charter: Charter, key: bytes) -> str:
    """The officer whose raw key this is.

    Raises:
        StatementAuthor: no officer's.
    """
    if key not in charter.officers:
        raise StatementAuthor(signer=charter.holder(key))
    return charter.officers[key]


def signed_so_far(envelope: Envelope | None, asked: AddressStatement, quorum: Quorum[bytes]) -> Tally[bytes]:
    """Which officers have signed this very statement in `envelope`, by their keys; None is one that nobody signed.

    Raises:
        StatementMismatch: the envelope carries another statement.
        SigInvalid: an officer's signature does not verify.
        EnvelopeType: it carries no statement.
    """
    if envelope is None:
        return quorum.tally(())
    statement, tally = _signers(envelope, quorum)
    _refuse_other("digest", statement.digest().hex(), asked.digest().hex())
    return tally


# --- verified by a payer ----------------------------------------------------------------------------------------------


def verify_statement(envelope: Envelope, card: PayerCard, now: int) -> VerifiedStatement:
    """The statement that enough of the card's officers signed, when it holds at `now` (Unix seconds).

    The card is trusted: compare its 24 words with what the institution says before.

    Raises:
        StatementMismatch: made under another charter, for another network, or for a vault that the card does not list.
        StatementUnsigned: too few officers have signed.
        SigInvalid: an officer's signature does not verify.
        StatementExpired: outside its time.
    """
    statement, tally = count_signers(envelope, card)
    if not tally.is_met:
        raise StatementUnsigned(
            given=len(tally.acted),
            needed=tally.threshold,
            missing=", ".join(card.name_of(key) for key in tally.missing),
        )
    _refuse_untimely(statement, now)
    return VerifiedStatement(card, statement, tally)


def count_signers(envelope: Envelope, card: PayerCard) -> tuple[AddressStatement, Tally[bytes]]:
    """A statement made under the card's charter, and which of the card's officers have signed it, enough or not.

    Raises:
        StatementMismatch: made under another charter, for another network, or for a vault that the card does not list.
        SigInvalid: an officer's signature does not verify.
    """
    claimed = unsafe_payload(envelope, AddressStatement)
    _refuse_other("charter", claimed.charter.hex(), card.charter.hex())
    _refuse_other("network", claimed.network, card.network)
    quorum = card.quorum(claimed.vault)
    if quorum is None:
        known = " or ".join(each.vault.hex() for each in card.vaults)
        raise StatementMismatch(what="vault", stated=claimed.vault.hex(), expected=known)
    return _signers(envelope, quorum)


def compare_statement(statement: AddressStatement, payer: str | None, address: str | None) -> None:
    """Pass when the statement is for `payer` and of `address`, as far as they are given.

    Raises:
        StatementMismatch: it is for somebody else, or of another address.
        TextForbidden, AddressInvalid, NetworkMismatch: what was given is no name, or no address of this network.
    """
    if payer is not None:
        _refuse_other("payer", statement.payer, check_text(payer))
    if address is not None:
        # Segwit addresses are also written in capitals, in QR codes.
        own, given = script_of(statement.address, statement.network), script_of(address, statement.network)
        if own != given:
            raise StatementMismatch(what="address", stated=statement.address, expected=address)


def _signers(envelope: Envelope, quorum: Quorum[bytes]) -> tuple[AddressStatement, Tally[bytes]]:
    """The statement, and who of the quorum signed it: a raw key counts once, and nobody else at all."""
    claimed = set(envelope.claimed_keys).intersection(quorum.members)
    if not claimed:
        return unsafe_payload(envelope, AddressStatement), quorum.tally(())
    statement, signed = verify(envelope, AddressStatement, claimed)
    return statement, quorum.tally(signed)


def _refuse_other(what: str, stated: str, expected: str) -> None:
    if stated != expected:
        raise StatementMismatch(what=what, stated=stated, expected=expected)


def _refuse_untimely(statement: AddressStatement, now: int) -> None:
    if now < statement.issued - CLOCK_SKEW:
        raise StatementEarly(issued=statement.issued, now=now)
    if now >= statement.expires:
        raise StatementExpired(issued=statement.issued, expires=statement.expires, now=now)


def unknowable(charter: Charter) -> tuple[str, ...]:
    """What no step can say."""
    found = [
        "whether payer, purpose and class are what was agreed: the coordinator entered them",
        "whether somebody has paid to this address already (the chain is not seen here)",
    ]
    if not charter.witnesses:
        found.insert(0, "whether others were shown the same history: the charter names no witness")
    return tuple(found)
