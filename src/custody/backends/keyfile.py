"""How is a secret kept in a file, and how does a key from such a file sign?

Two kinds of secret, one format: an Ed25519 key that signs documents (officer, coordinator, witness), and a BIP 32
master key that signs coins as a software cosigner. A key file on a general-purpose machine is no hardware wallet: coins
of any network but regtest need the word `unsafe_mainnet_key_file`.

The rules:

1. The file is one record. Its header says in clear what the key is for and which key it is; the secret is encrypted
   under a key made from the passphrase, with the header's bytes as associated data, so no part of it can be exchanged.
2. The work that opening costs is bounded before it begins: a hostile file cannot ask for 64 GiB.
3. After decryption the public part is computed again and compared with the header.
   Before it a checksum tells a file that was damaged from a passphrase that is wrong: a cipher cannot, and somebody who
   is told the one when it is the other gives up a good key. Who alters a file on purpose makes its checksum anew: the
   cipher then refuses it.
4. The secret stands in no error, no repr and no record.
5. A key file signs only what BIP 174 lets a signer sign: the amount comes from the previous transaction, the scripts
   hash to what is spent, and the key that is named is the key that the path gives. Whose coins these are, and whether
   they should move, is for the station to examine first.

It reads and writes bytes, no files; `backends/files.py` does that. Python cannot wipe memory, and this does not try.

Sources: RFC 7914 (scrypt), RFC 8439 (ChaCha20-Poly1305), RFC 8032 (Ed25519), BIP 32, BIP 174, BIP 371.
"""

from __future__ import annotations

import functools
import hmac
import secrets
from enum import StrEnum
from typing import ClassVar, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from custody.bitcoin import curve
from custody.bitcoin.key_paths import KeyPath, paths_of
from custody.bitcoin.lock import Lock, lock_of
from custody.bitcoin.profile import Direction, ProfileInput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.sighash import Sighashes
from custody.bitcoin.transaction import OutPoint, PreviousTransaction, TxOut
from custody.bounds import LimitExceeded
from custody.envelope import Ed25519Signer
from custody.errors import InvalidInput, Refused
from custody.ports import SignerRefused
from custody.record import Digest, FileRecord, HexBytes, Record, Text, tagged_hash
from custody.units import HARDENED, Count, Network
from custody.vault.keys import AccountKey, KeyOrigin, fingerprint, show_path
from custody.vault.ownership import PrevtxMissing, UtxoConflict

MAX_KEY_FILE: Final = 16 * 1024
"""Bytes a key file may have."""
DEFAULT_COST: Final = 2**17
"""scrypt's N: 128 MiB and some tenths of a second for each guess at the passphrase."""
LEAST_COST: Final = 2**15
LEAST_TEST_COST: Final = 2
MOST_COST: Final = 2**19
"""512 MiB."""
LEAST_PASSPHRASE: Final = 12
MAX_PATH: Final = 10
"""Steps of the longest derivation path that is followed."""


class PassphraseWrong(InvalidInput, code="PASSPHRASE_WRONG"):
    """The passphrase does not open the key file."""

    message = "this passphrase does not open the key file {name!r}"
    hint = (
        "Type it again, and check the keyboard's layout and language. The file reads as it was written; if you are "
        "sure of the passphrase, try it on the file's backup, in case somebody changed this one on purpose."
    )
    name: str


class KeyFileDamaged(InvalidInput, code="KEY_FILE_DAMAGED"):
    """A key file in which something is not as it was written."""

    message = "the key file {name!r} is damaged: its checksum is not that of what stands in it"
    hint = "No passphrase opens it like this, and yours may be right. Use the file's backup, from another medium."
    name: str


class PassphraseShort(InvalidInput, code="PASSPHRASE_SHORT"):
    """A passphrase that is quickly guessed."""

    message = "a passphrase of {size} bytes is too short; this key file needs {least}"
    hint = "Use six or more words chosen by dice."
    size: int
    least: int


class KeyFileInvalid(InvalidInput, code="KEY_FILE_INVALID"):
    """A key file for something else, or one that holds another key than it says."""

    message = "the key file {name!r} cannot be used: {problem}"
    hint = "Check which file you gave; a key file is for documents or for coins, on one network."
    name: str
    problem: str


class KeyFileWeak(InvalidInput, code="KEY_FILE_WEAK"):
    """A key file whose passphrase could be guessed too cheaply."""

    message = "scrypt cost N={cost} is no power of two from {least} on"
    hint = "Make the key file with the default cost. Weaker ones are for tests on regtest only."
    cost: int
    least: int


class NetworkUnsafe(Refused, code="NETWORK_UNSAFE"):
    """Coins with value, and a key that lies in a file."""

    message = "a key file signs coins on regtest only, and this one is for {network}"
    hint = "Use a hardware signer. Whoever accepts the risk has to say so: --unsafe-mainnet-key-file."
    network: str


