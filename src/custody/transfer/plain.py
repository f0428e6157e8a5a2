"""How does a transfer leave for other software as a plain PSBT, and how does what that gives back become signatures?

A plain PSBT has no charter, no approvals and no log in it: whoever signs it judges by a screen alone. So it leaves once
signatures were asked for, which is when limits count, and with enough of them to be sent only once it was released. It
asks for no hash type, since absent means the whole transaction and some software refuses the one it would use anyway.

Stations give back what was sent, plus signatures. Other software also finishes inputs, returns a network transaction,
or describes outputs that it knows. Here that becomes the form that `signing` judges, and nothing else is judged: a
witness is taken apart into signatures that are true and must be, put together again, the witness that it was; what is
said of an output is left out only if it is true. A cosigner counts with a signature on every input, or not at all.

Sources: BIP 174 (roles; absent hash type), BIP 370 (version 2 is read), BIP 371.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from custody.bitcoin.lock import Lock
from custody.bitcoin.profile import MAX_FILE, MAX_MAPS, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt, read_psbt_file
from custody.bitcoin.transaction import Transaction
from custody.bounds import LimitExceeded
from custody.charter.document import Charter
from custody.envelope import SigInvalid
from custody.errors import Refused
from custody.transfer.draft import Draft
from custody.transfer.signing import CosignerAltered, read_answer, signed_tally, with_signatures
from custody.transfer.state import Transfer
from custody.units import MAX_TRANSACTION_WEIGHT
from custody.vault.descriptor import Vault
from custody.vault.ownership import own_place

_DIGITS: Final = b"0123456789abcdefABCDEF"


class SignaturesNotAsked(Refused, code="SIGNATURES_NOT_ASKED"):
    """A plain PSBT of a transfer that nobody may sign yet."""

    message = "transfer {transfer} is {status}: no PSBT of it leaves before signatures are asked for"
    hint = (
        "Whoever has a PSBT can sign it anywhere, and limits count from the request on. When the officers have agreed: "
        "custody transfer evidence TRANSFER --for sign -o FILE."
    )
    transfer: str
    status: str


class NotReleased(Refused, code="NOT_RELEASED"):
    """A plain PSBT that anybody could send, of a transfer that may not be sent yet."""

    message = "{signed} of {threshold} cosigners have signed transfer {transfer}, which is {status} and not released"
    hint = "Whoever has that file can send it, so it leaves after the last check: custody transfer release TRANSFER."
    transfer: str
    status: str
    signed: int
    threshold: int


class FinalWitness(Refused, code="FINAL_WITNESS"):
    """A finished input that this vault's lock and its cosigners' signatures do not make."""

    message = "input {index} came back finished, and {problem}"
    hint = "Import each cosigner's own file instead. If those are refused too, suspect the machine this came from."
    index: int
    problem: str


class SignersDiffer(Refused, code="SIGNERS_DIFFER"):
    """Finished inputs that were not signed by the same cosigners."""

    message = (
        "the inputs were finished with different cosigners' signatures ({signers}); none of them signed every input"
    )
    hint = "Import the files from before they were joined, or have exactly as many cosigners sign as the vault needs."
    signers: str


def leaving(transfer: Transfer, vault: Vault, sent: TransferPsbt) -> TransferPsbt:
    """The PSBT `sent` to signers, with the signatures that are known, as other software takes it.

    Raises:
        SignaturesNotAsked: it must not be signed yet.
        NotReleased: it has enough signatures and must not be sent yet.
    """
    if transfer.signing is None:
        raise SignaturesNotAsked(transfer=transfer.id.hex(), status=transfer.status)
    tally = signed_tally(vault, transfer.signed)
    if tally.is_met and transfer.release is None:
        raise NotReleased(
            transfer=transfer.id.hex(), status=transfer.status, signed=len(tally.acted), threshold=tally.threshold
        )
    known = (each for signed in transfer.signed for each in signed.signatures)
    signed = with_signatures(transfer.combined.signatures if transfer.combined else known, sent)
    return replace(signed, inputs=tuple(replace(each, sighash_type=None) for each in signed.inputs))


def read_returned(data: bytes) -> Psbt:
    """What software gives back: a PSBT, binary or base64, or the network transaction in hexadecimal, as a PSBT.

    Raises:
        LimitExceeded: larger than any transfer.
        PsbtEncoding, PrevtxTxid, PrevtxOutput, SecretMaterial: as `custody.bitcoin.psbt.read_psbt_file`.
        TransactionEncoding: hexadecimal digits that are no transaction.
    """
    if len(data) > MAX_FILE:
        raise LimitExceeded(what="bytes of a transfer file", count=len(data), most=MAX_FILE)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if line.translate(None, _DIGITS) or len(line) % 2 or not line:
        return read_psbt_file(data, most=MAX_MAPS)
    raw = bytes.fromhex(line.decode("ascii"))
    if len(raw) > MAX_TRANSACTION_WEIGHT:
        raise LimitExceeded(what="bytes of a transaction", count=len(raw), most=MAX_TRANSACTION_WEIGHT)
    finished = Transaction.parse(raw)
    stacks = finished.witness or ((),) * len(finished.inputs)
    pairs = zip(finished.inputs, stacks, strict=True)
    return TransferPsbt(
        transaction=finished.without_script_sigs(),
        account_keys=(),
        inputs=tuple(ProfileInput(final_script_sig=each.script_sig, final_witness=stack) for each, stack in pairs),
        outputs=tuple(ProfileOutput() for _ in finished.outputs),
    ).to_psbt()


@dataclass(frozen=True, slots=True)
class Returned:
    """What software gave back, in the form of a station's answer: in `psbt` each signature stands under its key.

    `partial` are the fingerprints of cosigners whose signatures stood on some inputs only, and are left out.
    """

    psbt: Psbt
    partial: tuple[bytes, ...]


def as_answer(returned: Psbt, drafted: Draft, charter: Charter) -> Returned:
    """Put what any software gave back for `drafted` into the form of a station's answer; `signing.accept` judges it.

    Raises:
        FieldForbidden, SighashForbidden, TaprootKeypath, LimitExceeded, SecretMaterial: as `signing.read_answer`.
        CosignerAltered: it is about another transaction.
        FinalWitness: a finished input is not this vault's, or has more or fewer signatures than it takes.
        SigInvalid: a signature in a finished input is no cosigner's there, or not true.
        SignersDiffer: finished inputs have no cosigner in common.
    """
    content = read_answer(returned)
    if content.transaction.stripped() != drafted.identity.transactions[0]:
        raise CosignerAltered(what="the transaction itself")
    _, vault = charter.vault_by_id(drafted.identity.vault)
    vaults = [charter.vault(entry.name) for entry in charter.vaults]
    inputs = _unfinished(content.inputs, drafted, vault)
    partial: tuple[bytes, ...] = ()
    if inputs != content.inputs:
        inputs, partial = _by_whole_cosigners(inputs, drafted, vault)
    # What a wallet rightly says of outputs that it knows, payees among them, is left out; what is false stays, to be
    # refused.
    outputs = tuple(
        ProfileOutput() if any(own_place(index, paid, claims, each) for each in vaults) else claims
        for index, (paid, claims) in enumerate(zip(content.transaction.outputs, content.outputs, strict=True))
    )
    return Returned(replace(content, inputs=inputs, outputs=outputs).to_psbt(), partial)


# --- finished inputs --------------------------------------------------------------------------------------------------


def _unfinished(inputs: Sequence[ProfileInput], drafted: Draft, vault: Vault) -> tuple[ProfileInput, ...]:
    """The inputs, those that were finished with their signatures under their keys instead."""
    sighashes = drafted.sighashes()
    unfinished: list[ProfileInput] = []
    for index, (claims, seat) in enumerate(zip(inputs, drafted.seats, strict=True)):
        if not claims.final_witness and not claims.final_script_sig:
            unfinished.append(claims)
            continue
        lock, keys = vault.lock(seat.branch, seat.index), tuple(vault.holders(seat.branch, seat.index))
        found = _signatures_in(claims, lock, keys, lock.digest(sighashes, index), index)
        if len(found) != vault.threshold:
            problem = f"holds {len(found)} signatures, where this vault takes exactly {vault.threshold}"
            raise FinalWitness(index=index, problem=problem)
        for key, signature in claims.signatures:
            # Two signatures by one key on one message are how a nonce is used twice (THREATS B8): nobody needs them.
            if found.setdefault(key, signature) != signature:
                raise FinalWitness(index=index, problem=f"another signature by {key.hex()} stands beside it")
        # A finaliser drops what names the leaf, which each signature of taproot is kept under.
        root = claims.merkle_root or lock.input_fields().merkle_root
        bare = replace(claims, final_script_sig=b"", final_witness=(), merkle_root=root)
        unfinished.append(bare.with_signatures(tuple(sorted(found.items()))))
    return tuple(unfinished)


def _signatures_in(
    claims: ProfileInput, lock: Lock, keys: Sequence[bytes], digest: bytes, index: int
) -> dict[bytes, bytes]:
    """The signatures of a final witness by the keys that made them; each is verified."""
    if claims.final_script_sig != lock.script_sig:
        raise FinalWitness(index=index, problem="its scriptSig is not what this vault's script takes")
    frame = frozenset(lock.witness([b""] * len(keys)))
    if not frame <= {b"", *claims.final_witness}:
        raise FinalWitness(index=index, problem="its witness does not hold this vault's script")
    found: dict[bytes, bytes] = {}
    for signature in (item for item in claims.final_witness if item not in frame):
        key = next((key for key in keys if key not in found and lock.fault(key, digest, signature) is None), None)
        if key is None:
            # Not shown: whoever wrote the file chose these bytes.
            raise SigInvalid(whose="a stranger", problem=f"no cosigner made it for input {index} of this transaction")
        found[key] = signature
    if lock.witness([found.get(key, b"") for key in keys]) != claims.final_witness:
        raise FinalWitness(index=index, problem="its witness is put together differently from this vault's")
    return found


def _by_whole_cosigners(
    inputs: Sequence[ProfileInput], drafted: Draft, vault: Vault
) -> tuple[tuple[ProfileInput, ...], tuple[bytes, ...]]:
    """The inputs without the signatures of cosigners who are missing on one of them, and those cosigners.

    Of more signatures than it needs a finaliser takes the first in the order of the script, which differs from input
    to input. Keys that are nobody's stay where they are, to be refused.
    """
    holders = [_fingerprints(vault, seat.branch, seat.index) for seat in drafted.seats]
    signers = [
        {own[key] for key, _ in claims.signatures if key in own} for claims, own in zip(inputs, holders, strict=True)
    ]
    everyone, whole = set[bytes]().union(*signers), set[bytes].intersection(*signers)
    if everyone and not whole:
        raise SignersDiffer(signers=_listed(everyone))
    partial = everyone - whole
    kept = (
        claims.with_signatures(tuple(each for each in claims.signatures if own.get(each[0]) not in partial))
        for claims, own in zip(inputs, holders, strict=True)
    )
    return tuple(kept), tuple(sorted(partial))


def _fingerprints(vault: Vault, branch: int, index: int) -> Mapping[bytes, bytes]:
    return {key: cosigner.fingerprint for key, cosigner in vault.holders(branch, index).items()}


def _listed(fingerprints: Iterable[bytes]) -> str:
    return ", ".join(sorted(each.hex() for each in fingerprints))
