"""Keys and descriptors that somebody tampered with: THREATS A5, B4 (depth), C2 to C7 and C9."""

import dataclasses
import re
import traceback
from collections.abc import Callable, Iterator

import pytest
from embit import bip32, bip39, ec
from embit.networks import NETWORKS
from hypothesis import given
from hypothesis import strategies as st

from custody.bitcoin import curve
from custody.errors import CustodyError
from custody.record import SecretMaterial
from custody.testing.asserts import refuses
from custody.units import HARDENED, Network
from custody.vault.descriptor import Vault, check, checksum
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin, refuse_secrets
from custody.vault.templates import ScriptType

H = HARDENED
CHARSET = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
OUTSIDE = "\u00e9\n\t\r\0\x7f\u00a0\u0430\u202e\ud800"


def root_of(seed: int, network: Network = Network.REGTEST) -> bip32.HDKey:
    name = "main" if network is Network.MAIN else "regtest"
    return bip32.HDKey.from_seed(bytes([seed]) * 32, version=NETWORKS[name]["xprv"])


def cosigner(seed: int, path: str = "48h/1h/0h/2h", network: Network = Network.REGTEST, name: str = "") -> Cosigner:
    root = root_of(seed, network)
    key = root.derive(f"m/{path}").to_public().to_base58()
    return Cosigner.parse(f"[{root.my_fingerprint.hex()}/{path}]{key}", name)


ALICE, BOB, CAROL = cosigner(1), cosigner(2), cosigner(3)
TRIO = (ALICE, BOB, CAROL)


def create(*cosigners: Cosigner, threshold: int = 2) -> Vault:
    return Vault.create(threshold, cosigners, ScriptType.WSH, Network.REGTEST)


def sealed(body: str) -> str:
    return f"{body}#{checksum(body)}"


def parse(body: str, network: Network = Network.REGTEST) -> Vault:
    return Vault.parse(sealed(body), network)


def body_of(*expressions: str, threshold: str = "2", steps: str = "/<0;1>/*") -> str:
    keys = ",".join(each if each.endswith("*") else each + steps for each in expressions)
    return f"wsh(sortedmulti({threshold},{keys}))"


GOOD = [each.expression() for each in TRIO]


def test_the_vault_that_the_cases_below_alter_is_good() -> None:
    assert parse(body_of(*GOOD)) == create(*TRIO)


# --- A5: an index of 2^31 or more would be hardened and unspendable

ASK: dict[str, Callable[[Vault, int], object]] = {
    "address": lambda vault, index: vault.address(0, index),
    "script_pubkey": lambda vault, index: vault.script_pubkey(1, index),
    "witness_script": lambda vault, index: vault.witness_script(0, index),
    "redeem_script": lambda vault, index: vault.redeem_script(0, index),
    "public_keys": lambda vault, index: vault.public_keys(1, index),
    "key_paths": lambda vault, index: vault.key_paths(1, index),
    "scripts": lambda vault, index: vault.scripts(0, index, index + 1),
    "addresses": lambda vault, index: vault.addresses(1, index, index + 1),
}


@pytest.mark.parametrize("ask", ASK)
def test_the_last_index_is_good_and_the_next_refused(ask: str) -> None:
    vault = Vault.create(2, [cosigner(seed, "48h/1h/0h/1h") for seed in (1, 2, 3)], ScriptType.SH_WSH, Network.REGTEST)
    assert ASK[ask](vault, 2147483647)
    ASK[ask](vault, 1)
    for index in (2147483648, -1, 2**32, 2**32 + 5, True):
        with refuses("INDEX_RANGE"):
            ASK[ask](vault, index)


@pytest.mark.parametrize("number", ["2147483648", "2147483648h", "4294967295", "99999999999999999999"])
def test_an_index_beyond_the_last_in_a_descriptor_is_refused(number: str) -> None:
    with refuses("INDEX_RANGE"):
        parse(body_of(GOOD[0] + f"/{number}/*", *GOOD[1:]))
    with refuses("INDEX_RANGE"):
        parse(body_of(GOOD[0] + f"/<0;{number}>/*", *GOOD[1:]))