class Purpose(StrEnum):
    """What a key file's secret is for."""

    DOCUMENTS = "documents"
    COINS = "coins"


class KeyFileHeader(Record):
    """What anybody may read of a key file, and nobody may change.

    `identity` is the raw Ed25519 public key (32 bytes) or the master key's fingerprint (4 bytes). `cost` is scrypt's N.
    """

    kind: ClassVar[str] = "key-file-header"

    version: Literal[1]
    purpose: Purpose
    network: Network
    name: Text
    identity: HexBytes
    kdf: Literal["scrypt"]
    cost: Count
    block_size: Literal[8]
    parallel: Literal[1]
    salt: Digest
    cipher: Literal["chacha20-poly1305"]
    nonce: HexBytes


class KeyFile(FileRecord):
    """A key file: `to_bytes()` is what stands on disk. The ciphertext ends in its 16-byte tag.

    `checksum` is over header and ciphertext; anybody can make it.
    """

    kind: ClassVar[str] = "key-file"

    header: KeyFileHeader
    ciphertext: HexBytes
    checksum: Digest


def create_document_key(
    passphrase: bytes | bytearray, *, name: str, network: Network, seed: bytes | None = None, cost: int = DEFAULT_COST
) -> KeyFile:
    """A key file with an Ed25519 key. `seed` is its 32-byte private key; None draws one.

    Raises:
        PassphraseShort, KeyFileWeak, LimitExceeded: the passphrase or the cost will not do.
        ValueError: the seed is not 32 bytes. It is not shown.
    """
    secret = secrets.token_bytes(32) if seed is None else seed
    return _seal(secret, passphrase, _header(Purpose.DOCUMENTS, network, name, Ed25519Signer(secret).public_key, cost))


def create_master_key(
    passphrase: bytes | bytearray,
    *,
    name: str,
    network: Network,
    seed: bytes | None = None,
    cost: int = DEFAULT_COST,
    unsafe_mainnet_key_file: bool = False,
) -> KeyFile:
    """A key file with a BIP 32 master key. `seed` is 16 to 64 bytes, as from a mnemonic; None draws 32.

    Raises:
        NetworkUnsafe: another network than regtest, and the caller has not accepted that.
        PassphraseShort, KeyFileWeak, LimitExceeded: the passphrase or the cost will not do.
        ValueError: the seed has another size. It is not shown.
    """
    _check_network(network, unsafe_mainnet_key_file=unsafe_mainnet_key_file)
    master = _master(secrets.token_bytes(32) if seed is None else seed)
    identity = fingerprint(master.public_key)
    return _seal(master.secret + master.chain_code, passphrase, _header(Purpose.COINS, network, name, identity, cost))


def open_document_key(file: KeyFile, passphrase: bytes | bytearray) -> Ed25519Signer:
    """The signer inside.

    Raises:
        KeyFileDamaged: something in the file is not what it was.
        PassphraseWrong: the passphrase is another, or the file was altered on purpose.
        KeyFileInvalid: it is a key for coins.
        KeyFileWeak, LimitExceeded: its scrypt cost is out of bounds.
    """
    signer = Ed25519Signer(_open(file, passphrase, Purpose.DOCUMENTS, 32))
    _check_identity(file.header, signer.public_key)
    return signer


