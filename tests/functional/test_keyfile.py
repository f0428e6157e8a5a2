"""A key file gives its secret to whoever knows the passphrase and to nobody else, and its key signs nothing blindly."""

import json
from dataclasses import replace

import pytest
from embit import bip32, ec
from embit.psbt import PSBT
from embit.script import Script

from custody.backends import keyfile
from custody.backends.files import read_file, write_new
from custody.backends.kernel import KernelJudge
from custody.backends.keyfile import (
    KeyFile,
    KeyFileHeader,
    KeyFileSigner,
    checksum_of,
    create_document_key,
    create_master_key,
    open_document_key,
)
from custody.bitcoin import curve
from custody.bitcoin.key_paths import KeyPath
from custody.bitcoin.lock import TapLeaf
from custody.bitcoin.profile import Direction, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.script import multisig_a_script, multisig_script, p2wpkh, p2wsh
from custody.bitcoin.sighash import SegwitV0, Taproot, tap_leaf_hash
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.envelope import Ed25519Signer, verify_ed25519
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.units import HARDENED, Network
from custody.vault.descriptor import Vault
from custody.vault.keys import Cosigner
from custody.vault.templates import ScriptType

PASSPHRASE = b"correct horse battery staple"
CHEAP = 2**4
"""scrypt's N where the work is not what is tested; regtest allows it."""
SEED = bytes(range(64))
OTHER_SEED = bytes(range(1, 65))
PLACES = ((0, 0), (0, 7), (1, 3))


def master_file(seed: bytes = SEED, name: str = "Cosigner A") -> KeyFile:
    return create_master_key(PASSPHRASE, name=name, network=Network.REGTEST, seed=seed, cost=CHEAP)


def document_file(seed: bytes = SEED[:32]) -> KeyFile:
    return create_document_key(PASSPHRASE, name="Officer Ada", network=Network.REGTEST, seed=seed, cost=CHEAP)


def forged(header: KeyFileHeader, ciphertext: bytes) -> KeyFile:
    """A file that somebody altered who knows how its checksum is made."""
    return KeyFile(header=header, ciphertext=ciphertext, checksum=checksum_of(header, ciphertext))


DOCUMENT_FILE = document_file().to_bytes()


def forged_from(data: dict) -> KeyFile:
    read = KeyFile.from_bytes(canonical(data))
    return forged(read.header, read.ciphertext)


@pytest.fixture(scope="module")
def signer() -> KeyFileSigner:
    return KeyFileSigner(master_file(), PASSPHRASE)


@pytest.fixture(scope="module")
def other() -> KeyFileSigner:
    return KeyFileSigner(master_file(OTHER_SEED), PASSPHRASE)


def path_of(script_type: ScriptType) -> tuple[int, ...]:
    return (*(HARDENED + n for n in (48, 1, 0)), script_type.bip48_script)


def vault_of(signers: list[KeyFileSigner], script_type: ScriptType = ScriptType.WSH) -> Vault:
    cosigners = [Cosigner(f"Cosigner {n}", *each.account_key(path_of(script_type))) for n, each in enumerate(signers)]
    return Vault.create(2, cosigners, script_type, Network.REGTEST)


def transfer_from(vault: Vault) -> TransferPsbt:
    """A transfer that spends three coins of the vault, each from a previous transaction of its own."""
    spending, inputs = [], []
    for n, (branch, index) in enumerate(PLACES):
        coin = TxOut(100_000 + n, vault.script_pubkey(branch, index))
        source = TxIn(OutPoint(bytes([n + 1]) * 32, 0), b"", 0xFFFFFFFD)
        previous = Transaction(2, (source,), (TxOut(1, b"\x6a"), coin), 0)
        spending.append(TxIn(OutPoint(previous.txid, 1), b"", 0xFFFFFFFD))
        own = vault.input_fields(branch, index)
        inputs.append(replace(own, previous_transaction=previous.serialize(), witness_utxo=coin))
    outputs = (TxOut(299_000, p2wpkh(b"\x05" * 20)),)
    return TransferPsbt(Transaction(2, tuple(spending), outputs, 0), (), tuple(inputs), (ProfileOutput(),))