@pytest.mark.parametrize("number", ["2147483648", "2147483648h", "4294967295'"])
def test_an_index_beyond_the_last_in_an_origin_is_refused(number: str) -> None:
    with refuses("INDEX_RANGE"):
        parse(body_of(GOOD[0].replace("/0h/2h]", f"/{number}/2h]"), *GOOD[1:]))


# --- C2: fewer holders than keys


def altered(cosigner: Cosigner, **key_fields: object) -> Cosigner:
    """The same key in other clothes: under another fingerprint and with other fields."""
    origin = KeyOrigin(bytes(byte ^ 0x5A for byte in cosigner.origin.fingerprint), cosigner.origin.path)
    return Cosigner("", origin, dataclasses.replace(cosigner.key, **key_fields))


def child_of(key: AccountKey, *steps: int) -> dict[str, object]:
    node = (key.public_key, key.chain_code)
    for step in steps:
        node = curve.ParentKey(*node).child_with_chain_code(step)
    return {"public_key": node[0], "chain_code": node[1]}


ONE_HOLDER = {
    "the same key": ALICE,
    "the same key under another fingerprint": altered(ALICE),
    "another parent fingerprint in the xpub": altered(ALICE, parent_fingerprint=b"\1\2\3\4"),
    "another chain code": altered(ALICE, chain_code=bytes(32)),
    "the negated key, which the same secret signs for": altered(
        ALICE, public_key=bytes([ALICE.key.public_key[0] ^ 1]) + ALICE.key.public_key[1:]
    ),
    "child 0 dressed as an account": altered(ALICE, **child_of(ALICE.key, 0)),
    "child 1 dressed as an account": altered(ALICE, **child_of(ALICE.key, 1)),
    "child 19 dressed as an account": altered(ALICE, **child_of(ALICE.key, 19)),
    "a receive key dressed as an account": altered(ALICE, **child_of(ALICE.key, 0, 7)),
    "a change key dressed as an account": altered(ALICE, **child_of(ALICE.key, 1, 19)),
    "another account of the same seed": cosigner(1, "48h/1h/1h/2h"),
    "the BIP 87 account of the same seed": cosigner(1, "87h/1h/0h"),
}


@pytest.mark.parametrize("case", ONE_HOLDER)
def test_two_keys_of_one_holder_are_refused(case: str) -> None:
    disguised = ONE_HOLDER[case]
    for cosigners in ((ALICE, BOB, disguised), (disguised, BOB, ALICE), (BOB, ALICE, disguised, CAROL)):
        with refuses("DUP_COSIGNER"):
            create(*cosigners)
        with refuses("DUP_COSIGNER"):
            parse(body_of(*(each.expression() for each in cosigners)))


def test_two_xpub_texts_of_one_key_differ_yet_are_refused() -> None:
    disguised = altered(ALICE, parent_fingerprint=b"\1\2\3\4")
    assert str(disguised.key) != str(ALICE.key)
    with refuses("DUP_COSIGNER"):
        create(ALICE, disguised)


def test_an_honest_child_of_another_key_is_refused() -> None:
    """The xpub of Alice's child 0, with true depth, number and path."""
    root = root_of(1)
    key = root.derive("m/48h/1h/0h/2h/0").to_public().to_base58()
    for fingerprint in (root.my_fingerprint.hex(), "01020304"):
        with refuses("DUP_COSIGNER"):
            parse(body_of(GOOD[0], GOOD[1], f"[{fingerprint}/48h/1h/0h/2h/0]{key}"))


@pytest.mark.parametrize("steps", ["/<2;1>/*", "/<1;0>/*", "/0/<0;1>/*", "/1/*", "/<0;1>/*", "/0h/<0;1>/*"])
def test_one_key_under_two_branch_pairs_is_refused(steps: str) -> None:
    again = re.sub(r"^\[\w{8}", "[01020304", GOOD[0]) + steps
    with refuses("DUP_COSIGNER"):
        parse(body_of(GOOD[0], GOOD[1], again))