class KeyFileSigner:
    """A software cosigner. Implements `Signer`.

    Raises:
        NetworkUnsafe: the file is for another network than regtest, and the caller has not accepted that.
        KeyFileDamaged: something in the file is not what it was.
        PassphraseWrong: the passphrase is another, or the file was altered on purpose.
        KeyFileInvalid: it is a key for documents.
        KeyFileWeak, LimitExceeded: its scrypt cost is out of bounds.
    """

    __slots__ = ("_fingerprint", "_network", "_nodes")

    def __init__(self, file: KeyFile, passphrase: bytes | bytearray, *, unsafe_mainnet_key_file: bool = False) -> None:
        _check_network(file.header.network, unsafe_mainnet_key_file=unsafe_mainnet_key_file)
        secret = _open(file, passphrase, Purpose.COINS, 64)
        master = _Node(secret[:32], secret[32:])
        self._network = file.header.network
        self._fingerprint = fingerprint(master.public_key)
        self._nodes: dict[tuple[int, ...], _Node] = {(): master}
        _check_identity(file.header, self._fingerprint)

    def __repr__(self) -> str:
        return f"KeyFileSigner({self._fingerprint.hex()})"

    @property
    def fingerprint(self) -> bytes:
        """The master key's fingerprint, 4 bytes."""
        return self._fingerprint

    @property
    def network(self) -> Network:
        """The network its coins are on."""
        return self._network

    def account_key(self, path: tuple[int, ...]) -> tuple[KeyOrigin, AccountKey]:
        """The extended public key at `path` (raw child numbers) and its origin.

        Raises:
            SignerRefused: the path is longer than 10 steps.
            IndexRange: a child number does not fit in 32 bits.
        """
        origin = KeyOrigin(self._fingerprint, path)
        node = self._node(path)
        key = AccountKey(
            public_key=node.public_key,
            chain_code=node.chain_code,
            depth=len(path),
            parent_fingerprint=fingerprint(self._node(path[:-1]).public_key) if path else bytes(4),
            child_number=path[-1] if path else 0,
            network_version=self._network.xpub_version,
        )
        return origin, key

    def sign(self, psbt: Psbt) -> Psbt:
        """`psbt`, all else as it came, with a signature wherever this key's fingerprint is named.

        Signatures sign the whole transaction: ECDSA with ALL in segwit v0, Schnorr with DEFAULT in taproot. They are
        the same on every run. It is linear in the inputs.

        Raises:
            SignerRefused: no input names this key, or one names it for a key or a script that it is not.
            PrevtxMissing, PrevtxTxid, PrevtxOutput, UtxoConflict: an amount without proof; in taproot of any input,
                since all of them are signed.
            FieldForbidden, SighashForbidden: what `TransferPsbt.from_psbt` refuses.
        """
        psbt.check_previous()
        transfer = TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER)
        spending = transfer.transaction.inputs
        spent = functools.cache(lambda index: _spent(index, spending[index].outpoint, transfer.inputs[index]))
        sighashes = Sighashes(transfer.transaction, spent)
        signatures: list[list[tuple[bytes, bytes]]] = [[] for _ in transfer.inputs]
        for index, claims in enumerate(transfer.inputs):
            own = paths_of(claims.key_paths, self._fingerprint)
            if not own:
                continue
            lock = self._lock(index, claims, spent(index))
            digest = lock.digest(sighashes, index)
            signatures[index] = [
                (lock.signature_field(key), lock.sign(self._secret(index, lock, key, path), digest))
                for key, path in own
            ]
        if not any(signatures):
            raise self._refused("no input names its key")
        return psbt.with_signatures(signatures)

    def _secret(self, index: int, lock: Lock, key: bytes, path: KeyPath) -> bytes:
        """The secret key at `path`, which must be that of `key`, a key of the script that is signed for."""
        steps = path.path
        if not steps:
            raise self._refused(f"input {index} names the master key itself")
        secret, _ = self._node(steps[:-1]).child(steps[-1])
        if lock.key(curve.public_key(secret)) != key:
            raise self._refused(f"input {index} names another key for the path m{show_path(steps)}")
        if key not in lock.script:
            raise self._refused(f"input {index} names a key that is not in its script")
        return secret

    def _lock(self, index: int, claims: ProfileInput, spent: TxOut) -> Lock:
        """What locks the coin; its scripts hash to what is spent. Source: BIP 174, Data Signers Check For."""
        lock = lock_of(claims)
        if lock is None or lock.script_pubkey != spent.script_pubkey:
            raise self._refused(f"the scripts of input {index} are not those of the coin it spends")
        return lock

    def _node(self, path: tuple[int, ...]) -> _Node:
        """The key at `path`. Parents are kept: one transfer has one account and two branches."""
        if len(path) > MAX_PATH:
            raise self._refused(f"a derivation path has {len(path)} steps, more than {MAX_PATH}")
        node = self._nodes.get(path)
        if node is None:
            node = _Node(*self._node(path[:-1]).child(path[-1]))
            if len(self._nodes) < _MAX_NODES:
                self._nodes[path] = node
        return node

    def _refused(self, reason: str) -> SignerRefused:
        return SignerRefused(fingerprint=self._fingerprint.hex(), reason=reason)


_MAX_NODES: Final = 1000
_NONCE_SIZE: Final = 12
_SEED_SIZES: Final = range(16, 65)


class _Node:
    """A BIP 32 private key: `secret` and `chain_code`, 32 bytes each."""

    __slots__ = ("_branch", "chain_code", "public_key", "secret")

    def __init__(self, secret: bytes, chain_code: bytes) -> None:
        self.secret = secret
        self.chain_code = chain_code
        self.public_key = curve.public_key(secret)
        self._branch = hmac.new(chain_code, self.public_key, "sha512")

    def child(self, number: int) -> tuple[bytes, bytes]:
        """Secret and chain code of a child. Source: BIP 32, private parent key to private child key."""
        if number >= HARDENED:
            digest = hmac.digest(self.chain_code, b"\x00" + self.secret + number.to_bytes(4, "big"), "sha512")
        else:
            # Fed with the parent's key once and copied for each child.
            branch = self._branch.copy()
            branch.update(number.to_bytes(4, "big"))
            digest = branch.digest()
        return curve.add_secret(self.secret, digest[:32]), digest[32:]