def with_input(transfer: TransferPsbt, index: int, **changes: object) -> Psbt:
    inputs = list(transfer.inputs)
    inputs[index] = replace(inputs[index], **changes)
    return replace(transfer, inputs=tuple(inputs)).to_psbt()


# --- The file ---


def test_a_key_file_on_disk_gives_the_same_signer_again(tmp_path):
    path = tmp_path / "ada.key"
    write_new(path, document_file().to_bytes())
    opened = open_document_key(KeyFile.from_bytes(read_file(path, keyfile.MAX_KEY_FILE)), bytearray(PASSPHRASE))
    assert opened.public_key == Ed25519Signer(SEED[:32]).public_key
    assert verify_ed25519(opened.public_key, b"message", opened.sign(b"message"))


def test_the_header_says_whose_key_it_is_without_the_passphrase(signer):
    read = json.loads(master_file().to_bytes())["header"]
    assert (read["name"], read["purpose"], read["network"]) == ("Cosigner A", "coins", "regtest")
    assert read["identity"] == signer.fingerprint.hex()
    assert document_file().header.identity == Ed25519Signer(SEED[:32]).public_key


def test_the_default_cost_is_paid_once_and_opens():
    file = create_document_key(PASSPHRASE, name="Officer Ada", network=Network.MAIN)
    assert file.header.cost == 2**17
    assert open_document_key(file, PASSPHRASE).public_key == file.header.identity


def test_keys_drawn_at_random_differ_and_so_do_salts_and_nonces():
    files = [
        create_master_key(PASSPHRASE, name="Cosigner A", network=Network.REGTEST, cost=CHEAP) for _ in range(2)
    ] + [create_document_key(PASSPHRASE, name="Officer Ada", network=Network.REGTEST, cost=CHEAP) for _ in range(2)]
    for field in ("identity", "salt", "nonce"):
        assert len({getattr(file.header, field) for file in files}) == 4
    again = document_file(), document_file()
    assert again[0].header.identity == again[1].header.identity
    assert again[0].ciphertext != again[1].ciphertext


@pytest.mark.parametrize(
    "wrong", [b"", b"correct horse battery stapl", b"Correct horse battery staple", PASSPHRASE + b"\n"]
)
def test_another_passphrase_opens_nothing(wrong):
    with refuses("PASSPHRASE_WRONG"):
        open_document_key(document_file(), wrong)
    with refuses("PASSPHRASE_WRONG"):
        KeyFileSigner(master_file(), wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Officer Eve"},
        {"identity": b"\x01" * 32},
        {"cost": CHEAP * 2},
        {"salt": bytes(32)},
        {"nonce": bytes(12)},
    ],
)
def test_no_part_of_the_header_can_be_exchanged(change):
    file = document_file()
    values = {name: getattr(file.header, name) for name in type(file.header).model_fields} | change
    header = type(file.header)(**values)
    with refuses("PASSPHRASE_WRONG") as caught:
        open_document_key(forged(header, file.ciphertext), PASSPHRASE)
    # The cipher cannot tell a wrong passphrase from a file that somebody changed with care: neither is said to be so.
    assert "backup" in caught.error.advice()
    with refuses("KEY_FILE_DAMAGED"):
        open_document_key(KeyFile(header=header, ciphertext=file.ciphertext, checksum=file.checksum), PASSPHRASE)


