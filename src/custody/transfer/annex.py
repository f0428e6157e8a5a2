"""Where do words about people stand, so that they can be withheld or erased and everything else stays as it is?

In an *annex*: a record with a salt of its own, named by the salted digest of the two. What is signed and folded holds
only that digest. The annex is entered in the log beside it, as a body like any other; nothing is decided by it, and
whoever has it can show that it is the one that was named. Without the salt the digest tells nothing, not even to
somebody who guesses the words.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar, Final, Self, TypeVar

from pydantic import Field

from custody.envelope import Envelope
from custody.errors import Refused
from custody.log import body_digest
from custody.record import Digest, FileRecord, Record, read

Words = TypeVar("Words", bound=Record)
MAX_BODY: Final = 2_000
"""Characters of an annex. Texts are far shorter; this is room for their names and quotes."""


class AnnexMismatch(Refused, code="ANNEX_MISMATCH"):
    """An annex that is not the one that was named."""

    message = "the annex given hashes to {actual}; what names it says {expected}"
    hint = "Do not go by its words: they are not those that were signed or entered. Have the file made again."
    actual: str
    expected: str


class AnnexWithheld(Refused, code="ANNEX_WITHHELD"):
    """Words that are needed, in an annex that was withheld or erased."""

    message = "{what} cannot be said: the annex that holds it was withheld or erased"
    hint = "Ask whoever gave you the file for one with the annex. If it was erased from the log, it is gone for good."
    what: str


class Annex(Record):
    """The bytes of such a record, as text, with 32 fresh random bytes of salt."""

    kind: ClassVar[str] = "annex"

    salt: Digest
    body: Annotated[str, Field(max_length=MAX_BODY)]

    @classmethod
    def of(cls, words: Record, salt: bytes) -> Self:
        """These words, under a salt that nobody else knows."""
        return cls(salt=salt, body=words.to_bytes().decode("utf-8"))

    @cached_property
    def named(self) -> bytes:
        """The salted digest, 32 bytes: the same as of the log entry that has it for its body."""
        return body_digest(self.salt, self.body.encode("utf-8"))

    def words(self, record: type[Words], named: bytes) -> Words:
        """What it says, when it is the annex that is `named`.

        Raises:
            AnnexMismatch: it is another.
            RecordInvalid, RecordNotCanonical, TextForbidden: it holds no such record.
        """
        if self.named != named:
            raise AnnexMismatch(actual=self.named.hex(), expected=named.hex())
        return read(record, self.body.encode("utf-8"))


class AnnexedPaper(FileRecord):
    """A signed document as it travels: with the annex that it names."""

    signed: Envelope
    annex: Annex