@pytest.mark.parametrize(
    ("first", "second"),
    [("Alice", "Alice"), ("Alice", "ALICE"), ("Stra\u00dfe", "STRASSE"), ("Bj\u00f6rn", "bj\u00f6rn")],
)
def test_one_name_for_two_keys_is_refused(first: str, second: str) -> None:
    with refuses("DUP_COSIGNER") as caught:
        create(cosigner(1, name=first), cosigner(2), cosigner(3, name=second))
    assert ALICE.fingerprint.hex() in str(caught.error)
    assert CAROL.fingerprint.hex() in str(caught.error)
    with refuses("DUP_COSIGNER"):
        Vault.parse(sealed(body_of(*GOOD)), Network.REGTEST, names=[first, "Bob", second])


def test_cosigners_without_names_are_not_one_holder() -> None:
    assert create(*TRIO).quorum.threshold == 2


# --- C3: every typing error in a descriptor is found


def real_descriptors() -> Iterator[tuple[str, str]]:
    yield "2-of-3 wsh", create(*TRIO).descriptor
    five = [cosigner(seed, "48h/0h/0h/2h", Network.MAIN) for seed in range(1, 6)]
    yield "3-of-5 wsh", Vault.create(3, five, ScriptType.WSH, Network.MAIN).descriptor
    three = [cosigner(seed, "48h/1h/7h/1h") for seed in range(1, 4)]
    yield "2-of-3 sh(wsh)", Vault.create(2, three, ScriptType.SH_WSH, Network.REGTEST).descriptor


DESCRIPTORS = dict(real_descriptors())


def is_refused(text: str) -> bool:
    """As `refuses("DESC_CHECKSUM")`, without the cost of a context manager."""
    try:
        check(text)
    except CustodyError as error:
        return error.code == "DESC_CHECKSUM"
    return False


@pytest.mark.parametrize("which", DESCRIPTORS)
def test_every_single_character_substitution_is_refused(which: str) -> None:
    text = DESCRIPTORS[which]
    assert check(text) == text[:-9]
    for at, own in enumerate(text):
        before, after = text[:at], text[at + 1 :]
        missed = [other for other in CHARSET + OUTSIDE if other != own and not is_refused(before + other + after)]
        assert missed == [], f"position {at}"


@pytest.mark.parametrize("which", DESCRIPTORS)
def test_every_deletion_and_swap_of_neighbours_is_refused(which: str) -> None:
    text = DESCRIPTORS[which]
    for at in range(len(text)):
        assert is_refused(text[:at] + text[at + 1 :]), f"deletion at {at}"
        pair = text[at : at + 2]
        if len(set(pair)) == 2:
            assert is_refused(text[:at] + pair[::-1] + text[at + 2 :]), f"swap at {at}"


@pytest.mark.parametrize("which", DESCRIPTORS)
def test_a_vault_is_not_read_from_a_mistyped_descriptor(which: str) -> None:
    text = DESCRIPTORS[which]
    network = Network.MAIN if "3-of-5" in which else Network.REGTEST
    wrong = [text[:at] + ("2" if text[at] != "2" else "3") + text[at + 1 :] for at in range(0, len(text), 7)]
    for mistyped in [*wrong, text[:-1], text[:-9], text[:-8], text + "q", text + "\n", " " + text, text.upper()]:
        with refuses("DESC_CHECKSUM"):
            Vault.parse(mistyped, network)


# --- C4: keys and paths of another network


@pytest.mark.parametrize("network", [Network.REGTEST, Network.SIGNET, Network.TESTNET4])
def test_keys_of_the_other_network_are_refused(network: Network) -> None:
    with refuses("NETWORK_MISMATCH"):
        parse(body_of(*GOOD), Network.MAIN)
    main = [cosigner(seed, "48h/0h/0h/2h", Network.MAIN).expression() for seed in (1, 2, 3)]
    assert parse(body_of(*main), Network.MAIN)
    with refuses("NETWORK_MISMATCH"):
        parse(body_of(*main), network)


