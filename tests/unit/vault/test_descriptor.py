import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

import coincurve
import pytest
from embit.descriptor import Descriptor
from embit.descriptor.checksum import checksum as embit_checksum
from embit.networks import NETWORKS
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin import script
from custody.bitcoin.curve import is_low_s
from custody.bitcoin.key_paths import TapKeyPath
from custody.bitcoin.sighash import tap_leaf_hash
from custody.bitcoin.taproot import UNSPENDABLE_FINGERPRINT
from custody.bitcoin.transaction import OutPoint, Transaction, TxIn
from custody.testing.asserts import refuses
from custody.units import Network
from custody.vault import descriptor as descriptor_module
from custody.vault.descriptor import Branch, Vault, VaultIdentity, check, checksum, likely_id
from custody.vault.keys import Cosigner
from custody.vault.templates import MAX_KEYS, ScriptType

MakeVault = Callable[..., Vault]
MakeCosigner = Callable[..., Cosigner]

CHARSET = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "


# --- checksum


@given(st.text(CHARSET, max_size=400))
def test_the_checksum_is_the_one_others_compute(body: str) -> None:
    assert checksum(body) == embit_checksum(body)
    assert check(f"{body}#{checksum(body)}") == body


@pytest.mark.parametrize("character", ["\u00e9", "\n", "\t", "\0", "\x7f", "\u0661", "\ud800"])
def test_a_character_outside_the_charset_is_refused(character: str) -> None:
    with refuses("DESC_CHECKSUM"):
        checksum(f"raw(dead{character}beef)")
    with refuses("DESC_CHECKSUM"):
        check(f"raw(deadbeef)#89f8spx{character}")


def test_the_right_checksum_is_not_told(vault: MakeVault) -> None:
    body = vault().descriptor[:-9].replace("2,", "3,", 1)
    with refuses("DESC_CHECKSUM") as caught:
        check(f"{body}#aaaaaaaa")
    assert checksum(body) not in str(caught.error)


# --- text


@pytest.mark.parametrize("script_type", ScriptType)
@pytest.mark.parametrize("network", Network)
def test_a_vault_reads_back_from_its_descriptor(vault: MakeVault, script_type: ScriptType, network: Network) -> None:
    made = vault(3, 5, script_type, network)
    read = Vault.parse(made.descriptor, network)
    assert read == made
    assert (read.id, read.descriptor, hash(read)) == (made.id, made.descriptor, hash(made))
    assert read.addresses(0, 0, 3) == made.addresses(0, 0, 3)


def test_a_descriptor_has_one_form(vault: MakeVault) -> None:
    made = vault(2, 2)
    keys = ",".join(f"{each.expression()}/<0;1>/*" for each in made.cosigners)
    assert made.descriptor[:-9] == f"wsh(sortedmulti(2,{keys}))"
    assert made.descriptor[-9] == "#"
    wrapped = vault(2, 2, ScriptType.SH_WSH)
    assert wrapped.descriptor.startswith("sh(wsh(sortedmulti(2,[")
    assert wrapped.descriptor[:-9].endswith("/<0;1>/*)))")
    taproot = vault(2, 2, ScriptType.TR)
    keys = ",".join(f"{each.expression()}/<0;1>/*" for each in taproot.cosigners)
    assert taproot.descriptor[:-9] == f"tr({taproot.internal_key}/<0;1>/*,sortedmulti_a(2,{keys}))"


def test_apostrophes_are_another_spelling_of_the_same_vault(vault: MakeVault) -> None:
    made = vault()
    body = re.sub(r"\[[^]]*\]", lambda origin: origin[0].replace("h", "'"), made.descriptor[:-9])
    assert body != made.descriptor[:-9]
    read = Vault.parse(f"{body}#{checksum(body)}", Network.REGTEST)
    assert read == made
    assert read.descriptor == made.descriptor


def test_names_go_to_the_cosigners_in_order(vault: MakeVault) -> None:
    text = vault().descriptor
    read = Vault.parse(text, Network.REGTEST, birthday=9, names=["Alice", "Bob", "Carol"])
    assert [each.name for each in read.cosigners] == ["Alice", "Bob", "Carol"]
    assert read.birthday == 9
    with refuses("TEMPLATE"):
        Vault.parse(text, Network.REGTEST, names=["Alice"])


