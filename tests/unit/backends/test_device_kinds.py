"""Each kind of device gets the PSBT it can take, and its holder is told what it will ask."""

from dataclasses import replace

import pytest

from custody.backends.hwi.kinds import (
    KINDS,
    AccountKeys,
    Registration,
    address_descriptor,
    enrolment_text,
    kind_of,
    notes,
    prepare,
    quorum_of,
    shown_script,
)
from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.bitcoin.script import address, p2wpkh
from custody.bitcoin.sighash import ALL
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from custody.testing.asserts import refuses
from custody.testing.cast import cosigner_key, vault_of
from custody.transfer.signing import account_keys
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.templates import ScriptType

NAMES = ("astana", "almaty", "shymkent")


@pytest.fixture(scope="module")
def vault() -> Vault:
    return vault_of(NAMES, 2)[0]


@pytest.fixture(scope="module")
def nested() -> Vault:
    return vault_of(NAMES, 2, ScriptType.SH_WSH)[0]


def transfer_from(vault: Vault, places: tuple[tuple[int, int], ...] = ((0, 0),), size: int = 0) -> TransferPsbt:
    """A transfer that spends one coin at each place; `size` makes previous transactions longer by so many bytes."""
    spending, inputs = [], []
    for number, (branch, index) in enumerate(places):
        coin = TxOut(100_000, vault.script_pubkey(branch, index))
        source = TxIn(OutPoint(bytes([number + 1]) * 32, 0), b"\x00" * size, 0xFFFFFFFD)
        previous = Transaction(2, (source,), (coin,), 0)
        spending.append(TxIn(OutPoint(previous.txid, 0), b"", 0xFFFFFFFD))
        inputs.append(
            ProfileInput(
                previous_transaction=previous.serialize(),
                witness_utxo=coin,
                witness_script=vault.witness_script(branch, index),
                redeem_script=vault.redeem_script(branch, index),
                key_paths=vault.key_paths(branch, index),
                sighash_type=ALL,
            )
        )
    transaction = Transaction(2, tuple(spending), (TxOut(90_000, p2wpkh(b"\x05" * 20)),), 0)
    return TransferPsbt(transaction, account_keys(vault), tuple(inputs), (ProfileOutput(),))


def read(psbt: Psbt) -> TransferPsbt:
    return TransferPsbt.from_psbt(Psbt.parse(psbt.serialize()), Direction.TO_SIGNER)


def size_of(psbt: Psbt) -> int:
    return len(psbt.serialize())


# --- The PSBT ---


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_kind_gets_version_0_with_previous_transactions_and_no_signature(vault, kind):
    sent = transfer_from(vault)
    signed = TransferPsbt.from_psbt(cosigner_key("almaty").sign(sent.to_psbt()), Direction.FROM_SIGNER)
    prepared = prepare(signed, kind)
    assert prepared.version == 0
    without_keys = replace(sent, account_keys=())
    assert read(prepared) == (without_keys if kind.account_keys is AccountKeys.HARMFUL else sent)


@pytest.mark.parametrize("name", ["bitbox02", "ledger"])
def test_a_kind_that_needs_account_keys_is_not_asked_without_them(vault, name):
    bare = replace(transfer_from(vault), account_keys=())
    with refuses("DEVICE_UNSUPPORTED"):
        prepare(bare, kind_of(name))
    assert len(read(prepare(transfer_from(vault), kind_of(name))).account_keys) == 3


@pytest.mark.parametrize("name", ["jade", "trezor", "coldcard", "neverseen"])
def test_a_kind_that_signs_without_account_keys_is_asked_without_them(vault, name):
    bare = replace(transfer_from(vault), account_keys=())
    assert read(prepare(bare, kind_of(name))) == bare


