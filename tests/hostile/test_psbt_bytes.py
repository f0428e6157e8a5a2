"""Every byte of a signing request, replaced: either it is refused, or it is another transfer, or it means the same.

The request is a 3-of-5 transfer of two coins, as it goes to a signer, of a vault of each script type. Each mutant is
read as a station reads any file that somebody brings: as a PSBT, by the list of allowed fields, against the vault. Then
its TransferId is computed anew for the same request and charter, and its outputs are compared with what was asked for.
There is no fourth outcome: nothing keeps the name that officers approved and pays somebody else, another amount, or
signs other bytes. What a cosigner answers is spoiled in the same way: it is refused, or it says what it said.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from custody.bitcoin.lock import Lock, lock_of
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, read_psbt_file
from custody.bitcoin.sighash import Sighashes
from custody.charter.document import Charter
from custody.errors import CustodyError
from custody.testing.cast import Setting, make_cast
from custody.transfer.draft import Draft, Seat, SpentOutput, TransferIdentity
from custody.transfer.proposal import propose
from custody.transfer.request import TransferRequest, read_request
from custody.transfer.signing import accept
from custody.vault.descriptor import Vault
from custody.vault.ownership import Reading, read_ownership
from custody.vault.templates import ScriptType

SEED = 20_260_101
SOME = {ScriptType.WSH: 16, ScriptType.SH_WSH: 3, ScriptType.TR: 6}
NAMES = ("astana", "almaty", "shymkent", "aktobe", "taraz")


@dataclass(frozen=True)
class Meaning:
    """What a signer would sign, and what it would be told it signs."""

    transfer_id: bytes
    payees: tuple[tuple[bytes, int], ...]
    fee: int
    change: tuple[tuple[int, int], ...]
    digests: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Reader:
    """A station that knows the charter and the request, and is handed a file."""

    vault: Vault
    charter: Charter
    request: TransferRequest
    honest: Draft

    def read(self, data: bytes) -> Meaning:
        """What the file means.

        Raises:
            CustodyError: it is refused.
        """
        content = TransferPsbt.from_psbt(read_psbt_file(data), Direction.TO_SIGNER)
        reading = read_ownership(content, self.vault)
        # What a signer would sign for, by the file's own word: it has no vault to derive from.
        meaning = self.understand(content.transaction.serialize(), reading, tuple(map(lock_of, content.inputs)))
        if isinstance(meaning, CustodyError):
            raise meaning
        return meaning

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - as long as the test runs; neighbouring mutants are read alike
    def understand(self, raw: bytes, reading: Reading, locks: tuple[Lock | None, ...]) -> Meaning | CustodyError:
        """What a reading means under the request and the charter, or why it is refused."""
        spent = tuple(
            SpentOutput(
                txid=each.outpoint.txid,
                vout=each.outpoint.index,
                amount=each.output.amount,
                script_pubkey=each.output.script_pubkey,
            )
            for each in reading.inputs
        )
        changes = [(each.change, each.output.amount) for each in reading.outputs if each.change is not None]
        drafted = Draft(
            identity=TransferIdentity(
                network=self.charter.network,
                vault=self.vault.id,
                charter=self.charter.digest(),
                request=self.request.digest(),
                transactions=(raw,),
                spent=spent,
            ),
            seats=tuple(Seat(branch=each.branch, index=each.index) for each in reading.inputs),
            change=changes[0][0] if changes else None,
            destinations=(),
            rate=self.honest.rate,
            long_term_rate=self.honest.long_term_rate,
            left=self.honest.left,
            height=self.honest.height,
            at=self.honest.at,
        )
        if drafted.transfer_id == self.honest.transfer_id:
            # Under the name that was approved its outputs must still be the ones that were asked for.
            try:
                propose(drafted, self.request, self.charter)
            except CustodyError as error:
                return error
        sighashes = Sighashes(drafted.transaction, reading.spent.__getitem__)
        outputs = [(each.output.script_pubkey, each.output.amount) for each in reading.outputs if each.change is None]
        return Meaning(
            transfer_id=drafted.transfer_id,
            payees=tuple(outputs),
            fee=reading.fee,
            change=tuple(changes),
            digests=tuple(b"" if lock is None else lock.digest(sighashes, index) for index, lock in enumerate(locks)),
        )


@pytest.fixture(scope="module", params=list(ScriptType), ids=str)
def script_type(request) -> ScriptType:
    return request.param


@pytest.fixture(scope="module")
def forged(forger_of, script_type):
    return forger_of(make_cast(Setting(threshold=3, cosigners=NAMES, script_type=script_type)))


@pytest.fixture(scope="module")
def request_file(forged) -> bytes:
    data: bytes = forged.psbt().to_psbt().serialize()
    return data


@pytest.fixture(scope="module")
def reader(forged) -> Reader:
    return Reader(forged.vault, forged.cast.charter, read_request(forged.request()), forged.draft())


def mutants(data: bytes, values: int) -> Iterator[tuple[int, bytes]]:
    """Each byte replaced by `values` other ones: (its place, the file)."""
    chance = random.Random(SEED)  # noqa: S311 - the same mutants every time
    for at, byte in enumerate(data):
        others = [value for value in range(256) if value != byte]
        for value in others if values == len(others) else chance.sample(others, values):
            yield at, data[:at] + bytes([value]) + data[at + 1 :]


def check_all(data: bytes, reader: Reader, values: int) -> tuple[Counter[str], set[int]]:
    """What became of every mutant, by code; and the places where a byte did not matter."""
    honest = reader.read(data)
    assert honest.transfer_id == reader.honest.transfer_id
    outcomes: Counter[str] = Counter()
    idle: set[int] = set()
    for at, mutant in mutants(data, values):
        try:
            meaning = reader.read(mutant)
        except CustodyError as error:
            outcomes[error.code] += 1
            continue
        if meaning.transfer_id != honest.transfer_id:
            outcomes["another transfer"] += 1
            continue
        assert meaning == honest, (at, mutant[at])
        outcomes["the same"] += 1
        idle.add(at)
    return outcomes, idle


def places_of(data: bytes, psbt: Psbt) -> range:
    """Where the account keys stand: the one part that no reading of ours depends on."""
    pairs = [pair for pair in psbt.global_map.pairs if pair[0][0] == 1]
    first = data.index(pairs[0][0])
    last = data.index(pairs[-1][0]) + len(pairs[-1][0]) + 1 + len(pairs[-1][1])
    return range(first, last)


def test_the_honest_file_means_what_was_drafted(request_file, reader):
    meaning = reader.read(request_file)
    assert meaning.fee == reader.honest.fee
    assert [amount for _, amount in meaning.payees] == [70_000_000]
    assert meaning.change == ((0, 29_995_000),)
    assert len(set(meaning.digests)) == 2
    assert len(reader.vault.cosigners) == 5
    assert reader.vault.threshold == 3


def test_no_byte_changes_what_is_signed_under_an_approved_name(request_file, reader, script_type):
    outcomes, idle = check_all(request_file, reader, SOME[script_type])
    assert sum(outcomes.values()) == SOME[script_type] * len(request_file)
    # Every kind of outcome was met, so the test looked where it should.
    for code in (
        "PSBT_ENCODING",
        "FIELD_FORBIDDEN",
        "PREVTX_TXID",
        "UTXO_CONFLICT",
        "PATH_MISMATCH",
        "SCRIPT_MISMATCH",
    ):
        assert outcomes[code], (code, outcomes)
    # In taproot no hash type is asked for, so that there is none to change; and the internal key has its own code.
    special = "TAPROOT_KEYPATH" if script_type is ScriptType.TR else "SIGHASH_FORBIDDEN"
    for code in (special, "OUTPUTS_NOT_REQUESTED", "another transfer", "the same"):
        assert outcomes[code], (code, outcomes)
    account_keys = places_of(request_file, Psbt.parse(request_file))
    assert all(at in account_keys for at in idle), sorted(at for at in idle if at not in account_keys)


@pytest.mark.campaign
def test_no_byte_changes_what_is_signed_under_an_approved_name_whatever_its_value(request_file, reader):
    outcomes, _ = check_all(request_file, reader, 255)
    assert sum(outcomes.values()) == 255 * len(request_file)


def test_no_byte_of_an_answer_is_taken_for_anything_but_the_same_signatures(forged):
    drafted = forged.draft()
    sent = forged.psbt(drafted)
    answer = forged.cast.signers[0].sign(sent.to_psbt())
    honest = accept(answer, sent, drafted, forged.vault, 0)
    assert [len(each.signatures) for each in honest] == [2]
    outcomes: Counter[str] = Counter()
    for at, mutant in mutants(answer.serialize(), 1):
        try:
            taken = accept(read_psbt_file(mutant), sent, drafted, forged.vault, 0)
        except CustodyError as error:
            outcomes[error.code] += 1
        else:
            assert taken == honest, (at, mutant[at])
            outcomes["the same"] += 1
    for code in ("PSBT_ENCODING", "FIELD_FORBIDDEN", "PREVTX_TXID", "COSIGNER_ALTERED", "SIG_INVALID"):
        assert outcomes[code], (code, outcomes)
