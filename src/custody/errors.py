"""What can go wrong, by what the reader must do next.

    CustodyError              .code (stable), .exit_code, .hint, and the values that differ
    +- InvalidInput           fix the input        exit 3
    +- Refused                a rule said no       exit 4
    +- BackendError           the outside failed   exit 5   may be retried
    +- IntegrityError         our records disagree exit 6   stop, call a person

Leaf errors stand beside what they carry. A leaf is a class whose annotated fields are its values; `message` and `hint`
are templates over them:

    class DupInput(Refused, code="DUP_INPUT"):
        message = "{outpoint} is spent by input {first} and by input {second}"
        hint = "Draft the transfer again."
        outpoint: OutPoint
        first: int
        second: int

Secret material is never a value of an error.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Self, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass_transform(eq_default=False)
class CustodyError(Exception):
    """Base of every error this library raises on purpose.

    `code` never changes once published; `message` may. `str(error)` is the message with its values filled in.
    """

    code: ClassVar[str] = "CUSTODY"
    exit_code: ClassVar[int] = 1
    message: ClassVar[str] = ""
    hint: ClassVar[str] = ""

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = code

    def __new__(cls, *values: object, **named: object) -> Self:  # noqa: ARG004 - they are its `__init__`'s
        _complete(cls)
        return super().__new__(cls, *values)

    def __str__(self) -> str:
        return type(self).message.format(**self.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}: {self})"

    def values(self) -> dict[str, object]:
        """The typed values this error carries, by field name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def advice(self) -> str:
        """The hint with its values filled in: what to do next."""
        return type(self).hint.format(**self.values())


def _complete(kind: type[CustodyError]) -> None:
    """Give `kind` the `__init__` that takes its values, when its first error is made.

    A program loads some two hundred kinds, raises one, and each takes a quarter of a millisecond.
    """
    if "__match_args__" in vars(kind):  # the last that `dataclass` sets: nobody finds half of one
        return
    for base in kind.__bases__:
        if issubclass(base, CustodyError):
            _complete(base)
    dataclass(eq=False, repr=False)(kind)


class InvalidInput(CustodyError, code="INVALID_INPUT"):
    """The input is wrong: fix it and try again."""

    exit_code = 3


class Refused(CustodyError, code="REFUSED"):
    """A rule said no."""

    exit_code = 4


class BackendError(CustodyError, code="BACKEND"):
    """Something outside this library failed; the same call may work later."""

    exit_code = 5


class IntegrityError(CustodyError, code="INTEGRITY"):
    """Our own records disagree with each other: stop and call a person."""

    exit_code = 6


def leaf_errors(root: type[CustodyError] = CustodyError) -> Iterator[type[CustodyError]]:
    """Every concrete error below `root` among the modules imported so far, branches left out."""
    for kind in sorted(root.__subclasses__(), key=lambda each: each.code):
        if kind.message:
            yield kind
        yield from leaf_errors(kind)