def test_a_vault_does_not_show_its_keys_in_logs(vault: MakeVault) -> None:
    made = vault()
    shown = repr(made)
    assert not [each for each in made.cosigners if str(each.key) in shown or each.key.public_key.hex() in shown]


# --- identity


def test_the_id_is_the_digest_of_what_the_addresses_come_from(vault: MakeVault) -> None:
    made = vault()
    identity = VaultIdentity(
        network=made.network,
        script_type=made.script_type,
        threshold=made.threshold,
        keys=tuple(sorted(each.key.chain_code + each.key.public_key for each in made.cosigners)),
        internal=None,
    )
    assert made.id == identity.digest()
    assert VaultIdentity.from_bytes(identity.to_bytes()) == identity


@pytest.mark.parametrize("script_type", list(ScriptType))
def test_one_set_of_addresses_has_one_id(vault: MakeVault, script_type: ScriptType) -> None:
    made = vault(script_type=script_type)
    first, *rest = made.cosigners
    elsewhere = replace(first.key, parent_fingerprint=bytes(4))
    for cosigners in (
        (*rest, first),
        (*rest[::-1], first),
        (replace(first, key=elsewhere), *rest),
        (replace(first, origin=replace(first.origin, fingerprint=b"\1\2\3\4")), *rest),
    ):
        other = Vault(made.threshold, cosigners, script_type, made.network, 7, made.internal_key)
        assert other.addresses(0, 0, 3) == made.addresses(0, 0, 3)
        assert other.id == made.id == likely_id(other.descriptor, other.network)


@pytest.mark.parametrize("text", ["", "wsh(", "tr(x,sortedmulti_a(2,a,b))#12345678", "wsh(sortedmulti(2,[0/1]x/0,))#"])
def test_what_is_no_descriptor_is_likely_no_vault(text: str) -> None:
    assert likely_id(text, Network.REGTEST) == b""


def test_birthday_and_names_do_not_change_the_id(vault: MakeVault) -> None:
    made = vault()
    other = Vault.parse(made.descriptor, Network.REGTEST, birthday=1, names=["Alice", "Bob", "Carol"])
    assert other.id == made.id
    assert other != made


def test_network_threshold_keys_and_script_change_the_id(vault: MakeVault, cosigner: MakeCosigner) -> None:
    made = vault()
    ids = {
        made.id,
        Vault.create(3, made.cosigners, ScriptType.WSH, Network.REGTEST).id,
        Vault.create(2, [*made.cosigners[:2], cosigner(99)], ScriptType.WSH, Network.REGTEST).id,
        Vault.create(2, made.cosigners, ScriptType.WSH, Network.SIGNET).id,
        Vault.create(2, made.cosigners, ScriptType.WSH, Network.TESTNET4).id,
        vault(script_type=ScriptType.SH_WSH).id,
        vault(script_type=ScriptType.TR).id,
    }
    assert len(ids) == 7


# --- derivation


def test_a_hundred_random_vaults_have_the_addresses_embit_derives(cosigner: MakeCosigner) -> None:
    random = Random(20260901)  # noqa: S311 - the same vaults on every run
    names = {Network.MAIN: "main", Network.TESTNET4: "test", Network.SIGNET: "signet", Network.REGTEST: "regtest"}
    for number in range(100):
        network, script_type = random.choice(list(Network)), random.choice(list(ScriptType))
        keys = random.randint(2, 15)
        cosigners = [cosigner(number * 100 + i, network, script_type) for i in range(keys)]
        made = Vault.create(random.randint(2, keys), cosigners, script_type, network)
        theirs = Descriptor.from_string(made.descriptor)
        for branch in Branch:
            index = random.choice([0, 1, random.randrange(2**31), 2**31 - 1])
            derived = theirs.derive(index, branch_index=branch)
            assert made.address(branch, index) == derived.address(NETWORKS[names[network]])
            for own, expected in (
                (made.witness_script(branch, index), derived.witness_script()),
                (made.redeem_script(branch, index), derived.redeem_script()),
            ):
                assert own == (expected.data if expected else b"")
            assert made.script_pubkey(branch, index) == derived.script_pubkey().data


