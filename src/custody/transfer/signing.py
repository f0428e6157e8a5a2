"""What a signer is asked, what may come back, and how the signatures of several cosigners meet.

A PSBT goes out as this library writes it and comes back as a device left it. From what comes back only new signatures
by this vault's keys are taken, each verified on our own signature hash; the returned file is never adopted, and one
that was changed in anything else is refused by name (THREATS B6). Whether a nonce is random cannot be seen in it; one
that was used before can (THREATS B8). The combined signatures are ours from the first byte.

What is signed, and how, is the lock's to say (`bitcoin/lock`).

Source: BIP 174, roles Signer and Combiner; BIP 371 for taproot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final, Protocol

from custody.bitcoin.curve import nonce_of
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.lock import Lock
from custody.bitcoin.profile import MAX_FILE, Direction, FieldForbidden, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.taproot import SCHNORR_SIGNATURE
from custody.bitcoin.transaction import PreviousTransaction
from custody.envelope import SigInvalid
from custody.errors import Refused
from custody.quorum import Tally
from custody.record import Digest, Fingerprint, HexBytes, Record
from custody.transfer.draft import Draft
from custody.units import Count, UnixTime
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import refuse_secrets
from custody.vault.ownership import PrevtxMissing, claims_of

MAX_PREVIOUS_TOTAL: Final = MAX_FILE - 2_000_000
"""Bytes that the previous transactions of one file may come to; what else a transfer says fits into the rest."""
_MOST_TEXT: Final = 1_000
"""Bytes of the longest field that is looked through for secrets written as text."""
_MOST_TEXTS: Final = 1_000_000
"""Bytes of all those fields together: the file may be made to keep us busy. What 700 inputs have fits into it."""


class CosignerAltered(Refused, code="COSIGNER_ALTERED"):
    """A returned PSBT that is not the one sent, plus signatures."""

    message = "the PSBT that came back differs in {what}"
    hint = (
        "Send the signing request again and have it signed anew; if it happens twice, suspect the machine it came from."
    )
    what: str


class NothingSigned(Refused, code="NOTHING_SIGNED"):
    """A returned PSBT without a single signature by this vault's keys."""

    message = "the PSBT that came back carries no signature by a cosigner of this vault"
    hint = "Check that the right device was used and that its holder confirmed: some report success without signing."


class SignaturesMissing(Refused, code="SIGNATURES_MISSING"):
    """Too few cosigners have signed."""

    message = "{given} of {threshold} cosigners have signed; these may still: {missing}"
    hint = "Carry the evidence file to another cosigner's station: custody-station sign EVIDENCE."
    given: int
    threshold: int
    missing: str


class NonceReuse(Refused, code="NONCE_REUSE"):
    """Two different signatures made with one nonce: from both of them a private key is computed."""

    message = "the signature of {cosigner} on input {input} repeats the nonce of another signature of this log"
    hint = (
        "Sign nothing more with that device, and have both signatures verified: the log is its coordinator's word. If "
        "both are true, whoever saw them has that key: move the coins to a vault without it, by the others' keys."
    )
    cosigner: str
    input: int


class SigningFileTooLarge(Refused, code="SIGNING_FILE"):
    """A transfer whose file would be larger than anybody reads, since every input carries its previous transaction."""

    message = "the previous transactions of {inputs} inputs come to {size} bytes; a signing file holds {most}"
    hint = (
        "Withdraw the draft (custody transfer cancel), and move these coins in several transfers of fewer inputs: "
        "payments take as few as they need."
    )
    inputs: int
    size: int
    most: int


class SignerNondeterministic(Refused, code="SIGNER_NONDETERMINISTIC"):
    """A signer that was asked twice for the same transfer, and signed it in two ways."""

    message = "asked twice for the same transfer, {cosigner} signed input {input} in two ways"
    hint = (
        "Nothing it signed has left this machine, and nothing should: its nonces are not those of RFC 6979, and may "
        "carry its seed out. Find out what runs on it. A device that mixes in the computer's chance to prevent just "
        "that (anti-exfil) differs each time as well: the charter must not call it deterministic."
    )
    cosigner: str
    input: int


class SigningRequested(Record):
    """Signatures were asked for: from here on limits count, and the transfer ends only by another spend.

    `evidence` is the digest of the evidence body that went to the stations.
    """

    kind: ClassVar[str] = "signing-requested"

    transfer: Digest
    evidence: Digest
    at: UnixTime


