"""What is one entry of the log?

A head and a body. The head is small, stays for ever, and its bytes are the Merkle leaf. The body is the record that
was appended, as canonical JSON. The head holds only a salted digest of it, so a body can be withheld from a reader or
erased for good (personal data) and every proof still holds. The salt goes with the body: a salt that stayed behind
would let anybody try likely bodies against the digest.

On disk an entry is a line, a record with its leaf hash beside it, so damage is found at its line and not only at the
end. Which entries may follow which, and who may write them, is for `history`.
"""

from __future__ import annotations

import json.encoder
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from custody.errors import IntegrityError, InvalidInput
from custody.log.checkpoint import Checkpoint
from custody.log.merkle import Frontier, ProofInvalid, hash_leaf
from custody.record import Digest, Record, Text, tagged_hash
from custody.units import Count

SALT_SIZE: Final = 32
MAX_SUBJECTS: Final = 256
_BODY_TAG: Final = "custody/log-body/v1"


class LogCorrupt(IntegrityError, code="LOG_CORRUPT"):
    """An entry of the log is not what was written."""

    message = "the log is damaged at entry {index}: {problem}"
    hint = (
        "Stop, and keep the file as it is. Compare this entry with a copy from another site or a witness, "
        "and restore from one that extends the last witnessed checkpoint."
    )
    index: int
    problem: str


class BodyWithheld(InvalidInput, code="BODY_WITHHELD"):
    """A body that was asked for is not in this copy of the log."""

    message = "the body of entry {index} is withheld from this copy or was erased"
    hint = "Ask whoever gave you this copy for the entry with its body; its head proves that nothing was changed."
    index: int


