"""How a test says that something is refused: by its code, with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from custody.errors import CustodyError


@dataclass(slots=True)
class Caught:
    """Holds the error once the block has ended."""

    error: CustodyError | None = None


@contextmanager
def refuses(code: str) -> Iterator[Caught]:
    """Check that the block raises the error with `code` and that it says what to do next.

    Raises:
        AssertionError: nothing was raised, another code was, or the hint is empty.
    """
    caught = Caught()
    try:
        yield caught
    except CustodyError as error:
        if error.code != code:
            raise AssertionError(f"expected {code}, got {error.code}: {error}") from error
        if not error.advice().strip() or not str(error).strip():
            raise AssertionError(f"{code} has no message or no hint") from error
        caught.error = error
        return
    raise AssertionError(f"expected {code}, but nothing was refused")
