"""What does it cost to read a file that was made to cost much? Each reader in a process of its own.

`python tests/hostile/costs.py` prints a line of JSON for each case: what refused it, the memory that the process took
beyond what it had before, in MB, and CPU, as a multiple of what Python takes to add up forty million numbers (about a
second). `test_costs` holds them to the house rule.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from custody.apps.commands.payments_file import parse_payments
from custody.apps.config import Folders
from custody.apps.station_commands.desk import WitnessMemory
from custody.backends.bitcoind.rpc import refuse_costly_json
from custody.backends.hwi.protocol import DeviceAnswer
from custody.backends.keyfile import KeyFile
from custody.bitcoin import curve
from custody.bitcoin.block import Block, TxOutProof
from custody.bitcoin.psbt import Psbt, read_psbt_file
from custody.bitcoin.serialize import compact_size
from custody.bitcoin.transaction import MinedTransaction, OutPoint, Transaction, TxIn, TxOut, txid_of
from custody.charter.card import PayerCard
from custody.charter.document import Charter, verify_charter
from custody.charter.text import parse_charter
from custody.envelope import Envelope, parse_public_key, payload_type
from custody.errors import CustodyError
from custody.examine.catchup import LogFile
from custody.examine.evidence import Evidence
from custody.examine.snapshot import SnapshotFile
from custody.examine.statement import StatementPaper
from custody.history.snapshot import read_row
from custody.log import SignedCheckpoint, read_line
from custody.log.entry import LogLine
from custody.log.witnessing import WitnessRequest
from custody.ports import StationState
from custody.record import Record, canonical
from custody.testing.cast import account_path, make_cast
from custody.transfer.approval import WithdrawalPaper
from custody.transfer.request import RequestPaper
from custody.units import Network
from custody.vault.descriptor import Vault, checksum
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin, refuse_secrets
from custody.vault.templates import ScriptType

SIZE = 2_000_000
PASSING = 430_000
"""Bytes of zeros that are as many as may be read at all."""
SECOND = 40_000_000

RECORDS: tuple[type[Record], ...] = (
    Charter,
    DeviceAnswer,
    Envelope,
    Evidence,
    KeyFile,
    LogFile,
    LogLine,
    PayerCard,
    RequestPaper,
    SnapshotFile,
    StatementPaper,
    StationState,
    WithdrawalPaper,
    WitnessMemory,
    WitnessRequest,
)
LISTS = {
    Charter: "payees",
    DeviceAnswer: "found",
    Envelope: "signatures",
    Evidence: "lines",
    PayerCard: "vaults",
    StatementPaper: "lines",
    StationState: "officers",
    WitnessMemory: "peaks",
    WitnessRequest: "leaves",
}
DENSE = {
    "zeros": b"0",
    "lists": b"[]",
    "tables": b"{}",
    "fields": b'{"":0}',
    "texts": b'""',
    "escapes": b'"\\n"',
    "deep": b"[" * 100 + b"]" * 100,
    "long": b'"' + b"\\n" * 2_000 + b'"',
    "digits": b"1" * 5_000,
}
Read = Callable[[], object]


def cases() -> Iterator[tuple[str, Read]]:
    """Each by name: something that is given bytes from outside."""
    yield from _records()
    yield from _texts()
    yield from _transactions()
    yield from _charters()


def _records() -> Iterator[tuple[str, Read]]:
    for record in RECORDS:
        field = LISTS.get(record, "unknown").encode()
        for name, each in DENSE.items():
            body = b",".join([each] * (SIZE // (len(each) + 1)))
            yield f"{record.kind}, {name}", lambda r=record, d=b'{"%s":[%s]}' % (field, body): r.from_bytes(d)
        body = b",".join([b"0"] * (PASSING // 2))
        yield f"{record.kind}, zeros that pass", lambda r=record, d=b'{"%s":[%s]}' % (field, body): r.from_bytes(d)
        names = b",".join(b'"%07x":0' % number for number in range(SIZE // 12))
        yield f"{record.kind}, unknown fields", lambda r=record, d=b"{" + names + b"}": r.from_bytes(d)
        yield f"{record.kind}, brackets", lambda r=record: r.from_bytes(b"[" * SIZE)
        yield f"{record.kind}, tables in tables", lambda r=record: r.from_bytes(b'{"a":' * (SIZE // 5))


def _texts() -> Iterator[tuple[str, Read]]:
    for like in ("6P", "Kx", "5J", "cM", "xpr", "ms1", "abandon ", "-----BEGIN ", "A", "a "):
        text = like * (1_000_000 // len(like))
        yield f"secrets, {like}", lambda text=text: refuse_secrets(text)
    for name, text in {
        "dots": ".".join("a" * 10_000) + "=1",
        "dots in many keys": "".join(f"a{number}.b.b.b.b.b.b = 1\n" for number in range(100_000)),
        "tables": "".join(f"[a{number}]\n" for number in range(300_000)),
        "person tables": "[[person]]\n" * 300_000,
        "lists": "a = [" + "[]," * 900_000 + "]",
        "digits": "a = " + "1" * 3_000_000,
        "quotes": "a = " + '\\"' * 1_500_000,
        "openings": "a = " + "[" * 3_000_000,
        "literals": "'a" * 1_500_000,
        "almost keys": "Kx" * 1_900_000,
        "comments": "#\n" * 1_900_000,
    }.items():
        yield f"charter text, {name}", lambda text=text: parse_charter(text)
        yield f"settings, {name}", lambda text=text: _settings(text[:64_000])
    for name, line in {"lists": b"[" + b"[]," * 300_000 + b"[]]", "deep": b"[" * 1_000_000}.items():
        yield f"snapshot row, {name}", lambda line=line: read_row(line)
        yield f"log line, {name}", lambda line=line: read_line(line, 0)
    row = canonical(["transfers", "00", "[" + "[]," * 300_000 + "[]]"])
    yield "snapshot row, inner lists", lambda: read_row(row)
    for name, text in {
        "lines": "\n" * SIZE,
        "marks": "\u2014 a b\n" * (SIZE // 6),
        "digits": f"a\n{'1' * 200_000}\n",
    }.items():
        yield f"checkpoint, {name}", lambda text=text: SignedCheckpoint.parse(text)
    for name, text in {"brackets": "wsh(" * 1_000_000, "keys": "wsh(multi(1," + "[" * 1_000_000}.items():
        yield f"descriptor, {name}", lambda text=text: Vault.parse(text, Network.REGTEST)
        yield f"cosigner, {name}", lambda text=text: Cosigner.parse(text)
        yield f"public key, {name}", lambda text=text: parse_public_key(text)
    charter = make_cast().charter
    for name, text in {
        "quotes": '"' * 1_000_000,
        "lines": "payee,amount\n" + "\n" * 1_000_000,
        "commas": "," * 1_000_000,
    }.items():
        yield f"payments, {name}", lambda text=text: parse_payments(text.encode(), charter)
    for name, each in DENSE.items():
        answer = b'{"result":[%s]}' % b",".join([each] * (SIZE // (len(each) + 1)))
        if name not in {"texts", "long", "digits"}:
            yield f"node's answer, {name}", lambda answer=answer: refuse_costly_json(answer, 8)


def _settings(text: str) -> object:
    with tempfile.TemporaryDirectory() as folder:
        where = Folders(Path(folder), Network.REGTEST)
        where.folder.mkdir()
        (where.folder / "config.toml").write_text(text, encoding="utf-8")
        return where.settings()


def _transactions() -> Iterator[tuple[str, Read]]:
    full = _filled(3_900_000).serialize()
    many = Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (TxOut(1, b""),) * 430_000, 0).serialize()
    for name, raw in {"witness items": full, "outputs": many}.items():
        yield f"transaction, {name}", lambda raw=raw: _refuse(Transaction.parse(raw))
        yield f"mined transaction, {name}", lambda raw=raw: _refuse(MinedTransaction.read(raw, 0))
    yield "transaction, long", lambda: Transaction.parse(bytes(31_000_000))
    yield "block, transactions", lambda: Block.parse(bytes(80) + b"\xfe" + b"\xff" * 4 + bytes(3_900_000))
    yield "proof, hashes", lambda: TxOutProof.parse(bytes(80) + b"\xff" * 4 + b"\xfe" + bytes(3_900_000))
    items = 15_000_000
    psbt = b"psbt\xff" + _fields((b"\x00", _filled(0).stripped()))
    yield (
        "PSBT, final witness",
        lambda: Psbt.parse(psbt + _fields((b"\x08", compact_size(items) + bytes(items))) + b"\x00"),
    )
    raws = [_filled(1_900_000 + number).serialize() for number in range(3)]
    spending = Transaction(2, tuple(TxIn(OutPoint(txid_of(raw), 0), b"", 0) for raw in raws), (TxOut(1, b"\x51"),), 0)
    previous = b"".join(_fields((b"\x00", raw)) for raw in raws)
    whole = b"psbt\xff" + _fields((b"\x00", spending.stripped())) + previous + b"\x00"
    yield "PSBT, previous witness", lambda: Psbt.parse(whole)
    yield "PSBT, maps", lambda: read_psbt_file(psbt + bytes(SIZE))
    yield "PSBT, base64", lambda: read_psbt_file(b"cHNidP" + b"A" * SIZE)


def _filled(items: int) -> Transaction:
    witness = ((b"",) * items,) if items else ()
    return Transaction(2, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (TxOut(1, b"\x51"),), 0, witness)


def _fields(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(compact_size(len(key)) + key + compact_size(len(value)) + value for key, value in pairs) + b"\x00"


def _refuse(read: object) -> None:
    """It may be read: only what that costs is asked."""
    raise Cheap(what=type(read).__name__)


class Cheap(CustodyError, code="READ"):
    """What was read, and is what it says it is."""

    message = "{what}"
    what: str


def _charters() -> Iterator[tuple[str, Read]]:
    tree = json.loads(make_cast().charter.to_bytes())
    tree["vaults"] = [
        tree["vaults"][0] | {"name": f"v{number:03}", "descriptor": _descriptor(number)} for number in range(60)
    ]
    body = canonical(tree)
    envelope = Envelope(payload=base64.b64encode(body).decode(), payloadType=payload_type(Charter), signatures=())
    yield "charter, another pinned", lambda: verify_charter(envelope, bytes(32))
    longer = canonical(tree | {"vaults": tree["vaults"] * 50})
    yield "charter, too many vaults", lambda: Charter.from_bytes(longer)


def _descriptor(number: int) -> str:
    """A vault of as many made-up keys as one has."""
    chance = Random(number)  # noqa: S311 - the same on every run
    path = account_path(ScriptType.WSH)
    keys = []
    for _ in range(15):
        public, chain_code = curve.public_key(chance.randbytes(32)), chance.randbytes(32)
        key = AccountKey(public, chain_code, len(path), chance.randbytes(4), path[-1], Network.REGTEST.xpub_version)
        keys.append(Cosigner("", KeyOrigin(chance.randbytes(4), path), key).expression() + "/<0;1>/*")
    body = f"wsh(sortedmulti(2,{','.join(keys)}))"
    return f"{body}#{checksum(body)}"


def measured(read: Read) -> dict[str, object]:
    """What came of it, in a process of its own."""
    outgoing, incoming = os.pipe()
    child = os.fork()
    if not child:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            read()
            code = "READ"
        except CustodyError as error:
            code = error.code
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            code = f"{type(error).__name__}: {error}"[:200]
        spent = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(incoming, json.dumps({"code": code, "memory": peak // 1024, "cpu": spent}).encode())
        os._exit(0)
    os.close(incoming)
    with open(outgoing, "rb") as file:  # noqa: PTH123 - a pipe
        told = file.read()
    os.waitpid(child, 0)
    return json.loads(told) if told else {"code": "killed", "memory": 0, "cpu": 0}


def main() -> None:
    """Print a line for each case."""
    start = time.process_time()
    sum(range(SECOND))
    second = time.process_time() - start
    for name, read in cases():
        told = measured(read)
        told["cpu"] = round(float(str(told["cpu"])) / second, 3)
        sys.stdout.write(json.dumps({"name": name} | told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