class InputSignature(Record):
    """One cosigner's signature on one input: DER and hash type byte, or Schnorr when the key is x-only."""

    kind: ClassVar[str] = "input-signature"

    input: Count
    public_key: HexBytes
    signature: HexBytes


class SignedPsbt(Record):
    """What one cosigner contributed: a verified signature on every input."""

    kind: ClassVar[str] = "signed"

    transfer: Digest
    cosigner: Fingerprint
    signatures: tuple[InputSignature, ...]
    at: UnixTime


class CombinedPsbt(Record):
    """Whose signatures are enough together, and those signatures, by input and then by public key.

    The PSBT itself is not kept: `combined_psbt` writes it again from the draft, byte for byte.
    """

    kind: ClassVar[str] = "combined"

    transfer: Digest
    cosigners: tuple[Fingerprint, ...]
    signatures: tuple[InputSignature, ...]
    at: UnixTime


class UsedNonce(Protocol):
    """The signature that a nonce was used in."""

    @property
    def public_key(self) -> bytes: ...

    @property
    def signature(self) -> bytes: ...


class KnownNonces(Protocol):
    """The signatures that are known, each under its nonce."""

    def get(self, nonce: bytes, /) -> UsedNonce | None:
        """The one that this nonce (r, 32 bytes) was used in."""


def signing_psbt(drafted: Draft, vault: Vault, previous: Mapping[bytes, bytes]) -> TransferPsbt:
    """The PSBT that goes to a signer: everything a device needs to check what it signs, and nothing else.

    `previous` gives raw previous transactions by txid (internal byte order).

    Raises:
        PrevtxMissing: one is not there.
        SigningFileTooLarge: they would make a file that nobody takes back.
    """
    transaction = drafted.transaction
    inputs: list[ProfileInput] = []
    for index, (spending, spent, seat) in enumerate(
        zip(transaction.inputs, drafted.identity.spent, drafted.seats, strict=True)
    ):
        raw = previous.get(spending.outpoint.txid)
        if raw is None:
            raise PrevtxMissing(index=index)
        own = vault.input_fields(seat.branch, seat.index)
        inputs.append(replace(own, previous_transaction=raw, witness_utxo=spent.output))
    size = sum(len(each.previous_transaction) for each in inputs)
    if size > MAX_PREVIOUS_TOTAL:
        raise SigningFileTooLarge(inputs=len(inputs), size=size, most=MAX_PREVIOUS_TOTAL)
    change = None if drafted.change is None else vault.script_pubkey(Branch.CHANGE, drafted.change)
    outputs = tuple(
        claims_of(vault, Branch.CHANGE, drafted.change)
        if drafted.change is not None and output.script_pubkey == change
        else ProfileOutput()
        for output in transaction.outputs
    )
    return TransferPsbt(
        transaction=transaction, account_keys=account_keys(vault), inputs=tuple(inputs), outputs=outputs
    )


def account_keys(vault: Vault) -> tuple[tuple[bytes, KeyPath], ...]:
    """The vault's xpubs with their origins, for devices that want them (BIP 174, PSBT_GLOBAL_XPUB)."""
    return tuple(
        sorted(
            (cosigner.key.to_bytes(), KeyPath(cosigner.origin.fingerprint, cosigner.origin.path))
            for cosigner in vault.cosigners
        )
    )


def read_answer(returned: Psbt) -> TransferPsbt:
    """What a returned file says, which may be no more than fields of a transfer.

    Raises:
        FieldForbidden, SighashForbidden, TaprootKeypath, LimitExceeded: as `TransferPsbt.from_psbt`.
        SecretMaterial: a field is refused that holds a private key or a mnemonic.
    """
    try:
        return TransferPsbt.from_psbt(returned, Direction.FROM_SIGNER)
    except FieldForbidden:
        _refuse_secret_text(returned)
        raise


def accept(returned: Psbt, sent: TransferPsbt, drafted: Draft, vault: Vault, now: int) -> tuple[SignedPsbt, ...]:
    """The signatures that `returned` adds, by cosigner, each on every input and each verified.

    Raises:
        FieldForbidden, SighashForbidden, SecretMaterial: as `read_answer`.
        CosignerAltered, SigInvalid, NothingSigned: as `accept_read`.
    """
    return accept_read(read_answer(returned), sent, drafted, vault, now)