def test_one_tpub_among_xpubs_is_refused() -> None:
    main = [cosigner(seed, "48h/0h/0h/2h", Network.MAIN).expression() for seed in (1, 2)]
    for mixed in ([*main, GOOD[2]], [GOOD[2], *main]):
        for network in (Network.MAIN, Network.REGTEST):
            with refuses("NETWORK_MISMATCH"):
                parse(body_of(*mixed), network)


@pytest.mark.parametrize("purpose", ["48h/{}h/0h/2h", "87h/{}h/0h"])
def test_a_coin_type_of_another_network_is_refused(purpose: str) -> None:
    for network, coin in ((Network.MAIN, 1), (Network.MAIN, 2), (Network.REGTEST, 0), (Network.SIGNET, 0)):
        keys = [cosigner(seed, purpose.format(network.coin_type), network) for seed in (1, 2)]
        keys.append(cosigner(3, purpose.format(coin), network))
        with refuses("NETWORK_MISMATCH"):
            Vault.create(2, keys, ScriptType.WSH, network)


def test_a_tpub_on_a_main_network_path_is_refused() -> None:
    """Only the version bytes are wrong, as in the testnet trick that devices fell for."""
    for network, other in ((Network.MAIN, Network.REGTEST), (Network.SIGNET, Network.MAIN)):
        path = f"48h/{network.coin_type}h/0h/2h"
        keys = [cosigner(1, path, network), cosigner(2, path, network), cosigner(3, path, other)]
        with refuses("NETWORK_MISMATCH"):
            Vault.create(2, keys, ScriptType.WSH, network)


def test_one_descriptor_is_another_vault_on_another_test_network() -> None:
    text = sealed(body_of(*GOOD))
    assert len({Vault.parse(text, network).id for network in Network if network is not Network.MAIN}) == 3


# --- C5: paths that other wallets will not find again


@pytest.mark.parametrize(
    "path",
    [
        "0/0",
        "48h/1h/0h/1h",  # sh(wsh) in a wsh vault
        "48h/1h/0h/3h",
        "48h/1h/0h/2",
        "48h/1h/0/2h",
        "48h/1h/0h",
        "48h/1h/0h/2h/0h",
        "45h",
        "44h/1h/0h",
        "49h/1h/0h",
        "84h/1h/0h",
        "86h/1h/0h",
        "87h/1h/0h/2h",
        "87h/1h/0",
        "0h",
    ],
)
def test_a_path_that_is_neither_bip48_nor_bip87_is_refused(path: str) -> None:
    with refuses("PATH_NONSTANDARD"):
        parse(body_of(GOOD[0], GOOD[1], cosigner(3, path).expression()))


ORIGIN = CAROL.expression().split("]")[0] + "]"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ORIGIN, ""),
        (ORIGIN, "[]"),
        (ORIGIN, ORIGIN[:9] + "]"),  # the fingerprint alone
        (ORIGIN, "[00000000/48h/1h/0h/2h]"),
        ("/0h/2h]", "/0h/1h]"),  # not the key's number
        ("/0h/2h]", "/0h]"),  # not the key's depth
        ("/0h/2h]", "/0h/2h/0]"),
        ("/0h/2h]", "/0H/2H]"),
        ("/0h/2h]", "/00h/2h]"),
        ("/0h/2h]", "/0h/2h/]"),
        ("/0h/2h]", "/0h/*]"),
    ],
)
def test_an_origin_that_is_missing_or_not_the_keys_is_refused(old: str, new: str) -> None:
    with refuses("PATH_NONSTANDARD"):
        parse(body_of(GOOD[0], GOOD[1], GOOD[2].replace(old, new)))


def test_a_master_key_is_no_account() -> None:
    root = root_of(3)
    with refuses("PATH_NONSTANDARD"):
        parse(body_of(GOOD[0], GOOD[1], f"[{root.my_fingerprint.hex()}]{root.to_public().to_base58()}"))


# --- C6, C7: scripts that are no template

A, B, C = (f"{each}/<0;1>/*" for each in GOOD)
RAW = ALICE.key.public_key.hex()
UNCOMPRESSED = "04" + "a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd" * 2