def test_a_flipped_bit_of_the_ciphertext_is_found():
    file = document_file()
    for at in (0, 20, len(file.ciphertext) - 1):
        flipped = bytearray(file.ciphertext)
        flipped[at] ^= 0x80
        damaged = KeyFile(header=file.header, ciphertext=bytes(flipped), checksum=file.checksum)
        for passphrase in (PASSPHRASE, b"another passphrase"):
            with refuses("KEY_FILE_DAMAGED"):
                open_document_key(damaged, passphrase)
        with refuses("PASSPHRASE_WRONG"):
            open_document_key(forged(file.header, bytes(flipped)), PASSPHRASE)


def test_a_wrong_passphrase_is_never_said_to_be_an_altered_file():
    with refuses("PASSPHRASE_WRONG") as caught:
        open_document_key(document_file(), b"another passphrase")
    assert "altered" not in f"{caught.error} {caught.error.advice()}"
    assert "The file reads as it was written" in caught.error.advice()


def test_a_key_for_documents_signs_no_coins_and_the_other_way_round():
    with refuses("KEY_FILE_INVALID") as caught:
        KeyFileSigner(document_file(), PASSPHRASE)
    assert "for documents, not for coins" in str(caught.error)
    with refuses("KEY_FILE_INVALID") as caught:
        open_document_key(master_file(), PASSPHRASE)
    assert "for coins, not for documents" in str(caught.error)


def test_a_key_under_the_wrong_name_is_found_even_by_its_own_passphrase():
    header = document_file().header
    values = {name: getattr(header, name) for name in type(header).model_fields} | {"identity": b"\x01" * 32}
    made = keyfile._seal(SEED[:32], PASSPHRASE, type(header)(**values))
    with refuses("KEY_FILE_INVALID"):
        open_document_key(made, PASSPHRASE)


@pytest.mark.parametrize(
    ("cost", "network", "code"),
    [
        (2**26, "regtest", "LIMIT"),
        (2**52, "regtest", "LIMIT"),
        (2**20, "main", "LIMIT"),
        (2**14, "main", "KEY_FILE_WEAK"),
        (2**17 + 1, "main", "KEY_FILE_WEAK"),
        (1, "regtest", "KEY_FILE_WEAK"),
        (0, "regtest", "KEY_FILE_WEAK"),
    ],
)
def test_a_hostile_cost_is_refused_before_any_work_is_done(monkeypatch, cost, network, code):
    def never(**_: object) -> None:
        raise AssertionError("scrypt was started")

    monkeypatch.setattr(keyfile, "Scrypt", never)
    data = json.loads(DOCUMENT_FILE)
    data["header"] |= {"cost": cost, "network": network}
    with refuses(code):
        open_document_key(forged_from(data), PASSPHRASE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("kdf", "pbkdf2"),
        ("block_size", 2**30),
        ("parallel", 2**30),
        ("cipher", "none"),
        ("purpose", "anything"),
        ("cost", -1),
        ("salt", "00"),
    ],
)
def test_a_file_of_another_make_is_refused(field, value):
    data = json.loads(DOCUMENT_FILE)
    data["header"][field] = value
    with refuses("RECORD_INVALID"):
        KeyFile.from_bytes(canonical(data))


@pytest.mark.parametrize(("field", "value"), [("nonce", b"\x01" * 8), ("ciphertext", b"\x01" * 20)])
def test_a_nonce_or_a_ciphertext_of_another_size_is_refused(field, value):
    data = json.loads(DOCUMENT_FILE)
    (data["header"] if field == "nonce" else data)[field] = value.hex()
    with refuses("KEY_FILE_INVALID"):
        open_document_key(forged_from(data), PASSPHRASE)


def test_a_short_passphrase_is_for_regtest_only():
    with refuses("PASSPHRASE_SHORT"):
        create_document_key(b"eleven byte", name="Officer Ada", network=Network.SIGNET)
    with refuses("PASSPHRASE_SHORT"):
        create_document_key(b"", name="Officer Ada", network=Network.REGTEST, cost=CHEAP)