def accept_read(
    content: TransferPsbt, sent: TransferPsbt, drafted: Draft, vault: Vault, now: int
) -> tuple[SignedPsbt, ...]:
    """The same of a file that `read_answer` has read: reading it may take long, and needs no lock.

    Raises:
        CosignerAltered: anything but signatures differs from what was sent.
        SigInvalid: a signature by a key that is not a cosigner's there, or one that does not verify.
        NothingSigned: no signature at all.
    """
    _refuse_altered(content, sent)
    sighashes = drafted.sighashes()
    by_cosigner: dict[bytes, list[InputSignature]] = {}
    places = vault.places((seat.branch, seat.index) for seat in drafted.seats)
    for index, (claims, place) in enumerate(zip(content.inputs, places, strict=True)):
        if not claims.signatures:
            continue
        given = dict(claims.signatures)
        if not given.keys() <= place.holders.keys():
            # Not shown: whoever wrote the file chose these bytes.
            raise SigInvalid(whose="a stranger", problem=f"that key is no cosigner's at input {index}")
        digest = place.lock.digest(sighashes, index)
        # By the vault's own keys, not by those that came back: equal, but these still have their points.
        for public_key, cosigner in place.holders.items():
            if public_key in given:
                signature = given[public_key]
                check_signature(place.lock, public_key, digest, signature, index)
                by_cosigner.setdefault(cosigner.fingerprint, []).append(
                    InputSignature(input=index, public_key=bytes(public_key), signature=signature)
                )
    if not by_cosigner:
        raise NothingSigned
    for fingerprint, signatures in by_cosigner.items():
        if len(signatures) != len(content.inputs):
            missing = set(range(len(content.inputs))) - {each.input for each in signatures}
            raise CosignerAltered(
                what=f"the signature of {fingerprint.hex()} on input {min(missing)}, which is missing"
            )
    return tuple(
        SignedPsbt(transfer=drafted.transfer_id, cosigner=fingerprint, signatures=tuple(signatures), at=now)
        for fingerprint, signatures in sorted(by_cosigner.items())
    )


def check_signature(lock: Lock, public_key: bytes, digest: bytes, signature: bytes, index: int) -> None:
    """Check one signature on input `index` as its lock asks: its encoding, its hash type, and that it is true.

    Raises:
        SigInvalid: it is not good.
    """
    problem = lock.fault(public_key, digest, signature)
    if problem is not None:
        raise SigInvalid(whose=public_key.hex(), problem=f"{problem} (input {index})")


