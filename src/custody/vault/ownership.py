"""What a PSBT says about this vault's money, and whether every word of it is true.

Nothing a PSBT claims is believed. An amount comes only from a previous transaction whose txid is the outpoint's; a
script must be byte-equal to the vault's own derivation; the place of a key must be the same for all cosigners. An
output is the vault's own only when its script is the vault's own at the place it claims, on the change branch;
otherwise it is somebody else's, whatever its fields say (THREATS A1 to A6, A10, A11). In taproot the internal key is
the vault's own too, so that no other way to spend is agreed to (THREATS F7).

Source: BIP 174, "Data Signers Check For", made strict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.profile import ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import PrevtxOutput, PrevtxTxid
from custody.bitcoin.taproot import TaprootKeypath
from custody.bitcoin.transaction import OutPoint, PreviousTransaction, TxOut
from custody.errors import Refused
from custody.units import check_amount
from custody.vault.descriptor import Branch, Vault


class PrevtxMissing(Refused, code="PREVTX_MISSING"):
    """An input without its previous transaction."""

    message = "input {index} carries no previous transaction"
    hint = "Ask for a PSBT with previous transactions: without them an amount is only a claim (CVE-2020-14199)."
    index: int


class UtxoConflict(Refused, code="UTXO_CONFLICT"):
    """A witness UTXO that differs from the previous transaction's output."""

    message = "input {index} claims {claimed}, but its previous transaction says {actual}"
    hint = "Do not sign: somebody is lying about an amount or a script."
    index: int
    claimed: str
    actual: str


class ForeignInput(Refused, code="FOREIGN_INPUT"):
    """An input that is not this vault's."""

    message = "input {index} ({outpoint}) is not this vault's"
    hint = "Do not sign: a transfer spends one vault's coins only."
    index: int
    outpoint: OutPoint


class PathMismatch(Refused, code="PATH_MISMATCH"):
    """Key paths that disagree with each other or with the vault."""

    message = "{what} {index}: {problem}"
    hint = "Do not sign: all keys sit at one branch and index, or somebody could hold the money to ransom."
    what: str
    index: int
    problem: str


class ScriptMismatch(Refused, code="SCRIPT_MISMATCH"):
    """A script, or what commits to one, that is not the vault's own."""

    message = "input {index} has another {which} than the vault's at {branch}/{place}"
    hint = "Do not sign: the script was swapped."
    index: int
    which: str
    branch: int
    place: int


class DupInput(Refused, code="DUP_INPUT"):
    """One coin spent twice in one transaction."""

    message = "{outpoint} is spent by input {first} and again by input {second}"
    hint = "Do not sign, and draft again: a transaction that spends a coin twice is invalid."
    outpoint: OutPoint
    first: int
    second: int


class FeeNegative(Refused, code="FEE_NEGATIVE"):
    """Outputs worth more than inputs, or no fee at all."""

    message = "inputs come to {spent} sat and outputs to {paid} sat: a fee of {fee} sat"
    hint = "Draft again: a transaction pays a fee above zero."
    spent: int
    paid: int
    fee: int


@dataclass(frozen=True, slots=True)
class OwnInput:
    """An input that is the vault's: what it is worth and where it sits."""

    outpoint: OutPoint
    output: TxOut
    branch: int
    index: int


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """An output; `change` is its index on the vault's change branch, or None when it is somebody else's."""

    output: TxOut
    change: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a PSBT moves, in sats, every claim in it checked against the vault."""

    inputs: tuple[OwnInput, ...]
    outputs: tuple[ReadOutput, ...]
    fee: int

    @property
    def spent(self) -> tuple[TxOut, ...]:
        """The outputs spent, in the order of the inputs."""
        return tuple(each.output for each in self.inputs)


def read_ownership(psbt: TransferPsbt, vault: Vault) -> Reading:
    """Check all that `psbt` says against `vault` and tell what it moves.

    Raises:
        PrevtxMissing, PrevtxTxid, PrevtxOutput, UtxoConflict: amounts without proof.
        ForeignInput, PathMismatch, ScriptMismatch: inputs or claims that are not the vault's.
        TaprootKeypath: an input of another internal key than the vault's.
        DupInput, FeeNegative, AmountRange: impossible money.
    """
    seen: dict[OutPoint, int] = {}
    parsed: dict[bytes, PreviousTransaction] = {}
    inputs: list[OwnInput] = []
    for index, (spending, claims) in enumerate(zip(psbt.transaction.inputs, psbt.inputs, strict=True)):
        first = seen.setdefault(spending.outpoint, index)
        if first != index:
            raise DupInput(outpoint=spending.outpoint, first=first, second=index)
        output = _spent_output(index, spending.outpoint, claims, parsed)
        branch, place = _claimed_place("input", index, claims.key_paths, vault)
        if output.script_pubkey != vault.script_pubkey(branch, place):
            raise ForeignInput(index=index, outpoint=spending.outpoint)
        _check_key_paths("input", index, claims.key_paths, vault, branch, place)
        _check_scripts(index, claims, vault, branch, place)
        inputs.append(OwnInput(spending.outpoint, output, branch, place))
    outputs = tuple(
        ReadOutput(output, _change_index(index, output, claims, vault))
        for index, (output, claims) in enumerate(zip(psbt.transaction.outputs, psbt.outputs, strict=True))
    )
    spent = sum(each.output.amount for each in inputs)
    paid = sum(check_amount(each.output.amount) for each in outputs)
    if paid >= spent:
        raise FeeNegative(spent=spent, paid=paid, fee=spent - paid)
    return Reading(tuple(inputs), outputs, spent - paid)


def spent_outputs(psbt: TransferPsbt) -> tuple[TxOut, ...]:
    """What each input spends, from a previous transaction with the right txid and from nothing else.

    Raises:
        PrevtxMissing, PrevtxTxid, PrevtxOutput, UtxoConflict, AmountRange: an amount without proof.
    """
    parsed: dict[bytes, PreviousTransaction] = {}
    pairs = zip(psbt.transaction.inputs, psbt.inputs, strict=True)
    return tuple(
        _spent_output(index, spending.outpoint, claims, parsed) for index, (spending, claims) in enumerate(pairs)
    )


def claims_of(vault: Vault, branch: int, index: int) -> ProfileOutput:
    """What a PSBT output tells a device about the vault's own script at this place."""
    return vault.output_fields(branch, index)