@pytest.mark.parametrize(
    "body",
    [
        "",
        "wsh",
        "wsh()",
        "wsh(sortedmulti())",
        "wsh(sortedmulti(2))",
        "wsh(sortedmulti(2,))",
        "raw(deadbeef)",
        f"pkh({A})",
        f"wpkh({A})",
        f"sh(wpkh({A}))",
        f"tr({A})",
        f"tr({A},multi_a(2,{B},{C}))",
        f"tr({A},{{sortedmulti_a(2,{B},{C}),pk({A})}})",
        f"combo({A})",
        f"sortedmulti(2,{A},{B},{C})",
        f"sh(sortedmulti(2,{A},{B},{C}))",
        f"wsh(multi(2,{A},{B},{C}))",
        f"sh(multi(2,{A},{B},{C}))",
        f"wsh(multi_a(2,{A},{B},{C}))",
        f"wsh(wsh(sortedmulti(2,{A},{B},{C})))",
        f"sh(sh(sortedmulti(2,{A},{B},{C})))",
        f"sh(wsh(wsh(sortedmulti(2,{A},{B},{C}))))",
        f"wsh(sh(sortedmulti(2,{A},{B},{C})))",
        f"wsh(sortedmulti(2,{A},{B},{C})",
        f"wsh(sortedmulti(2,{A},{B},{C})))",
        f"wsh(sortedmulti(2,{A},{B},{C}))wsh(sortedmulti(2,{A},{B},{C}))",
        f"WSH(sortedmulti(2,{A},{B},{C}))",
        f"wsh(sortedmulti(2,{A}, {B},{C}))",
        f"wsh(sortedmulti(2,{A},,{C}))",
        f"wsh(sortedmulti(2,{A},{B},{C},))",
        f"wsh(sortedmulti(2,{A},wsh(sortedmulti(2,{B},{C}))))",
        # unsafe miniscript: one hash instead of keys, mixed timelocks, malleable branches, too many operations
        "wsh(ripemd160(5d41402abc4b2a76b9719d911017c5925d41402a))",
        f"wsh(and_v(v:older(144),and_v(v:after(500000001),pk({A}))))",
        f"wsh(or_d(pk({A}),and_v(v:pk({B}),older(52560))))",
        f"wsh(or_d(multi(2,{A},{B}),or_i(pk({C}),pk({C}))))",
        f"wsh(thresh(2,pk({A}),s:pk({B}),sln:older(12960)))",
        "wsh(" + "and_v(v:older(1)," * 203 + "older(1)" + ")" * 204,
        f"wsh(sortedmulti(2,{A},pk({B}),{C}))",
        f"wsh(sortedmulti(2,{A},older(5),{C}))",
        # keys that are not extended ones
        f"wsh(sortedmulti(2,{A},{B},{RAW}))",
        f"wsh(sortedmulti(2,{A},{B},{RAW}/<0;1>/*))",
        f"wsh(sortedmulti(2,{A},{B},{ORIGIN}{RAW}))",
        f"wsh(sortedmulti(2,{A},{B},{UNCOMPRESSED}))",
        f"wsh(sortedmulti(2,{A},{B},{ORIGIN}{UNCOMPRESSED}))",
        f"wsh(sortedmulti(2,{A},{B},{RAW[2:]}))",
    ],
)
def test_what_is_no_template_is_refused(body: str) -> None:
    with refuses("TEMPLATE"):
        parse(body)


@pytest.mark.parametrize("threshold", ["0", "1", "4", "16", "999"])
def test_a_threshold_that_is_unsafe_or_never_met_is_refused(threshold: str) -> None:
    with refuses("TEMPLATE"):
        parse(body_of(*GOOD, threshold=threshold))


@pytest.mark.parametrize("threshold", ["", "-1", "+2", "02", "2.0", "two", " 2", "2 ", "99999", "\u0662"])
def test_a_threshold_has_one_spelling(threshold: str) -> None:
    body = body_of(*GOOD, threshold=threshold)
    with refuses("TEMPLATE" if body.isascii() else "DESC_CHECKSUM"):
        Vault.parse(sealed(body) if body.isascii() else body + "#qqqqqqqq", Network.REGTEST)