def _master(seed: bytes) -> _Node:
    """The master key of `seed`. Source: BIP 32, master key generation."""
    if len(seed) not in _SEED_SIZES:
        raise ValueError("a BIP 32 seed has 16 to 64 bytes")
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    return _Node(digest[:32], digest[32:])


def _spent(index: int, outpoint: OutPoint, claims: ProfileInput) -> TxOut:
    """The output that is spent, from the previous transaction, whose txid has been checked."""
    # A lie about one input's amount is harmless to that input's signature, and turns two honest ones into a fee.
    if not claims.previous_transaction:
        raise PrevtxMissing(index=index)
    spent = PreviousTransaction(claims.previous_transaction).output(outpoint.index)
    if spent is None:
        raise PrevtxMissing(index=index)
    if claims.witness_utxo is not None and claims.witness_utxo != spent:
        raise UtxoConflict(
            index=index, claimed=f"{claims.witness_utxo.amount} sat", actual=f"{spent.amount} sat, or another script"
        )
    return spent


def _check_network(network: Network, *, unsafe_mainnet_key_file: bool) -> None:
    if network is not Network.REGTEST and not unsafe_mainnet_key_file:
        raise NetworkUnsafe(network=network.value)


def _header(purpose: Purpose, network: Network, name: str, identity: bytes, cost: int) -> KeyFileHeader:
    return KeyFileHeader(
        version=1,
        purpose=purpose,
        network=network,
        name=name,
        identity=identity,
        kdf="scrypt",
        cost=cost,
        block_size=8,
        parallel=1,
        salt=secrets.token_bytes(32),
        cipher="chacha20-poly1305",
        nonce=secrets.token_bytes(_NONCE_SIZE),
    )


def _seal(secret: bytes, passphrase: bytes | bytearray, header: KeyFileHeader) -> KeyFile:
    least = 1 if header.network is Network.REGTEST else LEAST_PASSPHRASE
    if len(passphrase) < least:
        raise PassphraseShort(size=len(passphrase), least=least)
    cipher = ChaCha20Poly1305(_derive(header, passphrase))
    ciphertext = cipher.encrypt(header.nonce, secret, header.to_bytes())
    return KeyFile(header=header, ciphertext=ciphertext, checksum=checksum_of(header, ciphertext))


def checksum_of(header: KeyFileHeader, ciphertext: bytes) -> bytes:
    """The checksum of a key file with these, 32 bytes."""
    return tagged_hash("custody/key-file-checksum/v1", header.digest() + ciphertext)


def refuse_other_purpose(file: KeyFile, purpose: Purpose) -> None:
    """Pass when the key in `file` is for this; it need not be opened to be asked.

    Raises:
        KeyFileInvalid: it is for something else.
    """
    header = file.header
    if header.purpose is not purpose:
        raise KeyFileInvalid(name=header.name, problem=f"it is for {header.purpose.value}, not for {purpose.value}")


def _open(file: KeyFile, passphrase: bytes | bytearray, purpose: Purpose, size: int) -> bytes:
    header = file.header
    if checksum_of(header, file.ciphertext) != file.checksum:
        raise KeyFileDamaged(name=header.name)
    refuse_other_purpose(file, purpose)
    if len(header.nonce) != _NONCE_SIZE or len(file.ciphertext) != size + 16:
        raise KeyFileInvalid(name=header.name, problem="its nonce or its ciphertext has another size")
    try:
        return ChaCha20Poly1305(_derive(header, passphrase)).decrypt(header.nonce, file.ciphertext, header.to_bytes())
    except InvalidTag:
        raise PassphraseWrong(name=header.name) from None


def _derive(header: KeyFileHeader, passphrase: bytes | bytearray) -> bytes:
    """The encryption key, 32 bytes. Its cost is checked first, since it takes 1 KiB of memory for each unit of N."""
    least = LEAST_TEST_COST if header.network is Network.REGTEST else LEAST_COST
    if header.cost > MOST_COST:
        raise LimitExceeded(what="rounds of scrypt", count=header.cost, most=MOST_COST)
    if header.cost < least or header.cost.bit_count() != 1:
        raise KeyFileWeak(cost=header.cost, least=least)
    kdf = Scrypt(salt=header.salt, length=32, n=header.cost, r=header.block_size, p=header.parallel)
    return kdf.derive(passphrase)


def _check_identity(header: KeyFileHeader, identity: bytes) -> None:
    if identity != header.identity:
        raise KeyFileInvalid(name=header.name, problem="it holds another key than it says")
