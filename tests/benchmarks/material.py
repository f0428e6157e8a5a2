"""What is worked on: one 3-of-5 `wsh` vault on regtest, and transfers of any number of inputs from it.

Each input spends a coin of its own, at an address of its own, from a previous transaction of its own with two inputs
and two outputs, which the PSBT carries. Everything comes from seeds, so two runs work on the same bytes. Everybody gets
the same file.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from custody.backends.keyfile import KeyFileSigner
from custody.bitcoin import script
from custody.bitcoin.profile import TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.cast import cosigner_key, secret, vault_of
from custody.transfer.draft import Draft, Seat, SpentOutput, TransferIdentity
from custody.transfer.signing import CombinedPsbt, SignedPsbt, accept, combine, signing_psbt, with_signatures
from custody.transfer.verify import finalize
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType

COSIGNERS = ("astana", "almaty", "shymkent", "aktau", "taraz")
THRESHOLD = 3
SEQUENCE = 0xFFFFFFFD
AMOUNT = 100_000
"""Sats of the smallest coin."""
FEE = 300
"""Sats for each input, about 1 sat/vB."""
_TPRV = bytes.fromhex("04358394")


def make_vault(script_type: ScriptType = ScriptType.WSH) -> tuple[Vault, tuple[KeyFileSigner, ...]]:
    """The vault and its signers, in its order."""
    return vault_of(COSIGNERS, THRESHOLD, script_type)


def fresh(vault: Vault) -> Vault:
    """The same vault as a program that has just started reads it: nothing of it derived yet."""
    return Vault.parse(vault.descriptor, vault.network)


def derived(vault: Vault, count: int) -> Vault:
    """The same vault in a program that has already seen its first `count` receive addresses."""
    vault = fresh(vault)
    for _ in vault.places((Branch.RECEIVE, index) for index in range(count)):
        pass
    return vault


@functools.cache
def master_xprv(name: str) -> str:
    """The regtest master key of a cosigner, for peers that sign from one (BIP 32)."""
    signer = cosigner_key(name)
    master = signer._nodes[()]
    return script.base58check_encode(_TPRV + bytes(9) + master.chain_code + b"\x00" + master.secret)


def descriptor(vault: Vault, branch: int, private: str = "") -> str:
    """The vault's descriptor of one branch, without checksum; with `private`, that cosigner's key is the master's."""
    text = vault.descriptor.partition("#")[0].replace("<0;1>", str(branch))
    for cosigner in vault.cosigners:
        if cosigner.name == private:
            master = master_xprv(private) + str(cosigner.origin).strip("[]")[8:]
            text = text.replace(cosigner.expression(), master)
    return text


@dataclass(frozen=True)
class Transfer:
    """A transfer of `size` inputs at every station of the route from request to finished transaction."""

    size: int
    vault: Vault
    signers: tuple[KeyFileSigner, ...]
    drafted: Draft
    previous: dict[bytes, bytes]
    """Raw previous transactions by txid."""
    sent: TransferPsbt
    unsigned: Psbt
    returned: tuple[Psbt, ...]
    signed: tuple[SignedPsbt, ...]
    combined: CombinedPsbt
    whole: Psbt
    """The PSBT with three signatures on every input."""
    final: bytes
    """The finished transaction."""


def make_transfer(size: int) -> Transfer:
    """A transfer of `size` inputs, signed by three."""
    vault, signers = make_vault()
    drafted, previous = _draft(vault, size)
    sent = signing_psbt(drafted, vault, previous)
    unsigned = Psbt.parse(sent.to_psbt().serialize())
    with any_weight():
        returned = tuple(signer.sign(unsigned) for signer in signers[:THRESHOLD])
        signed = tuple(accept(each, sent, drafted, vault, 0)[0] for each in returned)
    combined = combine(drafted, vault, signed, 0)
    whole = with_signatures(combined.signatures, sent).to_psbt()
    final = finalize(combined, drafted, vault).serialize()
    return Transfer(size, vault, signers, drafted, previous, sent, unsigned, returned, signed, combined, whole, final)


@contextmanager
def any_weight() -> Iterator[None]:
    """Lift the cap of 400,000 weight units: 10,000 inputs are a size for codecs, not for a transfer."""
    defaults = TransferPsbt.from_psbt.__func__.__kwdefaults__  # type: ignore[attr-defined]
    cap = defaults["max_weight"]
    defaults["max_weight"] = 1 << 40
    try:
        yield
    finally:
        defaults["max_weight"] = cap


def _draft(vault: Vault, size: int) -> tuple[Draft, dict[bytes, bytes]]:
    """A draft that spends the first `size` receive addresses, and its previous transactions by txid."""
    previous: dict[bytes, bytes] = {}
    spending: list[TxIn] = []
    spent: list[SpentOutput] = []
    for index, locked in enumerate(vault.scripts(Branch.RECEIVE, 0, size)):
        sources = tuple(TxIn(OutPoint(_seed("source", index, n), n), b"", SEQUENCE) for n in range(2))
        coin = TxOut(AMOUNT + index, locked)
        rest = TxOut(50 * AMOUNT, script.p2wpkh(_seed("rest", index)[:20]))
        transaction = Transaction(2, sources, (coin, rest), 0)
        previous[transaction.txid] = transaction.serialize()
        spending.append(TxIn(OutPoint(transaction.txid, 0), b"", SEQUENCE))
        spent.append(SpentOutput(txid=transaction.txid, vout=0, amount=coin.amount, script_pubkey=locked))
    total = sum(each.amount for each in spent)
    paid = TxOut(total // 2, script.p2wpkh(_seed("payee")[:20]))
    change = TxOut(total - paid.amount - FEE * size, vault.script_pubkey(Branch.CHANGE, 0))
    transaction = Transaction(2, tuple(spending), (paid, change), 0)
    identity = TransferIdentity(
        network=Network.REGTEST,
        vault=vault.id,
        charter=_seed("charter"),
        request=_seed("request"),
        transactions=(transaction.stripped(),),
        spent=tuple(spent),
    )
    seats = tuple(Seat(branch=Branch.RECEIVE, index=index) for index in range(size))
    drafted = Draft(
        identity=identity,
        seats=seats,
        change=0,
        destinations=(),
        rate=1000,
        long_term_rate=1000,
        left=(),
        height=0,
        at=0,
    )
    return drafted, previous


def _seed(*label: object) -> bytes:
    return hashlib.sha256(secret(f"benchmark {label}")).digest()