def test_a_weak_file_is_never_made_outside_regtest():
    with refuses("KEY_FILE_WEAK"):
        create_document_key(PASSPHRASE, name="Officer Ada", network=Network.SIGNET, cost=2**14)
    with refuses("LIMIT"):
        create_document_key(PASSPHRASE, name="Officer Ada", network=Network.SIGNET, cost=2**20)


@pytest.mark.parametrize("network", [Network.MAIN, Network.TESTNET4, Network.SIGNET])
def test_coins_outside_regtest_need_a_word_that_says_what_it_is(network):
    with refuses("NETWORK_UNSAFE"):
        create_master_key(PASSPHRASE, name="Cosigner A", network=network)
    file = create_master_key(
        PASSPHRASE, name="Cosigner A", network=network, seed=SEED, cost=2**15, unsafe_mainnet_key_file=True
    )
    with refuses("NETWORK_UNSAFE"):
        KeyFileSigner(file, PASSPHRASE)
    opened = KeyFileSigner(file, PASSPHRASE, unsafe_mainnet_key_file=True)
    assert opened.network is network
    _, key = opened.account_key(())
    assert str(key)[:4] == ("xpub" if network is Network.MAIN else "tpub")


def test_the_secret_is_in_no_repr_no_record_and_no_error(signer):
    chain = bip32.HDKey.from_seed(SEED)
    secrets = [SEED.hex(), chain.secret.hex(), repr(chain.secret), repr(SEED), chain.to_base58()]
    files = [master_file(), document_file()]
    shown = [repr(signer), str(signer), *map(repr, files), *(file.to_bytes().decode() for file in files)]
    shown += [repr(open_document_key(files[1], PASSPHRASE))]
    with refuses("PASSPHRASE_WRONG") as caught:
        KeyFileSigner(files[0], b"wrong")
    shown += [str(caught.error), repr(caught.error), caught.error.advice()]
    for size in (15, 65):
        with pytest.raises(ValueError, match="BIP 32 seed") as refused:
            create_master_key(PASSPHRASE, name="A", network=Network.REGTEST, seed=bytes(range(size)), cost=CHEAP)
        shown.append(str(refused.value))
    for secret in [*secrets, SEED[:32].hex(), bytes(range(15)).hex()]:
        assert not any(secret in each for each in shown)


# --- Deriving ---


@pytest.mark.parametrize("path", ["m", "m/0", "m/48h/1h/0h/2h", "m/87h/1h/2147483647h", "m/48h/1h/0h/2h/1/2147483647"])
def test_account_keys_are_those_that_embit_derives(signer, path):
    numbers = tuple(bip32.parse_path(path))
    origin, key = signer.account_key(numbers)
    expected = bip32.HDKey.from_seed(SEED).derive(path).to_public()
    assert key.to_bytes()[4:] == expected.serialize()[4:]
    assert (origin.fingerprint, origin.path) == (bip32.HDKey.from_seed(SEED).my_fingerprint, numbers)


def test_a_path_without_end_or_out_of_range_is_not_followed(signer):
    with refuses("SIGNER_REFUSED"):
        signer.account_key((0,) * 11)
    for number in (-1, 2**32):
        with refuses("INDEX_RANGE"):
            signer.account_key((number,))


# --- Signing ---


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
def test_every_input_is_signed_as_embit_signs_it(signer, other, script_type):
    vault = vault_of([signer, other], script_type)
    transfer = transfer_from(vault)
    signed = TransferPsbt.from_psbt(signer.sign(transfer.to_psbt()), Direction.FROM_SIGNER)
    oracle = PSBT.parse(transfer.to_psbt().serialize())
    assert oracle.sign_with(bip32.HDKey.from_seed(SEED)) == len(PLACES)
    midstate = SegwitV0(transfer.transaction)
    for index, (claims, theirs) in enumerate(zip(signed.inputs, oracle.inputs, strict=True)):
        ((key, signature),) = claims.signatures
        assert {public.sec(): each for public, each in theirs.partial_sigs.items()} == {key: signature}
        digest = midstate.digest(index, claims.witness_script, claims.witness_utxo.amount)
        assert curve.verify_ecdsa(key, digest, signature[:-1])


