"""Unit tests do no I/O, and many of them read one story.

While a test runs, opening a file, a socket or a process is refused. Imports look at the code, lint looks at imports;
this looks at what really happens, through an audit hook (PEP 578). Python's own machinery may read (imports, source
lines for a traceback, pytest, hypothesis): the nearest caller decides.

`told` is a whole story, played once on a real chain before the first test that asks for it. It holds its log, with an
entry of every kind there is. Tests fold the beginning of it and add entries of their own, as a coordinator would who
means well or does not; nothing in a test itself needs a chain.
"""

import linecache
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
from _pytest import pathlib as pytest_internals

from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import Transaction, TxOut
from custody.charter.document import Charter
from custody.entering import abandon
from custody.envelope import Envelope
from custody.examine.evidence import Evidence
from custody.history import kinds
from custody.history.entry import EntryKind
from custody.history.fold import fold
from custody.history.on.charter import StateSealed
from custody.history.questions import History
from custody.history.state import State
from custody.log import LogEntry
from custody.record import Record
from custody.testing.cast import OFFICERS, STRANGER, SUPPLIER, Cast, Setting, expected, make_cast
from custody.testing.chain import RegtestChain
from custody.testing.forge import Forge, sealed
from custody.testing.scenario import Scenario
from custody.testing.theft import steal
from custody.transfer.address import AddressAnnex
from custody.transfer.approval import Opinion
from custody.transfer.draft import Draft
from custody.transfer.request import TransferRequest
from custody.transfer.state import Transfer
from custody.transfer.verify import VerifiedTransaction
from custody.vault.descriptor import Branch

Some = TypeVar("Some", bound=Record)
RATE = 5_000
_REFUSED = (
    "open",
    "os.",
    "shutil.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "tempfile.",
    "urllib.",
)
_HARMLESS = frozenset({"os.putenv", "os.unsetenv", "os.add_dll_directory"})
_PROJECT = Path(__file__).resolve().parents[2]
_OURS = (str(_PROJECT / "src"), str(_PROJECT / "tests"))
_MACHINERY = (
    "<frozen importlib",
    linecache.__file__,
    str(Path(linecache.__file__).parent / "importlib"),
    str(Path(hypothesis.__file__).parent),
    str(Path(pytest_internals.__file__).parent),
)

_running: list[str] = []


class IoInUnitTest(AssertionError):
    """Code under a unit test reached outside the process."""


def _caller_is_ours() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name != __file__:
            if name.startswith(_MACHINERY):
                return False
            if name.startswith(_OURS):
                return True
        frame = frame.f_back
    return False


def _refuse_io(event: str, arguments: tuple[object, ...]) -> None:
    if not _running or not event.startswith(_REFUSED) or event in _HARMLESS:
        return
    if _caller_is_ours():
        raise IoInUnitTest(f"{_running[-1]} caused {event}{arguments!r}: unit tests do no I/O")