def test_one_of_n_is_refused_whatever_n_is() -> None:
    for count in (1, 2, 15):
        with refuses("TEMPLATE"):
            create(*(cosigner(seed) for seed in range(1, count + 1)), threshold=1)


def test_fifteen_keys_pass_and_sixteen_are_refused() -> None:
    for script_type, last in ((ScriptType.WSH, 2), (ScriptType.SH_WSH, 1)):
        keys = [cosigner(seed, f"48h/1h/0h/{last}h") for seed in range(1, 17)]
        vault = Vault.create(8, keys[:15], script_type, Network.REGTEST)
        assert Vault.parse(vault.descriptor, Network.REGTEST) == vault
        with refuses("TEMPLATE"):
            Vault.create(8, keys, script_type, Network.REGTEST)


@pytest.mark.parametrize("count", [16, 20, 21])
def test_more_keys_than_every_device_registers_are_refused_in_any_script(count: int) -> None:
    # Sixteen in sh() would be a redeem script of more than 520 bytes; twenty-one in wsh() no multisig at all.
    keys = ",".join(f"{cosigner(seed).expression()}/<0;1>/*" for seed in range(1, count + 1))
    for script in ("wsh({})", "sh(wsh({}))", "sh({})"):
        with refuses("TEMPLATE"):
            parse(script.format(f"sortedmulti(2,{keys})"))


@pytest.mark.parametrize(
    "steps",
    [
        "",
        "/",
        "/*",
        "/0/*",
        "/1/*",
        "/<0;1>",
        "/<0;1>/0",
        "/<0;1>/*h",
        "/<0;1>/*'",
        "/<1;0>/*",
        "/<2;1>/*",
        "/<0;2>/*",
        "/<0;1;2>/*",
        "/<0h;1h>/*",
        "/0h/<0;1>/*",
        "/0/<0;1>/*",
        "/<0;1>/<0;1>/*",
        "/<0;1>/*/*",
        "/<>/*",
        "/<0;>/*",
        "/0>/*",
        "/<0/*",
        "/<00;1>/*",
        "/**",
        "/<0;1>/* ",
    ],
)
def test_keys_end_in_the_two_branches_and_every_index(steps: str) -> None:
    with refuses("TEMPLATE"):
        parse(f"wsh(sortedmulti(2,{GOOD[0]}{steps},{B},{C}))")
    with refuses("TEMPLATE"):
        parse("wsh(sortedmulti(2," + ",".join(key + steps for key in GOOD) + "))")


def test_a_hardened_step_after_the_key_is_named() -> None:
    with refuses("TEMPLATE") as caught:
        parse(body_of(GOOD[0], GOOD[1], GOOD[2] + "/0h/<0;1>/*"))
    assert "hardened" in str(caught.error)
    assert "key 3" in str(caught.error)


PIECES = [*"()[]<>;,/*#'hH019", "wsh(", "sh(", "sortedmulti(", "2147483648", "/<0;1>/*", *GOOD, ORIGIN, RAW]


@given(
    st.lists(st.tuples(st.integers(0, 450), st.integers(0, 40), st.sampled_from(PIECES) | st.text(CHARSET, max_size=8)))
)
def test_no_alteration_gives_anything_but_a_vault_or_a_named_refusal(edits: list[tuple[int, int, str]]) -> None:
    body = body_of(*GOOD)
    for at, length, new in edits:
        body = body[:at] + new + body[at + length :]
    found = vault_or_refusal(body)
    if isinstance(found, CustodyError):
        assert found.code in {
            "DUP_COSIGNER",
            "INDEX_RANGE",
            "PATH_NONSTANDARD",
            "SECRET_MATERIAL",
            "TEMPLATE",
            "XPUB_INVALID",
        }
        assert found.advice()
    else:
        assert Vault.parse(found.descriptor, Network.REGTEST) == found
        assert found.threshold >= 2
        assert len({each.fingerprint for each in found.cosigners}) >= found.threshold