@pytest.mark.parametrize("script_type", ScriptType)
def test_columns_give_what_single_derivation_gives(vault: MakeVault, script_type: ScriptType) -> None:
    made = vault(3, 5, script_type)
    for branch in Branch:
        assert made.scripts(branch, 3, 40) == [made.script_pubkey(branch, i) for i in range(3, 40)]
        assert made.addresses(branch, 3, 40) == [made.address(branch, i) for i in range(3, 40)]
    assert made.scripts(0, 5, 5) == []
    assert made.scripts(0, 2**31 - 2, 2**31) == [made.script_pubkey(0, 2**31 - 2), made.script_pubkey(0, 2**31 - 1)]


def test_receive_and_change_differ(vault: MakeVault) -> None:
    made = vault()
    assert not set(made.addresses(Branch.RECEIVE, 0, 20)) & set(made.addresses(Branch.CHANGE, 0, 20))


def test_keys_are_sorted_at_each_index_and_not_once(vault: MakeVault) -> None:
    made = vault(2, 3)
    orders = set()
    for index in range(50):
        keys = made.public_keys(0, index)
        found = script.read_multisig(made.witness_script(0, index))
        assert found == (2, tuple(sorted(keys)))
        orders.add(tuple(sorted(range(3), key=keys.__getitem__)))
    assert len(orders) > 1


@pytest.mark.parametrize("script_type", ScriptType)
def test_the_order_of_cosigners_does_not_change_addresses(vault: MakeVault, script_type: ScriptType) -> None:
    made = vault(2, 3, script_type)
    for order in itertools.permutations(made.cosigners):
        turned = Vault.create(2, order, made.script_type, made.network)
        assert turned.addresses(0, 0, 10) == made.addresses(0, 0, 10)
        assert turned.internal_key == made.internal_key


def test_key_paths_name_every_key_with_its_full_path(vault: MakeVault) -> None:
    made = vault(2, 3)
    paths = made.key_paths(1, 42)
    assert [key for key, _ in paths] == sorted(made.public_keys(1, 42))
    for key, path in paths:
        cosigner = made.cosigner_of(path.fingerprint)
        assert path.path == (*cosigner.origin.path, 1, 42)
        assert made.public_keys(1, 42)[made.cosigners.index(cosigner)] == key


def test_taproot_key_paths_name_the_script_and_the_internal_key(vault: MakeVault) -> None:
    made = vault(2, 3, ScriptType.TR)
    lock = made.lock(1, 42)
    paths = dict(made.key_paths(1, 42))
    assert list(paths) == sorted(paths)
    internal = made.input_fields(1, 42).internal_key
    assert paths.pop(internal) == TapKeyPath(UNSPENDABLE_FINGERPRINT, (1, 42))
    assert list(paths) == list(made.holders(1, 42))
    for key, cosigner in made.holders(1, 42).items():
        path = TapKeyPath(cosigner.fingerprint, (*cosigner.origin.path, 1, 42), tap_leaf_hash(lock.script))
        assert paths[key] == path
        assert b"\x02" + key in made.public_keys(1, 42) or b"\x03" + key in made.public_keys(1, 42)


@pytest.mark.parametrize("script_type", ScriptType)
def test_holders_stand_in_the_order_of_the_script(vault: MakeVault, script_type: ScriptType) -> None:
    made = vault(2, 5, script_type)
    holders = made.holders(0, 9)
    places = [made.lock(0, 9).script.index(key) for key in holders]
    assert places == sorted(places)
    for key, cosigner in holders.items():
        public_key = made.public_keys(0, 9)[made.cosigners.index(cosigner)]
        assert made.lock(0, 9).key(public_key) == key


@pytest.mark.parametrize("script_type", ScriptType)
def test_many_places_at_once_are_each_place_in_the_order_asked(vault: MakeVault, script_type: ScriptType) -> None:
    made = vault(2, 3, script_type)
    where = [(1, 3), (0, 7), (1, 0), (0, 7), (0, 2), (1, 3)]
    alone = [vault(2, 3, script_type).place(*each) for each in where]
    assert list(made.places(where)) == alone
    assert list(made.places(reversed(where))) == alone[::-1]
    assert [(made.public_keys(*each), made.lock(*each)) for each in where] == [(each.keys, each.lock) for each in alone]
    assert list(made.places([])) == []