def test_every_taproot_input_is_signed_for_its_script_and_for_all_that_is_spent(signer, other):
    vault = vault_of([signer, other], ScriptType.TR)
    transfer = transfer_from(vault)
    signed = TransferPsbt.from_psbt(signer.sign(transfer.to_psbt()), Direction.FROM_SIGNER)
    oracle = PSBT.parse(transfer.to_psbt().serialize())
    spent = [claims.witness_utxo for claims in transfer.inputs]
    ours, theirs = Taproot(transfer.transaction, spent), [each.utxo for each in oracle.inputs]
    for index, (claims, (branch, place)) in enumerate(zip(signed.inputs, PLACES, strict=True)):
        ((key, signature),) = claims.signatures
        assert vault.holders(branch, place)[key].fingerprint == signer.fingerprint
        digest = ours.digest(index, leaf_hash=tap_leaf_hash(claims.leaf_script))
        assert digest == oracle.tx.sighash_taproot(
            index,
            [each.script_pubkey for each in theirs],
            [each.value for each in theirs],
            ext_flag=1,
            script=Script(claims.leaf_script),
        )
        assert len(signature) == 64
        assert ec.PublicKey.from_xonly(key).schnorr_verify(ec.SchnorrSig(signature), digest)


def test_the_finished_taproot_transaction_is_valid(signer, other):
    third = KeyFileSigner(master_file(bytes(32)), PASSPHRASE)
    vault = vault_of([signer, other, third], ScriptType.TR)
    transfer = transfer_from(vault)
    both = third.sign(signer.sign(transfer.to_psbt()))
    read = TransferPsbt.from_psbt(both, Direction.FROM_SIGNER)
    witness = tuple(
        vault.lock(*place).witness([dict(claims.signatures).get(key, b"") for key in vault.holders(*place)])
        for claims, place in zip(read.inputs, PLACES, strict=True)
    )
    finished = replace(transfer.transaction, witness=witness)
    spent = [claims.witness_utxo for claims in transfer.inputs]
    assert KernelJudge().judge(finished.serialize(), spent) is None
    lied = [*spent[:2], replace(spent[2], amount=spent[2].amount + 1)]
    assert KernelJudge().judge(finished.serialize(), lied) is not None


@pytest.mark.parametrize("script_type", ScriptType)
def test_signing_adds_signatures_and_changes_nothing_else(signer, other, script_type):
    transfer = transfer_from(vault_of([signer, other], script_type))
    one = signer.sign(transfer.to_psbt())
    both = other.sign(one)
    assert both == signer.sign(other.sign(transfer.to_psbt()))
    assert signer.sign(both) == both
    read = TransferPsbt.from_psbt(both, Direction.FROM_SIGNER)
    assert [len(each.signatures) for each in read.inputs] == [2, 2, 2]
    assert replace(read, inputs=tuple(replace(each, signatures=()) for each in read.inputs)) == transfer


def test_what_another_program_wrote_in_its_own_order_stays_so(signer, other):
    psbt = transfer_from(vault_of([signer, other])).to_psbt()
    theirs = replace(psbt, inputs=tuple(PsbtMap(reversed(each.pairs)) for each in psbt.inputs))
    signed = signer.sign(theirs)
    assert Psbt.parse(signed.serialize()) == signed
    for before, after in zip(theirs.inputs, signed.inputs, strict=True):
        assert [each for each in after.pairs if each in before.pairs] == list(before.pairs)
    ours = TransferPsbt.from_psbt(signer.sign(psbt), Direction.FROM_SIGNER)
    assert TransferPsbt.from_psbt(signed, Direction.FROM_SIGNER) == ours