def own_place(index: int, output: TxOut, claims: ProfileOutput, vault: Vault) -> tuple[int, int] | None:
    """(branch, index) at which output number `index` is truly the vault's own, all that is said of it being true.

    None otherwise: a claim that is not true makes the output somebody else's. Only its own derivation counts: other
    order, other threshold, other script type all end here.
    """
    if not claims.key_paths:
        return None
    try:
        branch, place = _claimed_place("output", index, claims.key_paths, vault)
    except PathMismatch:
        return None
    if output.script_pubkey != vault.script_pubkey(branch, place):
        return None
    own = claims_of(vault, branch, place)
    claimed = zip(claims.scripts, own.scripts, strict=True)
    is_true = all(given in (b"", expected) for (_, given), (_, expected) in claimed)
    return (branch, place) if is_true and set(claims.key_paths) <= set(own.key_paths) else None


def _spent_output(
    index: int, outpoint: OutPoint, claims: ProfileInput, parsed: dict[bytes, PreviousTransaction]
) -> TxOut:
    """The output this input spends, from a previous transaction with the right txid. Each is hashed once."""
    raw = claims.previous_transaction
    if not raw:
        raise PrevtxMissing(index=index)
    previous = parsed.get(raw)
    if previous is None:
        previous = parsed[raw] = PreviousTransaction(raw)
    if previous.txid != outpoint.txid:
        raise PrevtxTxid(index=index, outpoint=outpoint, actual=previous.txid[::-1].hex())
    output = previous.output(outpoint.index)
    if output is None:
        raise PrevtxOutput(index=index, outpoint=outpoint, outputs=previous.output_count)
    if claims.witness_utxo is not None and claims.witness_utxo != output:
        raise UtxoConflict(index=index, claimed=_show(claims.witness_utxo), actual=_show(output))
    check_amount(output.amount)
    return output


def _show(output: TxOut) -> str:
    return f"{output.amount} sat at {output.script_pubkey.hex()[:80]}"


def _claimed_place(what: str, index: int, key_paths: Iterable[tuple[bytes, KeyPath]], vault: Vault) -> tuple[int, int]:
    """(branch, index) at which all key paths say the script sits; they must all agree, in whatever order they stand."""
    accounts = vault.accounts
    places: set[tuple[int, ...]] = set()
    for _, path in key_paths:
        account = accounts.get(path.fingerprint)
        if account is None:
            raise PathMismatch(what=what, index=index, problem=f"{path.fingerprint.hex()} is no cosigner of this vault")
        if path.path[: len(account)] != account:
            raise PathMismatch(
                what=what, index=index, problem=f"{path.fingerprint.hex()} is given another account path"
            )
        places.add(path.path[len(account) :])
    if not places:
        raise PathMismatch(what=what, index=index, problem="names no cosigner's key")
    if len(places) > 1:
        raise PathMismatch(what=what, index=index, problem="places its cosigners' keys differently")
    place = places.pop()
    if len(place) != 2 or place[0] not in (Branch.RECEIVE, Branch.CHANGE) or place[1] >= 2**31:  # noqa: PLR2004 - branch/index
        shown = "/".join(str(step) for step in place)
        raise PathMismatch(what=what, index=index, problem=f"sits at {shown!r}, not at branch 0 or 1 and an index")
    return place[0], place[1]


def _check_key_paths(
    what: str, index: int, key_paths: tuple[tuple[bytes, KeyPath], ...], vault: Vault, branch: int, place: int
) -> None:
    own = dict(vault.key_paths(branch, place))
    for public_key, path in key_paths:
        if own.get(public_key) != path:
            raise PathMismatch(what=what, index=index, problem=f"key {public_key.hex()} is not {path}'s")


def _check_scripts(index: int, claims: ProfileInput, vault: Vault, branch: int, place: int) -> None:
    own = vault.lock(branch, place).input_fields()
    # First: it is the one script-like field that decides who may spend without any script.
    if claims.internal_key and claims.internal_key != own.internal_key:
        problem = f"its internal key {claims.internal_key.hex()} is not the vault's at {branch}/{place}"
        raise TaprootKeypath(where=f"input {index}", problem=problem)
    for (which, given), (_, expected) in zip(claims.scripts, own.scripts, strict=True):
        if given != expected:
            raise ScriptMismatch(index=index, which=which, branch=branch, place=place)


def _change_index(index: int, output: TxOut, claims: ProfileOutput, vault: Vault) -> int | None:
    """The change index of an output that is the vault's own, or None.

    A false claim does not make the PSBT invalid, since any output may be a payee's.
    """
    place = own_place(index, output, claims, vault)
    return None if place is None or place[0] != Branch.CHANGE else place[1]