def test_many_places_at_once_are_refused_for_one_that_cannot_be(vault: MakeVault) -> None:
    made = vault()
    with refuses("INDEX_RANGE"):
        list(made.places([(0, 1), (0, 2**31)]))
    with refuses("PATH_NONSTANDARD"):
        list(made.places([(0, 1), (2, 0)]))


def test_derivation_stays_right_when_more_is_asked_for_than_is_remembered(
    vault: MakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor_module, "_MAX_MEMO", 4)
    monkeypatch.setattr(descriptor_module, "_BATCH", 3)
    made = vault()
    expected = made.scripts(0, 0, 20)
    assert [place.lock.script_pubkey for place in made.places((0, index) for index in range(20))] == expected
    for _ in range(2):
        assert [made.script_pubkey(0, index) for index in range(20)] == expected
    assert len(made._memo) <= 4


@pytest.mark.parametrize("branch", [2, -1, 2**31])
def test_there_are_two_branches(vault: MakeVault, branch: int) -> None:
    made = vault()
    with refuses("PATH_NONSTANDARD"):
        made.address(branch, 0)
    with refuses("PATH_NONSTANDARD"):
        made.addresses(branch, 0, 2)


# --- quorum


def test_the_quorum_counts_fingerprints(vault: MakeVault) -> None:
    made = vault(2, 3)
    first, second, third = made.cosigners
    tally = made.quorum.tally([third.fingerprint, first.fingerprint])
    assert tally.is_met
    assert tally.missing == (second.fingerprint,)


def test_a_strangers_fingerprint_is_no_members(vault: MakeVault) -> None:
    made = vault()
    assert made.cosigner_of(made.cosigners[1].fingerprint) == made.cosigners[1]
    assert made.find_cosigner(b"\xff\xff\xff\xff") is None
    with refuses("NOT_A_MEMBER"):
        made.cosigner_of(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("birthday", [-1, 2**31])
def test_a_birthday_is_a_block_height(vault: MakeVault, birthday: int) -> None:
    with refuses("TEMPLATE"):
        Vault.parse(vault().descriptor, Network.REGTEST, birthday=birthday)


# --- weight


def _long_signature(random: Random, digest: bytes) -> bytes:
    """A low-S signature whose r needs 33 bytes, with its hash type: the longest that verifies."""
    while True:
        signature = coincurve.PrivateKey(random.randbytes(32)).sign(digest, hasher=None)
        if signature[3] == 33 and len(signature) == 71 and is_low_s(signature):
            return signature + b"\x01"


@pytest.mark.parametrize("script_type", ScriptType)
@pytest.mark.parametrize(("threshold", "keys"), [(2, 2), (2, 3), (3, 5), (5, 7), (5, 8), (15, MAX_KEYS)])
def test_the_input_weight_is_that_of_a_signed_input(
    vault: MakeVault, script_type: ScriptType, threshold: int, keys: int
) -> None:
    made = vault(threshold, keys, script_type)
    random = Random(threshold)  # noqa: S311 - the same keys on every run
    lock = made.lock(0, 0)
    longest = bytes(64) if script_type is ScriptType.TR else _long_signature(random, bytes(32))
    witness = lock.witness([longest] * threshold + [b""] * (keys - threshold))
    spend = TxIn(OutPoint(bytes(32), 0), lock.script_sig, 0xFFFFFFFD)
    bare = TxIn(OutPoint(bytes(32), 1), b"", 0xFFFFFFFD)
    # Beside an input that has a witness already, so that marker, flag and the input count are there both times.
    one = Transaction(2, (bare,), (), 0, ((b"\x01",),))
    two = Transaction(2, (bare, spend), (), 0, ((b"\x01",), witness))
    assert two.weight - one.weight == made.input_weight


def test_taproot_inputs_weigh_what_their_fields_add_up_to(vault: MakeVault) -> None:
    # Outpoint, sequence, empty scriptSig; count, three signatures, two empty items, script, control block.
    script_size = 34 * 5 + 2
    assert vault(3, 5, ScriptType.TR).input_weight == 41 * 4 + 1 + 3 * 65 + 2 + 1 + script_size + 34