def test_inputs_that_do_not_name_the_key_are_left_alone(signer, other):
    transfer = transfer_from(vault_of([signer, other]))
    foreign = tuple((key, path) for key, path in transfer.inputs[1].key_paths if path.fingerprint == other.fingerprint)
    signed = TransferPsbt.from_psbt(signer.sign(with_input(transfer, 1, key_paths=foreign)), Direction.FROM_SIGNER)
    assert [len(each.signatures) for each in signed.inputs] == [1, 0, 1]


def test_a_psbt_that_names_the_key_nowhere_is_refused(signer, other):
    stranger = KeyFileSigner(master_file(bytes(32)), PASSPHRASE)
    with refuses("SIGNER_REFUSED"):
        stranger.sign(transfer_from(vault_of([signer, other])).to_psbt())


def test_taproot_signs_what_every_input_spends_so_every_one_is_proved(signer, other):
    transfer = transfer_from(vault_of([signer, other], ScriptType.TR))
    foreign = tuple((key, path) for key, path in transfer.inputs[1].key_paths if path.fingerprint == other.fingerprint)
    told = transfer.inputs[1].witness_utxo
    with refuses("PREVTX_MISSING") as caught:
        signer.sign(with_input(transfer, 1, key_paths=foreign, previous_transaction=b""))
    assert caught.error.index == 1
    with refuses("UTXO_CONFLICT"):
        signer.sign(with_input(transfer, 1, key_paths=foreign, witness_utxo=replace(told, amount=told.amount + 1)))
    signed = TransferPsbt.from_psbt(signer.sign(with_input(transfer, 1, key_paths=foreign)), Direction.FROM_SIGNER)
    assert [len(each.signatures) for each in signed.inputs] == [1, 0, 1]


def test_taproot_fields_that_are_not_those_of_the_coin_are_refused(signer, other):
    vault = vault_of([signer, other], ScriptType.TR)
    transfer = transfer_from(vault)
    live = curve.public_key(b"\x01" * 32)[1:]
    weaker = multisig_a_script(1, list(vault.holders(0, 0)))
    for leaf in (TapLeaf(vault.lock(0, 0).script, live), TapLeaf(weaker, transfer.inputs[0].internal_key)):
        lied = leaf.input_fields(transfer.inputs[0].key_paths)
        told = {"previous_transaction": transfer.inputs[0].previous_transaction}
        with refuses("SIGNER_REFUSED"):
            signer.sign(replace(transfer, inputs=(replace(lied, **told), *transfer.inputs[1:])).to_psbt())
    for change in ({"internal_key": live}, {"control_block": b"\xc0" + live}, {"leaf_script": b"", "merkle_root": b""}):
        with refuses("SIGNER_REFUSED"):
            signer.sign(with_input(transfer, 0, **change))


def test_an_amount_without_its_previous_transaction_is_refused(signer, other):
    transfer = transfer_from(vault_of([signer, other]))
    with refuses("PREVTX_MISSING") as caught:
        signer.sign(with_input(transfer, 1, previous_transaction=b""))
    assert caught.error.index == 1


def test_another_previous_transaction_is_refused(signer, other):
    transfer = transfer_from(vault_of([signer, other]))
    with refuses("PREVTX_TXID"):
        signer.sign(with_input(transfer, 1, previous_transaction=transfer.inputs[0].previous_transaction))


@pytest.mark.parametrize("lie", [-1, 1])
def test_a_lie_about_an_amount_is_refused(signer, other, lie):
    transfer = transfer_from(vault_of([signer, other]))
    told = transfer.inputs[2].witness_utxo
    with refuses("UTXO_CONFLICT"):
        signer.sign(with_input(transfer, 2, witness_utxo=replace(told, amount=told.amount + lie)))


