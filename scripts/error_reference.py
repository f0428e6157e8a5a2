"""Which errors can this library raise, and what should a reader do about each?

Writes docs/reference/errors.md from the error classes themselves. `--check` writes nothing and fails when the file is
out of date. Either way fails when two classes share a code, or one says nothing to do next.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from pathlib import Path

import custody
from custody.errors import BackendError, CustodyError, IntegrityError, InvalidInput, Refused, leaf_errors

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors.md"
_BRANCHES: dict[type[CustodyError], str] = {
    InvalidInput: "The input is wrong. Fix it and try again.",
    Refused: "A rule said no. Trying again changes nothing.",
    BackendError: "Something outside failed. The same call may work later.",
    IntegrityError: "Our own records disagree. Stop, and call a person.",
}
_HEAD = """# Errors

Written by `make errors` from the error classes; do not edit it by hand.

Every error has a stable code, an exit status and a hint. `--json` prints
`{"error":{"code","message","hint"}}` on standard output. Exit status 0 is success, 1 an unexpected error, 2 wrong usage
of the command line. Status 6 calls a person: our own records disagree, or, of `custody observe` and `custody doctor`,
everything is frozen. Then every answer of `custody` says so too, as `frozen_by` with `--json`. In messages, words in
braces stand for values, and times read as dates in UTC.
"""


def import_everything() -> None:
    """Import every module of the package, so that every error class exists."""
    for module in pkgutil.walk_packages(custody.__path__, "custody."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


def problems(leaves: list[type[CustodyError]]) -> list[str]:
    """What is wrong with the error classes themselves."""
    found = []
    owners: dict[str, type[CustodyError]] = {}
    for leaf in leaves:
        name = f"{leaf.__module__}.{leaf.__qualname__}"
        if leaf.code in owners:
            other = owners[leaf.code]
            found.append(f"{leaf.code} belongs to both {other.__module__}.{other.__qualname__} and {name}")
        owners[leaf.code] = leaf
        if not issubclass(leaf, tuple(_BRANCHES)):
            found.append(f"{name} stands in none of the four branches")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", leaf.code):
            found.append(f"{name}: the code {leaf.code!r} is not in capitals")
        if not leaf.hint.strip():
            found.append(f"{name} does not say what to do next")
    return found


def _cell(text: str) -> str:
    escaped = text.replace("!t}", "}").replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split())


def reference(leaves: list[type[CustodyError]]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for branch, meaning in _BRANCHES.items():
        parts.append(f"\n## Exit status {branch.exit_code}: {branch.__name__}\n\n{meaning}\n")
        parts.append("\n| code | message | what to do |\n|---|---|---|\n")
        parts += [
            f"| `{leaf.code}` | {_cell(leaf.message)} | {_cell(leaf.hint)} |\n"
            for leaf in sorted(leaves, key=lambda leaf: leaf.code)
            if issubclass(leaf, branch)
        ]
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Write or check the page; 1 when something is wrong."""
    import_everything()
    leaves = list(leaf_errors())
    wrong = problems(leaves)
    page = reference(leaves)
    if "--check" in arguments:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
            wrong.append(f"{TARGET.name} is out of date: run `make errors`")
    else:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(page, encoding="utf-8")
    for line in wrong:
        print(f"error_reference: {line}")
    print(f"error_reference: {len(leaves)} codes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