def vault_or_refusal(body: str) -> Vault | CustodyError:
    try:
        return parse(body)
    except CustodyError as error:
        return error


DEEP = {
    "wsh": "wsh(" * 5000 + ")" * 5000,
    "sh(wsh": "sh(wsh(" * 5000,
    "just below the limit": "wsh(" * 800 + ")" * 800,
    "sortedmulti": "wsh(sortedmulti(" * 250,
    "inside": "wsh(sortedmulti(2," + "(" * 4000 + "))",
    "commas": "wsh(sortedmulti(2" + "," * 4000 + "))",
    "brackets": "wsh(sortedmulti(2," + "[" * 4000 + "))",
    "slashes": "wsh(sortedmulti(2," + "/0" * 2000 + "))",
    "miniscript": "wsh(" + "or_d(" * 5000,
    "a megabyte": "wsh(sortedmulti(2," + GOOD[0] * 8000 + "))",
}


@pytest.mark.parametrize("case", DEEP)
def test_depth_and_length_cost_nothing(case: str) -> None:
    with refuses("TEMPLATE"):
        parse(DEEP[case])


def test_a_text_that_is_too_long_is_not_even_summed() -> None:
    with refuses("TEMPLATE"):
        Vault.parse("wsh(" * 5000, Network.REGTEST)


# --- C9: a private key anywhere is refused and never repeated

SEED = bytes(range(100, 132))
MNEMONIC = bip39.mnemonic_from_bytes(SEED)
ACCOUNT = root_of(9).derive("m/48h/1h/0h/2h")
TPRV = ACCOUNT.to_base58()
XPRV = ACCOUNT.to_base58(version=NETWORKS["main"]["xprv"])
WIF = ec.PrivateKey(SEED).wif(NETWORKS["main"])
WIF_TEST = ec.PrivateKey(SEED).wif(NETWORKS["regtest"])
WIF_UNCOMPRESSED = ec.PrivateKey(SEED, compressed=False).wif(NETWORKS["main"])

DOORS: dict[str, Callable[[str], object]] = {
    "refuse_secrets": refuse_secrets,
    "account key": AccountKey.parse,
    "cosigner": Cosigner.parse,
    "cosigner with origin": lambda secret: Cosigner.parse(f"{ORIGIN}{secret}"),
    "descriptor": lambda secret: parse(body_of(GOOD[0], GOOD[1], f"{ORIGIN}{secret}")),
    "descriptor without checksum": lambda secret: Vault.parse(f"wpkh({secret})", Network.MAIN),
    "descriptor alone": lambda secret: Vault.parse(secret, Network.MAIN),
}


def everything_told(error: BaseException) -> str:
    told = "".join(traceback.format_exception(error))
    chain: BaseException | None = error
    while chain is not None:
        told += f"{chain}{chain!r}{chain.args!r}"
        told += str(chain.values()) + chain.advice() if isinstance(chain, CustodyError) else ""
        chain = chain.__cause__ or chain.__context__
    return told


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("secret", [TPRV, XPRV, WIF, WIF_TEST, WIF_UNCOMPRESSED, MNEMONIC], ids=lambda s: s[:4])
def test_private_material_is_refused_at_every_door(door: str, secret: str) -> None:
    with pytest.raises(SecretMaterial) as caught:
        DOORS[door](secret)
    told = everything_told(caught.value)
    assert caught.value.code == "SECRET_MATERIAL"
    assert caught.value.advice()
    pieces = secret.split() if " " in secret else [secret[:12], secret[12:24], secret[-12:]]
    assert not [piece for piece in pieces if len(piece) > 7 and piece in told]


def test_a_mistyped_private_key_is_not_repeated_either() -> None:
    """Its checksum is wrong and its prefix altered, so nothing can tell what it is; still no message holds it."""
    almost = "xprw" + XPRV[4:]
    for name in DOORS.keys() - {"refuse_secrets"}:
        with pytest.raises(CustodyError) as caught:
            DOORS[name](almost)
        assert almost[4:20] not in everything_told(caught.value)
