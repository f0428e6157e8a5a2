"""What can a program that imports this library use, with which shapes and units, and what does each call refuse?

Writes docs/reference/api.md from the sources and docstrings of the front door's names, and of what `custody.testing`
has for tests. `--check` writes nothing and fails when the page is out of date. Either way fails when a public name says
nothing of itself, or names an error that does not exist.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import custody
from custody.errors import CustodyError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from error_reference import import_everything

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api.md"
_HEAD = """# What can be imported

Written by `make api` from the sources; do not edit it by hand.

Import what is said to stand in `custody` from there: it is loaded when it is first asked for. The rest is imported from
where it stands. What is not on this page may change at any time.

Hashes, digests and txids are bytes in internal order (`Digest`: 32 of them), `Sat` is whole sats, `FeeRate` whole
sat/kvB, `UnixTime` seconds, `Height` a block's number. `Text` is NFC without control characters, and `PublicText` holds
no key besides. An id of a request or a transfer is the 32-byte digest of its record; a record in its place is a
`TypeError`. Codes are explained under [errors](errors.md). Where a package of an extra is not installed, the import
itself is refused with `EXTRA_MISSING`.
"""
_SECTIONS: Final = {
    "The route": (
        "custody.custodian",
        "custody.delivery",
        "custody.examine",
        "custody.observer",
        "custody.showing",
        "custody.station",
    ),
    "Who may do what": ("custody.charter", "custody.quorum", "custody.envelope", "custody.words"),
    "What is asked for and agreed": ("custody.transfer",),
    "What is held": ("custody.vault", "custody.units"),
    "What the bytes say": ("custody.bitcoin",),
    "What is so": ("custody.history",),
    "What is needed from outside": ("custody.ports",),
    "The outside": ("custody.backends",),
    "Errors": ("custody.errors", "custody.extras"),
    "What every record has": ("custody.record",),
    "For tests": ("custody.testing",),
}
_BEYOND: Final = {
    "custody.delivery": ("Underway",),
    "custody.envelope": ("DocumentSigner",),
    "custody.examine.shown": ("Shown",),
    "custody.observer": ("Observation", "Since"),
    "custody.ports.station": ("StationState",),
    "custody.showing": ("Showing", "Witness"),
    "custody.station": ("Answer", "Asked", "Asking"),
    "custody.transfer.approval": ("Authorization",),
    "custody.transfer.coin_release": ("CoinRelease", "CoinReleasePaper"),
    "custody.transfer.draft": ("Draft", "TransferIdentity"),
    "custody.transfer.settlement": ("Broadcast", "Confirmation", "Release"),
    "custody.transfer.signing": ("CombinedPsbt", "SignedPsbt", "SigningRequested"),
    "custody.transfer.state": ("Transfer",),
    "custody.transfer.verify": ("VerifiedTransaction",),
    "custody.vault.coins": ("Coin",),
    "custody.record": ("Record", "FileRecord"),
    "custody.testing.asserts": ("Caught", "refuses"),
    "custody.testing.cast": ("Cast", "Setting", "SoftwareWitness", "make_cast"),
    "custody.testing.chain": ("RegtestChain",),
    "custody.testing.memory": ("InMemoryStore",),
    "custody.testing.node": ("NodeChain", "OfflineNode"),
    "custody.testing.own": ("OwnCharter", "OwnVault", "cast_for"),
    "custody.testing.scenario": ("Scenario",),
}
"""What is documented as public and is not imported from the front door: what its methods take and give, and tests."""
_RAISED = re.compile(r"^ {4}(?P<names>[A-Z]\w*(?:, (?:\w+|\.\.\.))*): ", re.MULTILINE)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Writer:
    """Writes the page, and notes what is wrong with what it is made from."""

    errors: Mapping[str, type[CustodyError]]
    problems: list[str] = field(default_factory=list)

    def entry(self, module: str, name: str) -> str:
        """The part about one name."""
        found = getattr(importlib.import_module(module), name)
        node = _definition(module, name)
        stands = f"`custody`; made in `{module}`" if name in custody.__all__ else f"`{module}`"
        parts = [f"### {name}\n\nIn {stands}.\n\n"]
        where = f"{module}.{name}"
        if not ast.get_docstring(node):
            self.problems.append(f"{where} says nothing of itself")
        if isinstance(node, _Function):
            return "".join([*parts, _code(_signature(node)), self.text(node, where)])
        parts.append(_code(f"class {name}{_bases(node)}"))
        parts.append(self.text(node, where))
        for each, owner in _members(found):
            parts.append(self.member(each, f"{owner}.{_name_of(each)}"))
        return "".join([*parts, "\n"])

    def member(self, node: _Field | _Function, where: str) -> str:
        """A line or a paragraph about a field, a value or a method."""
        if isinstance(node, _Field):
            said = f": {node.said}" if node.said else ""
            return f"- `{node.text}`{said}\n"
        is_property = any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
        if is_property:
            shown = f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
            return f"\n**`{shown}`**\n\n{self.text(node, where)}"
        return f"\n{_code(_signature(node))}{self.text(node, where)}"

    def text(self, node: ast.ClassDef | _Function, where: str) -> str:
        """A docstring as Markdown, each error it raises with its code."""
        raw = ast.get_docstring(node)
        if raw is None:
            return ""
        body, found, raised = raw.partition("\nRaises:\n")
        text = f"{body.strip()}\n\n"
        if found:
            lines = _RAISED.sub(lambda match: f"- {self.named(match['names'], where)}: ", raised)
            text += f"Raises:\n\n{textwrap.dedent(lines).strip()}\n\n"
        return text

    def named(self, names: str, where: str) -> str:
        """Names of errors, with their codes."""
        shown = []
        for name in names.split(", "):
            error = self.errors.get(name)
            if error is not None:
                shown.append(f"`{name}` (`{error.code}`)")
                continue
            shown.append(name)
            if name != "..." and not isinstance(getattr(builtins, name, None), type):
                self.problems.append(f"{where} names the error {name}, which does not exist")
        return ", ".join(shown)


@dataclass(frozen=True, slots=True)
class _Field:
    """A field or a value of a class: as it is written, and what is said below it."""

    name: str
    text: str
    said: str


def _listed() -> Iterator[tuple[str, str]]:
    """Every name of the page, after the module that defines it."""
    for homes in (custody._HOMES, _BEYOND):  # noqa: SLF001 - the front door's own list
        for module, names in homes.items():
            yield from ((module, name) for name in names)


def _definition(module: str, name: str) -> ast.ClassDef | _Function:
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | _Function) and node.name == name:
            return node
    raise LookupError(f"{module} does not define {name}")


def _members(found: type) -> Iterator[tuple[_Field | _Function, str]]:
    """Public fields and methods, those from bases that are on no page first, each by its name once."""
    listed = {name for _, name in _listed()}
    kinds = [each for each in found.__mro__[::-1] if each.__module__.startswith("custody.")]
    members: dict[str, tuple[_Field | _Function, str]] = {}
    for kind in kinds:
        if kind is not found and kind.__name__ in listed:
            continue
        node = _definition(kind.__module__, kind.__name__)
        if isinstance(node, ast.ClassDef):
            members |= {_name_of(each): (each, f"{kind.__module__}.{kind.__name__}") for each in _of_class(node)}
    # Fields before what is worked out from them.
    yield from sorted(members.values(), key=lambda each: not isinstance(each[0], _Field))


def _of_class(node: ast.ClassDef) -> Iterator[_Field | _Function]:
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, _Function) and (not each.name.startswith("_") or _says_arguments(each)):
            yield each
        name = _assigned(each)
        if name and not name.startswith("_"):
            text = ast.unparse(each)
            said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield _Field(name, " ".join(text.split()), " ".join(str(said).split()))


def _says_arguments(node: _Function) -> bool:
    return node.name == "__init__" and len(node.args.args) > 1


def _assigned(node: ast.stmt) -> str | None:
    """The name that a field or a value has, of what stands in a class; None for anything else."""
    target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
    return target.id if isinstance(target, ast.Name) else None


def _name_of(member: _Field | _Function) -> str:
    return member.name


def _bases(node: ast.ClassDef) -> str:
    return f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""


def _signature(node: _Function) -> str:
    marks = [f"@{each.id}\n" for each in node.decorator_list if isinstance(each, ast.Name)]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{''.join(marks)}{node.name}({ast.unparse(node.args)}){returns}"


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n\n"


def _section_of(module: str) -> str:
    for section, homes in _SECTIONS.items():
        if any(module == home or module.startswith(f"{home}.") for home in homes):
            return section
    raise LookupError(f"{module} stands in no section of this page: add it to _SECTIONS")


def reference() -> tuple[str, list[str]]:
    """The page, in Markdown, and what is wrong with what it is made from."""
    import_everything()
    writer = Writer({each.__name__: each for each in _all_errors(CustodyError)})
    entries: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for module, name in _listed():
        entries[_section_of(module)][name] = writer.entry(module, name)
    parts = [_HEAD]
    parts += [
        f"\n- [{section}](#{section.lower().replace(' ', '-')}): {_list(found)}" for section, found in entries.items()
    ]
    parts.append("\n")
    for section, found in entries.items():
        parts.append(f"\n## {section}\n\n")
        parts += [found[name] for name in sorted(found)]
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).rstrip("\n") + "\n", writer.problems


def _list(names: Mapping[str, str]) -> str:
    return ", ".join(f"`{each}`" for each in sorted(names))


def _all_errors(kind: type[CustodyError]) -> Iterator[type[CustodyError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all_errors(each)


def main(arguments: list[str]) -> int:
    """Write or check the page; 1 when something is wrong."""
    page, wrong = reference()
    if "--check" in arguments:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
            wrong.append(f"{TARGET.name} is out of date: run `make api`")
    else:
        TARGET.write_text(page, encoding="utf-8")
    for line in wrong:
        print(f"api_reference: {line}")
    print(f"api_reference: {page.count(chr(10) + '### ')} names")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