def test_a_psbt_too_large_for_a_coldcard_is_refused_at_two_mebibytes(vault):
    coldcard, limit = kind_of("coldcard"), 2 * 1024 * 1024
    # The sizes before values grow with them, so the exact filling is found by looking.
    spare = limit - size_of(prepare(transfer_from(vault, size=limit - 4_000), coldcard)) + limit - 4_000
    assert size_of(prepare(transfer_from(vault, size=spare), coldcard)) == limit
    with refuses("DEVICE_UNSUPPORTED") as caught:
        prepare(transfer_from(vault, size=spare + 1), coldcard)
    assert f"{limit + 1} bytes" in str(caught.error)
    assert size_of(prepare(transfer_from(vault, size=spare + 1), kind_of("trezor"))) > limit


def test_an_input_that_is_no_segwit_multisig_is_not_sent_to_any_device(vault):
    sent = transfer_from(vault)
    other = replace(sent, inputs=(replace(sent.inputs[0], witness_script=b""),))
    with refuses("DEVICE_UNSUPPORTED"):
        prepare(other, kind_of("trezor"))


def test_a_taproot_vault_is_asked_of_no_device():
    # Not by hwilib: it has no form for such a vault, and a firmware that signs for it takes the plain PSBT as a file.
    taproot = vault_of(NAMES, 2, ScriptType.TR)[0]
    coin = TxOut(100_000, taproot.script_pubkey(0, 0))
    asked = replace(
        transfer_from(vault_of(NAMES, 2)[0]), inputs=(replace(taproot.input_fields(0, 0), witness_utxo=coin),)
    )
    for kind in KINDS:
        with refuses("DEVICE_UNSUPPORTED"):
            prepare(asked, kind)
    for ask in (lambda: address_descriptor(taproot, Branch.RECEIVE, 0), lambda: enrolment_text(taproot, "Reserve")):
        with refuses("DEVICE_UNSUPPORTED"):
            ask()


def test_the_quorum_of_a_psbt_is_that_of_its_vault(vault):
    threshold, members = quorum_of(transfer_from(vault))
    assert (threshold, set(members)) == (2, {each.fingerprint for each in vault.cosigners})


# --- What its holder is told ---


def orders(vault: Vault, count: int) -> list[tuple[int, int]]:
    """Places in the vault whose keys sort in `count` different orders, two of each."""
    by_order: dict[tuple[bytes, ...], list[tuple[int, int]]] = {}
    for index in range(60):
        by_order.setdefault(tuple(path.fingerprint for _, path in vault.key_paths(0, index)), []).append((0, index))
    return [place for places in list(by_order.values())[:count] for place in places[:2]]


@pytest.mark.parametrize(("count", "said"), [(1, "once"), (2, "2 times"), (6, "6 times")])
def test_a_ledgers_holder_is_told_how_often_it_registers(vault, count, said):
    sent = transfer_from(vault, tuple(orders(vault, count)))
    assert len(sent.inputs) == 2 * count
    (note, *_) = notes(sent, kind_of("ledger"), Network.SIGNET)
    assert said in note


def test_what_each_kind_does_unexpectedly_is_told(vault):
    sent = transfer_from(vault)
    told = {kind.name: " ".join(notes(sent, kind, Network.SIGNET)) for kind in KINDS}
    assert "register this vault" in told["bitbox02"]
    assert "never told of" in told["jade"]
    assert "never told of" in told["trezor"]
    assert {name for name, each in told.items() if "unplug it before" in each} == {"keepkey"}
    assert told["coldcard"] == ""
    shown = {kind.name: "tb1" in " ".join(notes(sent, kind, Network.REGTEST)) for kind in KINDS}
    assert shown == dict.fromkeys(("bitbox02", "coldcard", "keepkey", "ledger", "trezor"), True) | {"jade": False}


# --- Descriptors, enrolment, addresses ---