class EntryHead(Record):
    """The part of an entry that every copy of the log carries.

    `index` counts from 0; `entry` says what happened, in the past tense; `author` who says so; `subjects` are the
    digests of the records it is about; `body` is the salted digest of the body.
    """

    kind = "entry"

    index: Count
    entry: Text
    author: Text
    subjects: Annotated[tuple[Digest, ...], Field(max_length=MAX_SUBJECTS)]
    body: Digest

    def to_bytes(self) -> bytes:
        """The one spelling of this head: written out here because every reader of a log hashes every head."""
        subjects = ",".join([f'"{subject.hex()}"' for subject in self.subjects])
        text = (
            f'{{"author":{_quote(self.author)},"body":"{self.body.hex()}","entry":{_quote(self.entry)},'
            f'"index":{self.index},"subjects":[{subjects}]}}'
        )
        return text.encode("utf-8")

    @cached_property
    def leaf(self) -> bytes:
        """Its leaf hash, 32 bytes."""
        return hash_leaf(self.to_bytes())


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A head with its body, or without it when the body is withheld or erased (`None`).

    Raises:
        ValueError: there is a body and the salt is not 32 bytes.
    """

    head: EntryHead
    salt: bytes
    body: bytes | None
    _is_open: bool = field(default=False, init=False, repr=False, compare=False)
    """Whether the body was compared with the head. Neither ever changes, so once is enough."""

    def __post_init__(self) -> None:
        if self.body is None:
            # Without its body a salt only helps to guess it.
            object.__setattr__(self, "salt", b"")
        elif len(self.salt) != SALT_SIZE:
            raise ValueError(f"a salt has {SALT_SIZE} bytes")

    @property
    def leaf(self) -> bytes:
        """Leaf hash of the head, 32 bytes."""
        return self.head.leaf


class LogLine(Record):
    """An entry as a line of a file. `salt` and `body` (UTF-8 text) are both there or both null."""

    kind = "log-line"

    head: EntryHead
    leaf: Digest
    salt: Digest | None
    body: str | None

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.salt is None) != (self.body is None):
            raise ValueError("salt and body go together")
        return self

    def to_bytes(self) -> bytes:
        """The one spelling of this line, without a line feed."""
        body = "null" if self.body is None else _quote(self.body)
        salt = "null" if self.salt is None else f'"{self.salt.hex()}"'
        tail = f',"leaf":"{self.leaf.hex()}","salt":{salt}}}'
        return b"".join((b'{"body":', body.encode("utf-8"), b',"head":', self.head.to_bytes(), tail.encode("ascii")))


def seal(index: int, entry: str, author: str, subjects: Iterable[bytes], body: bytes, salt: bytes) -> LogEntry:
    """The entry that says `entry` happened. `body` is a record's bytes; `salt` is 32 fresh random bytes.

    Raises:
        TextForbidden: `entry` or `author` could lie on a screen.
        ValueError: the salt is not 32 bytes, or the body is not UTF-8 text.
    """
    body.decode("utf-8")
    head = EntryHead(index=index, entry=entry, author=author, subjects=tuple(subjects), body=body_digest(salt, body))
    return LogEntry(head=head, salt=salt, body=body)


def open_body(entry: LogEntry) -> bytes:
    """The bytes that were sealed.

    Raises:
        BodyWithheld: this copy does not have them.
        LogCorrupt: they are not what the head says.
    """
    if entry.body is None:
        raise BodyWithheld(index=entry.head.index)
    if not entry._is_open:  # noqa: SLF001 - this is how an entry is opened
        if body_digest(entry.salt, entry.body) != entry.head.body:
            raise LogCorrupt(index=entry.head.index, problem="the body is not the one that was written")
        object.__setattr__(entry, "_is_open", True)
    return entry.body


def withhold(entry: LogEntry) -> LogEntry:
    """The entry without body and salt: for a reader who may not see it, or to erase it. Its leaf stays the same."""
    return LogEntry(head=entry.head, salt=b"", body=None)


def write_line(entry: LogEntry) -> bytes:
    """The entry as a line of a file, without a line feed."""
    body = None if entry.body is None else entry.body.decode("utf-8")
    salt = None if entry.body is None else entry.salt
    return LogLine(head=entry.head, leaf=entry.leaf, salt=salt, body=body).to_bytes()


def read_line(line: bytes, index: int) -> LogEntry:
    """The entry in line `index` (from 0) of a file, with its own hashes checked.

    Raises:
        LogCorrupt: the line is damaged or stands in another place; the index is the line's.
    """
    try:
        read = LogLine.from_bytes(line)
    except InvalidInput as error:
        raise LogCorrupt(index=index, problem=f"its line does not read ({error.code})") from None
    body = None if read.body is None else read.body.encode("utf-8")
    entry = LogEntry(head=read.head, salt=read.salt or b"", body=body)
    if read.head.index != index:
        raise LogCorrupt(index=index, problem=f"entry {read.head.index} stands in its place")
    if entry.leaf != read.leaf:
        raise LogCorrupt(index=index, problem="its head does not hash to its leaf")
    if entry.body is not None:
        open_body(entry)
    return entry


def check_history(entries: Iterable[LogEntry], checkpoint: Checkpoint) -> Frontier:
    """Check that the first entries are exactly those of `checkpoint`, and return the frontier of them all.

    Heads are checked, one after the other, and not bodies: `open_body` does that when one is read.

    Raises:
        LogCorrupt: an entry stands in the wrong place, or entries of the checkpoint are missing; the first index.
        ProofInvalid: every entry is in its place and yet they have another root: this is another history.
    """
    leaves: list[bytes] = []
    for index, entry in enumerate(entries):
        if entry.head.index != index:
            raise LogCorrupt(index=index, problem=f"entry {entry.head.index} stands in its place")
        leaves.append(entry.leaf)
    if len(leaves) < checkpoint.size:
        raise LogCorrupt(index=len(leaves), problem=f"it and all up to {checkpoint.size - 1} are missing")
    frontier = Frontier.of(leaves[: checkpoint.size])
    if frontier.root != checkpoint.root:
        claim = f"a history of {checkpoint.size} entries"
        raise ProofInvalid(claim=claim, problem="they have another root than the checkpoint")
    return frontier.extend(leaves[checkpoint.size :])


_quote: Final = json.encoder.encode_basestring
"""JSON text as RFC 8785 spells it: only quotes, backslashes and control characters escaped."""


def body_digest(salt: bytes, body: bytes) -> bytes:
    """What stands in a head for a body: 32 bytes that nobody without the salt (32 bytes) can try bodies against."""
    # The salt has a fixed length, so nothing can move from salt to body.
    return tagged_hash(_BODY_TAG, salt + body)