def test_a_previous_transaction_is_enough_without_a_witness_utxo(signer, other):
    transfer = transfer_from(vault_of([signer, other]))
    read = TransferPsbt.from_psbt(signer.sign(with_input(transfer, 0, witness_utxo=None)), Direction.FROM_SIGNER)
    whole = TransferPsbt.from_psbt(signer.sign(transfer.to_psbt()), Direction.FROM_SIGNER)
    assert read.inputs[0].signatures == whole.inputs[0].signatures


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
def test_scripts_that_are_not_those_of_the_coin_are_refused(signer, other, script_type):
    vault = vault_of([signer, other], script_type)
    transfer = transfer_from(vault)
    swapped = {"witness_script": b"\x51"}, {"witness_script": b""}, {"redeem_script": vault.witness_script(0, 0)}
    for change in (*swapped, {"witness_script": vault.witness_script(0, 1)}):
        with refuses("SIGNER_REFUSED"):
            signer.sign(with_input(transfer, 0, **change))


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.SH_WSH])
def test_one_of_the_same_two_keys_is_another_script(signer, other, script_type):
    vault = vault_of([signer, other], script_type)
    transfer = transfer_from(vault)
    weaker = multisig_script(1, sorted(vault.public_keys(0, 0)))
    redeem = p2wsh(weaker) if script_type is ScriptType.SH_WSH else b""
    with refuses("SIGNER_REFUSED"):
        signer.sign(with_input(transfer, 0, witness_script=weaker, redeem_script=redeem))


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.TR])
def test_a_key_that_the_path_does_not_give_is_refused(signer, other, script_type):
    vault = vault_of([signer, other], script_type)
    transfer = transfer_from(vault)
    paths = dict(transfer.inputs[0].key_paths)
    own = next(key for key, path in paths.items() if path.fingerprint == signer.fingerprint)
    for wrong in ((*paths[own].path[:-1], 9), (), (0,) * 3):
        origin = vault.lock(0, 0).key_path(KeyPath(signer.fingerprint, wrong))
        lied = tuple(sorted((paths | {own: origin}).items()))
        with refuses("SIGNER_REFUSED"):
            signer.sign(with_input(transfer, 0, key_paths=lied))


@pytest.mark.parametrize("script_type", [ScriptType.WSH, ScriptType.TR])
def test_a_key_that_is_not_in_the_script_signs_nothing(signer, other, script_type):
    vault = vault_of([signer, other], script_type)
    transfer = transfer_from(vault)
    path = (*path_of(script_type), 0, 500)
    lock = vault.lock(0, 0)
    stray = lock.key(signer.account_key(path)[1].public_key)
    origin = lock.key_path(KeyPath(signer.fingerprint, path))
    paths = tuple(sorted(((stray, origin), *transfer.inputs[0].key_paths)))
    with refuses("SIGNER_REFUSED"):
        signer.sign(with_input(transfer, 0, key_paths=paths))


@pytest.mark.parametrize("hash_type", [0, 2, 3, 0x81])
def test_only_whole_transactions_are_signed(signer, other, hash_type):
    transfer = transfer_from(vault_of([signer, other]))
    with refuses("SIGHASH_FORBIDDEN"):
        signer.sign(with_input(transfer, 0, sighash_type=hash_type))


@pytest.mark.parametrize("hash_type", [1, 2, 3, 0x81])
def test_only_whole_transactions_are_signed_by_taproot_keys(signer, other, hash_type):
    transfer = transfer_from(vault_of([signer, other], ScriptType.TR))
    with refuses("SIGHASH_FORBIDDEN"):
        signer.sign(with_input(transfer, 0, sighash_type=hash_type))
    # To ask for DEFAULT is to ask for what is done anyway.
    asked = TransferPsbt.from_psbt(signer.sign(with_input(transfer, 0, sighash_type=0)), Direction.FROM_SIGNER)
    silent = TransferPsbt.from_psbt(signer.sign(transfer.to_psbt()), Direction.FROM_SIGNER)
    assert asked.inputs[0].signatures == silent.inputs[0].signatures