def test_an_addresses_descriptor_is_concrete_and_in_one_order(vault, nested):
    text = address_descriptor(vault, Branch.CHANGE, 7)
    assert text.startswith("wsh(sortedmulti(2,[")
    assert text.count("/1/7") == 3
    assert "*" not in text
    assert "#" not in text
    keys = [each.split("/1/7")[0].partition("]")[2] for each in text.split(",")[1:]]
    assert keys == [
        str(key) for key in sorted((each.key for each in vault.cosigners), key=lambda each: each.to_bytes())
    ]
    turned = Vault.create(2, reversed(vault.cosigners), vault.script_type, vault.network)
    assert address_descriptor(turned, Branch.CHANGE, 7) == text
    assert address_descriptor(nested, Branch.RECEIVE, 0).startswith("sh(wsh(sortedmulti(2,[")


@pytest.mark.parametrize(("which", "form", "last"), [("vault", "P2WSH", 2), ("nested", "P2SH-P2WSH", 1)])
def test_a_coldcard_is_enrolled_from_its_own_kind_of_file(request, which, form, last):
    vault = request.getfixturevalue(which)
    lines = enrolment_text(vault, "National reserve").splitlines()
    assert lines[:4] == ["Name: National reserve", "Policy: 2 of 3", f"Format: {form}", ""]
    for number, cosigner in enumerate(vault.cosigners):
        path, key = lines[4 + 2 * number : 6 + 2 * number]
        assert path == f"Derivation: m/48'/1'/0'/{last}'"
        assert key == f"{cosigner.fingerprint.hex().upper()}: {cosigner.key}"
    assert len(lines) == 10


@pytest.mark.parametrize("name", ["", "x" * 21, "Резерв", "a\nPolicy: 1 of 1", "a#b", "a:b"])
def test_a_name_that_a_coldcard_would_read_otherwise_is_refused(vault, name):
    with refuses("DEVICE_UNSUPPORTED"):
        enrolment_text(vault, name)


def test_an_address_is_compared_as_a_script_and_of_its_network_only(vault):
    script = vault.script_pubkey(0, 0)
    for network in (Network.REGTEST, Network.TESTNET4, Network.SIGNET):
        assert shown_script(address(script, network), network, "it") == script
    assert shown_script(address(script, Network.TESTNET4), Network.REGTEST, "it") == script
    wrong = ((Network.REGTEST, Network.TESTNET4), (Network.MAIN, Network.REGTEST), (Network.TESTNET4, Network.MAIN))
    for shown, network in wrong:
        with refuses("SIGNER_PROTOCOL"):
            shown_script(address(script, shown), network, "it")
    for text in ("", "x", address(script, Network.REGTEST)[:-1]):
        with refuses("SIGNER_PROTOCOL"):
            shown_script(text, Network.REGTEST, "it")


# --- Emulators ---


@pytest.mark.parametrize(
    ("name", "given", "path"),
    [
        ("bitbox02", "", "127.0.0.1:15423"),
        ("bitbox02", "tcp:127.0.0.1:15423", "127.0.0.1:15423"),
        ("coldcard", "", "/tmp/ckcc-simulator.sock"),  # noqa: S108 - the vendor's
        ("coldcard", "/run/cc.sock", "/run/cc.sock"),
        ("jade", "127.0.0.1:30121", "tcp:127.0.0.1:30121"),
        ("ledger", "", "tcp:127.0.0.1:9999"),
        ("ledger", "tcp:127.0.0.1:40000", "tcp:127.0.0.1:40000"),
        ("trezor", "127.0.0.1:21324", "udp:127.0.0.1:21324"),
        ("trezor", "udp:127.0.0.1:21326", "udp:127.0.0.1:21326"),
        ("neverseen", "", ""),
        ("neverseen", "tcp:127.0.0.1:1", "tcp:127.0.0.1:1"),
    ],
)
def test_an_emulators_path_is_spelled_as_hwilib_finds_it(name, given, path):
    assert kind_of(name).emulator_path(given) == path


def test_a_kind_nobody_tried_gets_the_plain_form():
    kind = kind_of("neverseen")
    assert (kind.account_keys, kind.registration, kind.max_psbt) == (AccountKeys.WELCOME, Registration.NEVER, None)
