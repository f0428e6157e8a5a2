"""What is said where a package is missing that only a part of this library needs?

The plain installation is what a station needs. The rest comes with extras, and is named by the module that needs it:

    with part_of_an_extra:
        import pbk
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

from custody.errors import InvalidInput

_EXTRA_OF: Final = {"hwilib": "hwi"}
_USUAL: Final = "coordinator"


class ExtraMissing(InvalidInput, code="EXTRA_MISSING"):
    """A package that this needs and that was left out when the library was installed."""

    # With the line to type: whoever imports sees the end of a traceback, and no hint.
    message = "this needs the package {package}, which is not installed: pip install '.[{extra}]'"
    hint = "Install the part called {extra} from the program's own folder: pip install '.[{extra}]'."
    package: str
    extra: str


def extra_missing(error: ModuleNotFoundError) -> ExtraMissing | None:
    """What is said in the place of `error`; None when what is missing is no other package."""
    package = (error.name or "").partition(".")[0]
    if package in {"", "custody"}:
        return None
    return ExtraMissing(package=package, extra=_EXTRA_OF.get(package, _USUAL))


class _PartOfAnExtra:
    """Names what is missing.

    Raises:
        ExtraMissing: a package that the block imports is not installed.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ModuleNotFoundError) and (told := extra_missing(error)) is not None:
            raise told from None


part_of_an_extra: Final = _PartOfAnExtra()