def nonces(signed: SignedPsbt) -> Iterator[tuple[bytes, InputSignature]]:
    """Each signature under its nonce (r, 32 bytes), ECDSA's and Schnorr's alike: one key may sign by both.

    What is neither has none: it can be in no transaction.
    """
    for each in signed.signatures:
        try:
            yield nonce_of(each.signature[:-1]), each
        except ValueError:
            if len(each.signature) == SCHNORR_SIGNATURE:
                yield each.signature[: SCHNORR_SIGNATURE // 2], each


def refuse_repeated_nonces(signed: Iterable[SignedPsbt], known: KnownNonces) -> None:
    """Check that no nonce of `signed` stands in another signature, there or in `known`.

    The same signature again gives nothing away: devices that sign by RFC 6979 give it every time.

    Raises:
        NonceReuse: one does.
    """
    fresh: dict[bytes, InputSignature] = {}
    for contribution in signed:
        for nonce, each in nonces(contribution):
            earlier = known.get(nonce) or fresh.setdefault(nonce, each)
            if (earlier.public_key, earlier.signature) != (each.public_key, each.signature):
                raise NonceReuse(cosigner=contribution.cosigner.hex(), input=each.input)


def refuse_unlike(first: Iterable[SignedPsbt], second: Iterable[SignedPsbt]) -> None:
    """Check that one signer, asked twice for the same transfer, gave the same signatures to the byte.

    RFC 6979 makes a nonce from key and message alone. Whoever wants a low R tries again with a counter beside them
    (libsecp256k1's extra data), which is as fixed. So ECDSA signatures differ only by chance or on purpose; Schnorr
    ones may take fresh chance each time (BIP 340), and prove nothing here.

    Raises:
        SignerNondeterministic: they differ.
    """
    again = {(each.cosigner, s.input, s.public_key): s.signature for each in second for s in each.signatures}
    for each in first:
        for one in each.signatures:
            if again.get((each.cosigner, one.input, one.public_key)) != one.signature:
                raise SignerNondeterministic(cosigner=each.cosigner.hex(), input=one.input)


def combine(drafted: Draft, vault: Vault, signed: Sequence[SignedPsbt], now: int) -> CombinedPsbt:
    """The signatures of exactly as many cosigners as the vault needs, the first in its order.

    Raises:
        SignaturesMissing: too few cosigners signed.
    """
    tally = signed_tally(vault, signed)
    if not tally.is_met:
        raise SignaturesMissing(
            given=len(tally.acted),
            threshold=tally.threshold,
            missing=vault.shown(tally.missing),
        )
    chosen = tally.acted[: tally.threshold]
    first = {each.cosigner: each for each in reversed(signed)}
    signatures = (signature for fingerprint in chosen for signature in first[fingerprint].signatures)
    return CombinedPsbt(
        transfer=drafted.transfer_id,
        cosigners=tuple(sorted(chosen)),
        # Sorted by bytes that were made for it: a pair would send the processor to its two parts at every comparison.
        signatures=tuple(sorted(signatures, key=lambda each: each.input.to_bytes(8, "big") + each.public_key)),
        at=now,
    )


def with_signatures(signatures: Iterable[InputSignature], sent: TransferPsbt) -> TransferPsbt:
    """The PSBT that was sent, with these signatures in it: with enough of them any wallet can finalize it."""
    found: list[list[tuple[bytes, bytes]]] = [[] for _ in sent.inputs]
    for each in signatures:
        found[each.input].append((each.public_key, each.signature))
    inputs = tuple([claims.with_signatures(tuple(sorted(own))) for claims, own in zip(sent.inputs, found, strict=True)])
    return replace(sent, inputs=inputs)


def signed_tally(vault: Vault, signed: Iterable[SignedPsbt]) -> Tally[bytes]:
    """Which cosigners, by fingerprint, have signed and who may still."""
    return vault.quorum.tally(each.cosigner for each in signed)


def _refuse_secret_text(returned: Psbt) -> None:
    """Look for extended private keys, WIF and mnemonics in the short fields of a file that is refused anyway."""
    fields = bytearray()
    for each in (returned.global_map, *returned.inputs, *returned.outputs):
        for key, value in each.pairs:
            if len(value) <= _MOST_TEXT:
                fields += key[:_MOST_TEXT] + b" " + value + b"\n"
        if len(fields) > _MOST_TEXTS:
            break
    # A zero may be half of a letter in UTF-16, or end the number that stands before the text.
    for text in (bytes(fields[:_MOST_TEXTS]), bytes(fields[:_MOST_TEXTS]).replace(b"\0", b" ")):
        refuse_secrets(text, where="PSBT that came back")


def _refuse_altered(content: TransferPsbt, sent: TransferPsbt) -> None:
    """Everything but signatures is as it was sent. A field the device dropped is no alteration; a changed one is."""
    if content.transaction.stripped() != sent.transaction.stripped():
        raise CosignerAltered(what="the transaction itself")
    if content.account_keys and content.account_keys != sent.account_keys:
        raise CosignerAltered(what="the vault's account keys")
    for index, (got, gave) in enumerate(zip(content.inputs, sent.inputs, strict=True)):
        if got.final_script_sig or got.final_witness:
            raise CosignerAltered(what=f"input {index}, which came back finalized")
        if got.previous_transaction and not _is_same_previous(got.previous_transaction, gave.previous_transaction):
            raise CosignerAltered(what=f"the previous transaction of input {index}")
        if got.witness_utxo is not None and got.witness_utxo != gave.witness_utxo:
            raise CosignerAltered(what=f"the amount or script of input {index}")
        _refuse_altered_claims(f"input {index}", got, gave)
    for index, (got_output, gave_output) in enumerate(zip(content.outputs, sent.outputs, strict=True)):
        _refuse_altered_claims(f"output {index}", got_output, gave_output)


def _refuse_altered_claims(where: str, got: ProfileInput | ProfileOutput, gave: ProfileInput | ProfileOutput) -> None:
    for (what, value), (_, expected) in zip(got.scripts, gave.scripts, strict=True):
        if value and value != expected:
            raise CosignerAltered(what=f"the {what} of {where}")
    if got.key_paths and got.key_paths != gave.key_paths:
        raise CosignerAltered(what=f"the key paths of {where}")


def _is_same_previous(raw: bytes, expected: bytes) -> bool:
    """A device may return a previous transaction without its witness; it is the same transaction then."""
    return raw == expected or PreviousTransaction(raw).txid == PreviousTransaction(expected).txid
