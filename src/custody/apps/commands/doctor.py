"""Is everything in order: this installation, the pinned charter, the store, the chain, the disk?

Each check says what it found. The first that fails does not end the others; at the end the exit code says whether a
person must look (6). Nothing is changed.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from custody.apps.access import refuse_exposed, refuse_unwritable
from custody.apps.config import Folders, NotInitialised, folders
from custody.apps.terminal import Verb, output, shown
from custody.apps.views.charter import MAKERS_NOT_STATED
from custody.apps.views.layout import INDENT, table
from custody.bitcoin import curve
from custody.charter.decide import refuse_frozen
from custody.clock import refuse_behind
from custody.dates import moment
from custody.errors import BackendError, CustodyError, IntegrityError

_PACKAGES = (
    "custody",
    "coincurve",
    "embit",
    "cryptography",
    "pydantic",
    "SQLAlchemy",
    "py-bitcoinkernel",
    "python-bitcointx",
)
_GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
_LEAST_FREE = 256 * 1024 * 1024
"""Bytes on disk below which a log may soon not be written any more."""


class Unsound(IntegrityError, code="UNSOUND"):
    """A check of the doctor that failed."""

    message = "{count} of {total} checks failed: {names}"
    hint = "Read what stands beside each. Sign and release nothing before all is in order."
    count: int
    total: int
    names: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `code` names what failed; `advice` what to do then."""

    name: str
    finding: str
    code: str = ""
    advice: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether all is in order."""
        return not self.code


@click.command(cls=Verb)
def doctor() -> None:
    """Check the installation, charter, store and chain.

    Exits with 6 when something is wrong, or everything is frozen, and with 3 before custody init, when it looks at the
    machine alone. Run it after every update and before funds are moved.
    """
    where = folders()
    missing = _not_set_up(where)
    looks = _looks_at_machine(where) if missing else (*_looks_at_machine(where), *_looks(where))
    checks = [_checked(name, look) for name, look in looks]
    failed = [each for each in checks if not each.is_sound]
    talk = output()
    if not ((failed or missing) and talk.is_json):
        talk.emit(
            {
                "folder": str(where.folder),
                "checks": [{"name": each.name, "finding": each.finding, "code": each.code} for each in checks],
            },
            lambda: _text(checks),
        )
    if failed:
        raise Unsound(
            count=len(failed), total=len(checks), names=", ".join(f"{each.name} ({each.code})" for each in failed)
        )
    if missing:
        raise missing


def _text(checks: list[Check]) -> str:
    rows = [("ok" if each.is_sound else "WRONG", each.name, each.finding) for each in checks]
    advice = [f"{INDENT}{each.name}: {each.advice}" for each in checks if each.advice]
    return "\n".join([*table(rows), *(["what to do:", *advice] if advice else [])])


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, look())
    except CustodyError as error:
        return Check(name, str(error), error.code, error.advice())
    except ModuleNotFoundError as error:
        advice = "Install the coordinator's part: pip install '.[coordinator]' in the program's own folder."
        return Check(name, f"the package {error.name} is not installed", "EXTRA_MISSING", advice)


def _not_set_up(where: Folders) -> NotInitialised | None:
    """That nothing was set up here yet, so that only the machine can be looked at; None when it was, or seems so."""
    try:
        where.settings()
    except NotInitialised as missing:
        return missing
    except CustodyError:
        return None  # what is wrong with it, its own check says
    return None


def _looks_at_machine(where: Folders) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "versions", _versions
    yield "secp256k1", _secp256k1
    yield "judges", _judges
    yield "disk", lambda: _disk(where)


def _looks(where: Folders) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "writing", lambda: _writing(where)
    yield "others", lambda: _others(where)
    yield "charter", lambda: _charter(where)
    yield "store", lambda: _store(where)
    yield "beside", lambda: _beside(where)
    yield "freeze", lambda: _freeze(where)
    yield "clock", lambda: _clock(where)
    yield "chain", lambda: _chain(where)
    yield "blocks", lambda: _blocks(where)


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (not installed)")
    return ", ".join(found)


class CurveBroken(IntegrityError, code="CURVE_BROKEN"):
    """A libsecp256k1 that computes something else than the curve."""

    message = "libsecp256k1 does not give the generator for the secret key 1"
    hint = "Install coincurve again from a wheel whose hash is in the lock file."


def _secp256k1() -> str:
    if curve.public_key((1).to_bytes(32, "big")) != _GENERATOR:
        raise CurveBroken
    return "libsecp256k1 found, and it computes"


def _judges() -> str:
    from custody.apps.coordinator import judges  # noqa: PLC0415 - a package that is missing is what this looks for

    return ", ".join(("our own check", *(each.name for each in judges())))


class DiskFull(BackendError, code="DISK_FULL"):
    """Too little room for the log to grow."""

    message = "{free} MiB are free on the disk of {folder}"
    hint = "Make room before the next transfer: a log that cannot be written stops everything."
    free: int
    folder: str


def _disk(where: Folders) -> str:
    existing = next(each for each in (where.folder, *where.folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if free < _LEAST_FREE:
        raise DiskFull(free=free >> 20, folder=shown(existing))
    return f"{free >> 20} MiB free for {shown(where.folder)}"


def _writing(where: Folders) -> str:
    where.settings()
    return refuse_unwritable(where)


def _others(where: Folders) -> str:
    return refuse_exposed(where, where.settings())


def _charter(where: Folders) -> str:
    from custody.apps.coordinator import coordinator  # noqa: PLC0415 - as above

    where.settings()
    charter = coordinator().charter()
    silent = [f"; {entry.name}: {MAKERS_NOT_STATED}" for entry in charter.vaults if not entry.devices]
    return f"pinned, in force and signed by all: {charter.digest().hex()}{''.join(silent)}"


def _store(where: Folders) -> str:
    from custody.apps.coordinator import coordinator  # noqa: PLC0415 - as above

    where.settings()
    return f"{coordinator().store.verify().size} entries, every one verified"


def _beside(where: Folders) -> str:
    from custody.apps.coordinator import coordinator  # noqa: PLC0415 - as above

    where.settings()
    coordinator().check_beside()
    return "holds and outbox are what the log says"


def _freeze(where: Folders) -> str:
    from custody.apps.coordinator import coordinator  # noqa: PLC0415 - as above

    where.settings()
    refuse_frozen(coordinator().history().frozen_by)
    return "nothing stands still"


def _clock(where: Folders) -> str:
    from custody.apps.coordinator import coordinator, own_clock  # noqa: PLC0415 - as above
    from custody.logbook import told_in  # noqa: PLC0415

    where.settings()
    desk, now = coordinator(), own_clock().now()
    with desk.store.read() as view:
        refuse_behind(now, told_in(desk.history(), view))
    return f"{moment(now)}, and not behind what blocks and witnesses have told"


def _chain(where: Folders) -> str:
    from custody.apps.chains import open_chain  # noqa: PLC0415 - as above
    from custody.apps.coordinator import own_clock  # noqa: PLC0415
    from custody.custodian import refuse_unready  # noqa: PLC0415

    with closing(open_chain(where, where.settings())) as chain:
        tip = chain.view.tip()
        refuse_unready(chain.view, own_clock().now())
    return f"{where.network}, height {tip.height}, newest block of {moment(tip.time)}"


def _blocks(where: Folders) -> str:
    from custody.apps.coordinator import coordinator  # noqa: PLC0415 - as above
    from custody.looking import refuse_pruned_unread  # noqa: PLC0415

    where.settings()
    desk = coordinator()
    history = desk.history()
    with desk.chain() as chain:
        refuse_pruned_unread(history, chain.view)
    return f"looked at up to height {history.height}, and the chain gives every one above"