sys.addaudithook(_refuse_io)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse I/O from here to the end of the test itself; fixtures are set up outside of this."""
    _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.pop()


# --- the story --------------------------------------------------------------------------------------------------------


def edited(record: Some, **changes: Any) -> Some:
    """The record with other values."""
    return type(record)(**{name: getattr(record, name) for name in type(record).model_fields} | changes)


@dataclass(frozen=True)
class Told:
    """The story: its people, its log, and what the stations were shown and answered on the way."""

    cast: Cast
    entries: tuple[LogEntry, ...]
    now: int
    transfer_id: bytes
    to_approve: Evidence
    to_sign: Evidence
    to_release: Evidence
    answers: tuple[Psbt, ...]
    """What each cosigner's station let out, in the vault's order."""

    @property
    def charter(self) -> Charter:
        return self.cast.charter

    @property
    def draft(self) -> Draft:
        return self.transfer.draft

    @property
    def request_envelope(self) -> Envelope:
        return self.transfer.request_envelope

    @property
    def request(self) -> TransferRequest:
        return self.transfer.request

    @property
    def previous(self) -> tuple[bytes, ...]:
        """The raw transactions whose outputs the transfer spends."""
        return self.to_sign.previous

    @property
    def after_verified(self) -> VerifiedTransaction:
        """The finished transaction."""
        verified = self.after(kinds.VERIFIED).transfer(self.transfer_id).verified
        assert verified is not None
        return verified

    @cached_property
    def transfer(self) -> Transfer:
        """The transfer as it stood when the stations were asked."""
        return self.until(kinds.SIGNED).transfer(self.transfer_id)

    @cached_property
    def states(self) -> tuple[State, ...]:
        """The state after so many entries, from none on."""
        found = [State(self.cast.digest)]
        for entry in self.entries:
            found.append(fold(found[-1], [entry]))
        return tuple(found)

    @property
    def whole(self) -> History:
        """The history after the last entry."""
        return History(self.states[-1])

    def index(self, kind: str, nth: int = 0) -> int:
        """Where the entry number `nth` of a kind stands."""
        return [entry.head.index for entry in self.entries if entry.head.entry == kind][nth]

    def entry(self, kind: str, nth: int = 0) -> LogEntry:
        return self.entries[self.index(kind, nth)]

    def body(self, kind: EntryKind[Some], nth: int = 0) -> Some:
        """What an entry says."""
        record = AddressAnnex if kind == kinds.ANNEXED else kind.record
        return record.from_bytes(self.entry(kind, nth).body or b"")

    def until(self, kind: str, nth: int = 0) -> History:
        """The history just before an entry."""
        return History(self.states[self.index(kind, nth)])

    def after(self, kind: str, nth: int = 0) -> History:
        """The history just after an entry."""
        return History(self.states[self.index(kind, nth) + 1])


def play() -> Told:
    setting = Setting(confirmations=2)
    chain = RegtestChain().fund(4)
    # The vault was used before: somebody else paid from it, and none of that is a theft.
    _steal(chain, make_cast(setting), 50)
    chain.mine()
    story = Scenario.funded(60_000_000, 40_000_000, 30_000_000, setting=setting, chain=chain)
    try:
        return _play(story)
    finally:
        story.close()


def _play(story: Scenario) -> Told:
    custodian = story.custodian
    with custodian._work() as work:
        work.salt = lambda: bytes(32)  # chance is the story's, which goes on as if nothing had been sealed
        work.append(kinds.STATE_SEALED, StateSealed(size=work.state.size, state=work.state.digest()))
    draft, _ = story.drafted(story.request((SUPPLIER, 85_000_000)), RATE)
    transfer_id = draft.transfer_id
    to_approve = custodian.evidence(transfer_id)
    story.approved(transfer_id, OFFICERS[:2])
    custodian.authorize(transfer_id)
    custodian.request_signatures(transfer_id)
    to_sign = custodian.evidence(transfer_id)
    answers = tuple(story.signature(transfer_id, cosigner) for cosigner in range(3))
    now = story.chain.now()
    for each in answers[:2]:
        custodian.receive(transfer_id, each)
    custodian.combine(transfer_id)
    custodian.verify(transfer_id)
    to_release = custodian.evidence(transfer_id)
    custodian.release(transfer_id)
    custodian.deliver()
    story.mine()
    story.chain.reorganise(1, leave_out=[story.transfer(transfer_id).release.txid])
    custodian.observe()
    story.mine(2)
    # One that is withdrawn, one that the rules deny, one vetoed, and one that its custodians send before release.
    withdrawn, _ = story.drafted(story.request((SUPPLIER, 1_000_000)))
    given_up = story.withdrawal(withdrawn.transfer_id)
    custodian.withdraw(given_up)
    custodian.erase(custodian.history().annexed_at(given_up.annex.named), "it named somebody")
    story.drafted(story.request((STRANGER, 1_000_000)))
    vetoed, _ = story.drafted(story.request((SUPPLIER, 3_000_000)))
    custodian.approve(story.approval(custodian.evidence(vetoed.transfer_id), OFFICERS[0], Opinion.VETO))
    early = story.authorized(story.request((SUPPLIER, 2_000_000)))
    story.signed(early)
    story.chain.view.send(story.transfer(early).verified.raw)
    story.mine()
    # One that is given up, though signatures were asked for: that its coin is gone, nobody who only folds knows.
    story.mine()
    lost_coin = story.authorized(story.request((SUPPLIER, 1_000_000)))
    paper = story.withdrawal(lost_coin)
    with custodian._work() as work:
        work.annex(paper.annex)
        abandon(work, work.history.transfer(lost_coin), paper.signed)
    _release_unasked(story)
    # Two thefts; the block of the second loses its place.
    _steal(story.chain, story.cast, 51)
    story.mine()
    lost = _steal(story.chain, story.cast, 52)
    story.mine()
    story.chain.reorganise(1, leave_out=[lost.txid])
    custodian.observe()
    with story.store.read() as view:
        entries = tuple(view.entries())
    return Told(story.cast, entries, now, transfer_id, to_approve, to_sign, to_release, answers)


def _release_unasked(story: Scenario) -> None:
    """A coin came before its address was given out, in a block that nobody had looked at: an officer releases it."""
    due = story.history().next_index(story.cast.vault.id, Branch.RECEIVE)
    coin = story.chain.pay(story.cast.vault.script_pubkey(Branch.RECEIVE, due), 9_000_000)
    story.chain.mine()
    story.custodian.issue_address("reserve", expected("later"))
    story.custodian.observe()
    story.custodian.release_coin(story.coin_release(coin))


def _steal(chain: RegtestChain, cast: Cast, index: int) -> Transaction:
    """A coin at a change index comes and is spent past all of us, in one block."""
    funding = chain.pay_all([TxOut(7_000_000, cast.vault.script_pubkey(Branch.CHANGE, index))])
    stolen = steal(cast, funding, 0, index, Branch.CHANGE)
    chain.view.send(stolen.serialize())
    return stolen


@pytest.fixture(scope="session")
def told() -> Told:
    return play()


@pytest.fixture(scope="session")
def edit() -> Callable[..., Any]:
    return edited


def add(history: History, kind: EntryKind[Some], body: Some, **lies: Any) -> History:
    """What a history is after one more entry; `lies` are another author or other subjects."""
    return History(fold(history.state, [sealed(history.size, kind, body, **lies)]))


@pytest.fixture(scope="session", name="add")
def _add() -> Callable[..., History]:
    return add


@pytest.fixture
def forge(told: Told) -> Forge:
    """A hostile coordinator's log. It begins with the story up to the first request."""
    return Forge(told.cast, told.now, told.entries[: told.index(kinds.REQUESTED)])


def redrafted(drafted: Draft, **changes: Any) -> Draft:
    """A draft with another transaction (`version`, `inputs`, `outputs`, `locktime`) or other fields of its own."""
    parts = {name: changes.pop(name) for name in ("version", "inputs", "outputs", "locktime") if name in changes}
    spent: Sequence[Any] = changes.pop("spent", drafted.identity.spent)
    transaction: Transaction = replace(drafted.transaction, **parts)
    identity = edited(drafted.identity, transactions=(transaction.stripped(),), spent=tuple(spent))
    return edited(drafted, identity=identity, **changes)


@pytest.fixture(scope="session", name="redrafted")
def _redrafted() -> Callable[..., Draft]:
    return redrafted


def retold(transfer: Transfer, **parts: Any) -> Transfer:
    """The transfer as another log would tell it: with another `draft`, `request`, `replaced` or `parent`."""
    drafted: Draft = parts.get("draft", transfer.draft)
    other = Transfer(replace(transfer.row, id=drafted.transfer_id), transfer.source)
    vars(other).update({name: getattr(transfer, name) for name in ("draft", "request", "replaced", "parent")} | parts)
    return other


@pytest.fixture(scope="session", name="retold")
def _retold() -> Callable[..., Transfer]:
    return retold
