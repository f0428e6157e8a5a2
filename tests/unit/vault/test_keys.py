import dataclasses
import traceback
from collections.abc import Callable

import pytest
from embit import bip32, bip39, ec
from embit.networks import NETWORKS

from custody.bitcoin.script import base58check_encode
from custody.record import SecretMaterial
from custody.testing.asserts import refuses
from custody.units import HARDENED, Network
from custody.vault.keys import AccountKey, Cosigner, KeyOrigin, refuse_secrets

SEED = bytes(range(32))
ROOT = bip32.HDKey.from_seed(SEED, version=NETWORKS["regtest"]["xprv"])
ACCOUNT = ROOT.derive("m/48h/1h/0h/2h")
TPUB = ACCOUNT.to_public().to_base58()
FINGERPRINT = ROOT.my_fingerprint.hex()
EXPRESSION = f"[{FINGERPRINT}/48h/1h/0h/2h]{TPUB}"
MNEMONIC = bip39.mnemonic_from_bytes(SEED[:16])
WIF = ec.PrivateKey(SEED).wif(NETWORKS["main"])


# --- origins


@pytest.mark.parametrize("text", ["[73c5da0a]", "[73c5da0a/48h/1h/0h/2h]", "[00000000/0/2147483647h/5]"])
def test_an_origin_reads_back_as_written(text: str) -> None:
    assert str(KeyOrigin.parse(text)) == text


def test_every_mark_of_hardening_is_read_and_h_is_written() -> None:
    origin = KeyOrigin.parse("[73C5DA0A/48'/1H/0h/2]")
    assert origin.path == (48 + HARDENED, 1 + HARDENED, HARDENED, 2)
    assert str(origin) == "[73c5da0a/48h/1h/0h/2]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "73c5da0a/48h",
        "[73c5da0a/48h",
        "[73c5da0/48h]",
        "[73c5da0a/]",
        "[73c5da0a//1]",
        "[73c5da0a/048h]",
        "[73c5da0a/48hh]",
        "[73c5da0a/-1]",
        "[73c5da0a/*]",
        "[73c5da0a/1_0]",
        "[73c5da0a/\u0661]",
        "[73c5da0a/48h]\n",
        "[m/48h]",
        "[73c5da0a" + "/0" * 5000 + "]",
    ],
)
def test_text_that_is_no_origin_is_refused(text: str) -> None:
    with refuses("PATH_NONSTANDARD"):
        KeyOrigin.parse(text)


def test_a_path_number_stays_below_two_to_the_31() -> None:
    assert KeyOrigin.parse("[73c5da0a/2147483647h]").path == (2 * HARDENED - 1,)
    for text in ("[73c5da0a/2147483648]", "[73c5da0a/2147483648h]", "[73c5da0a/9999999999]"):
        with refuses("INDEX_RANGE"):
            KeyOrigin.parse(text)
    for number in (-1, 2 * HARDENED):
        with refuses("INDEX_RANGE"):
            KeyOrigin(b"\1\2\3\4", (number,))


def test_a_fingerprint_is_four_bytes() -> None:
    with refuses("PATH_NONSTANDARD"):
        KeyOrigin(b"\1\2\3", ())


# --- extended keys


def test_a_tpub_reads_back_as_written_and_says_what_embit_says() -> None:
    key = AccountKey.parse(TPUB)
    theirs = bip32.HDKey.from_base58(TPUB)
    assert str(key) == TPUB
    assert AccountKey.from_bytes(key.to_bytes()) == key
    assert (key.public_key, key.chain_code, key.depth) == (theirs.sec(), theirs.chain_code, theirs.depth)
    assert (key.parent_fingerprint, key.child_number) == (theirs.fingerprint, theirs.child_number)
    assert key.network_version == Network.REGTEST.xpub_version


@pytest.mark.parametrize("prefix", ["ypub", "zpub", "Ypub", "Zpub"])
def test_a_slip132_key_is_refused_with_the_advice_to_convert(prefix: str) -> None:
    text = bip32.HDKey.from_base58(TPUB).to_base58(version=NETWORKS["main"][prefix])
    assert text.startswith(prefix)
    with refuses("XPUB_INVALID") as caught:
        AccountKey.parse(text)
    assert prefix in str(caught.error)
    assert "xpub or tpub" in str(caught.error)


@pytest.mark.parametrize("text", ["", "tpub", TPUB[:-1], TPUB + "1", TPUB[:-1] + "0", TPUB[:50] + "\u00e9" + TPUB[51:]])
def test_text_that_is_no_extended_key_is_refused(text: str) -> None:
    with refuses("XPUB_INVALID"):
        AccountKey.parse(text)


def test_one_wrong_character_is_refused() -> None:
    for at in range(4, len(TPUB)):
        other = "2" if TPUB[at] != "2" else "3"
        with refuses("XPUB_INVALID"):
            AccountKey.parse(TPUB[:at] + other + TPUB[at + 1 :])


@pytest.mark.parametrize(
    ("start", "bytes_"),
    [
        (0, b"\x04\x88\xb2\x1f"),  # version
        (4, b"\x00"),  # depth 0 with a parent
        (45, b"\x04"),  # uncompressed
        (45, b"\x02" + b"\xff" * 32),  # not on the curve
    ],
)
def test_bytes_that_contradict_themselves_are_refused(start: int, bytes_: bytes) -> None:
    data = bytearray(AccountKey.parse(TPUB).to_bytes())
    data[start : start + len(bytes_)] = bytes_
    with refuses("XPUB_INVALID"):
        AccountKey.from_bytes(bytes(data))
    with refuses("XPUB_INVALID"):
        AccountKey.parse(base58check_encode(bytes(data)))


@pytest.mark.parametrize("text", ["", TPUB[:-1], TPUB + "1"])
def test_an_xpub_has_111_characters(text: str) -> None:
    with refuses("XPUB_INVALID") as caught:
        AccountKey.parse(text)
    assert caught.error.problem == f"expected 111 characters, not {len(text)}"


@pytest.mark.parametrize("size", [0, 77, 79])
def test_an_extended_key_has_78_bytes(size: int) -> None:
    with refuses("XPUB_INVALID") as caught:
        AccountKey.from_bytes((AccountKey.parse(TPUB).to_bytes() + b"\x00")[:size])
    assert caught.error.problem == f"expected 78 bytes, not {size}"


@pytest.mark.parametrize(
    "change",
    [{"chain_code": bytes(31)}, {"parent_fingerprint": bytes(5)}, {"depth": 256}, {"depth": -1}, {"child_number": -1}],
)
def test_fields_out_of_range_are_refused(change: dict[str, object]) -> None:
    key = AccountKey.parse(TPUB)
    fields = {name: getattr(key, name) for name in AccountKey.__slots__}
    with refuses("XPUB_INVALID"):
        AccountKey(**{**fields, **change})


def test_a_key_does_not_show_itself_in_logs() -> None:
    cosigner = Cosigner.parse(EXPRESSION)
    shown = repr(cosigner) + repr(cosigner.key)
    assert TPUB not in shown
    assert cosigner.key.public_key.hex() not in shown
    assert cosigner.key.chain_code.hex() not in shown


# --- cosigners


def test_a_key_expression_reads_back_as_written() -> None:
    cosigner = Cosigner.parse(EXPRESSION, name="Alice")
    assert cosigner.expression() == EXPRESSION
    assert cosigner.name == "Alice"
    assert cosigner.fingerprint.hex() == FINGERPRINT
    assert cosigner.key_path(1, 7).path == (48 + HARDENED, 1 + HARDENED, HARDENED, 2 + HARDENED, 1, 7)
    assert cosigner.key_path(1, 7).fingerprint == cosigner.fingerprint


def test_a_key_with_apostrophes_is_the_same_key() -> None:
    assert Cosigner.parse(f"[{FINGERPRINT}/48'/1'/0h/2']{TPUB}") == Cosigner.parse(EXPRESSION)


@pytest.mark.parametrize(
    "text",
    [
        TPUB,
        f"[]{TPUB}",
        f"[{FINGERPRINT}/48h/1h/0h]{TPUB}",  # one step short of the key's depth
        f"[{FINGERPRINT}/48h/1h/0h/2h/0]{TPUB}",
        f"[{FINGERPRINT}/48h/1h/0h/1h]{TPUB}",  # another number than the key's
        f"[{FINGERPRINT}/48h/1h/0h/2]{TPUB}",
        f"[{FINGERPRINT}/48H/1H/0H/2H]{TPUB}",
        f"[00000000/48h/1h/0h/2h]{TPUB}",
        f"[{FINGERPRINT}][{FINGERPRINT}]{TPUB}",
        f"{FINGERPRINT}]{TPUB}",
        EXPRESSION * 10,
    ],
)
def test_an_origin_that_is_missing_or_not_the_keys_is_refused(text: str) -> None:
    with refuses("PATH_NONSTANDARD"):
        Cosigner.parse(text)


def test_a_key_at_another_depth_than_its_path_is_refused() -> None:
    good = Cosigner.parse(EXPRESSION)
    for depth in (3, 5):
        with refuses("PATH_NONSTANDARD"):
            Cosigner("", good.origin, dataclasses.replace(good.key, depth=depth))


@pytest.mark.parametrize("key", ["", "02" + "11" * 32, TPUB + "/0", TPUB + "/<0;1>/*", " " + TPUB, TPUB + "\n"])
def test_what_follows_the_origin_is_one_extended_key(key: str) -> None:
    with refuses("XPUB_INVALID"):
        Cosigner.parse(f"[{FINGERPRINT}/48h/1h/0h/2h]{key}")


def test_a_name_that_lies_on_a_screen_is_refused() -> None:
    with refuses("TEXT_FORBIDDEN"):
        Cosigner.parse(EXPRESSION, name="Ali\u202ece")


def test_messages_call_a_cosigner_by_name_and_fingerprint(cosigner: Callable[..., Cosigner]) -> None:
    one = cosigner(5, name="Alice")
    assert one.label == f"cosigner Alice {one.fingerprint.hex()}"
    assert cosigner(5).label == f"cosigner {one.fingerprint.hex()}"


# --- secrets


def _xprvs() -> list[str]:
    main, test = NETWORKS["main"], NETWORKS["test"]
    versions = [net[kind] for net in (main, test) for kind in ("xprv", "yprv", "zprv", "Yprv", "Zprv")]
    return [ACCOUNT.to_base58(version=version) for version in versions]


SECRETS = [
    *_xprvs(),
    ACCOUNT.to_base58(version=b"\x00\x01\x02\x03"),  # of no known version
    _xprvs()[0][:60],  # cut short
    _xprvs()[0][:70] + "X" + _xprvs()[0][71:],  # mistyped
    "n" + _xprvs()[0],  # behind an escaped line break
    f"[{FINGERPRINT}/48h/1h/0h/2h]{_xprvs()[1]}",
    f"wsh(sortedmulti(2,{_xprvs()[5]}/<0;1>/*,{TPUB}/<0;1>/*))",
    WIF,
    ec.PrivateKey(SEED).wif(NETWORKS["test"]),
    ec.PrivateKey(SEED, compressed=False).wif(NETWORKS["main"]),
    ec.PrivateKey(SEED, compressed=False).wif(NETWORKS["test"]),
    ec.PrivateKey(bytes(31) + b"\1").wif(NETWORKS["main"]),
    f'{{"key": "x\\n{WIF}"}}',
    "6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg",  # BIP 38, first vector
    "ms10testsxxxxxxxxxxxxxxxxxxxxxxxxxx4nzvca9cmczlw",  # BIP 93, first vector
    MNEMONIC,
    MNEMONIC.upper(),
    f"my words: {MNEMONIC}.",
    "\n".join(f"{i}. {word}" for i, word in enumerate(MNEMONIC.split(), 1)),
    str(MNEMONIC.split()),
    " ".join(word[:4] for word in MNEMONIC.split()),
    " ".join(["zoo"] * 12),  # its checksum is wrong: a typing error does not make it public
    bip39.mnemonic_from_bytes(SEED),
    (
        "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband erode "
        "duke ajar critical decision keyboard"
    ),  # SLIP 39, first vector
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_private_material_is_refused_and_never_repeated(secret: str) -> None:
    for text in (secret, f"note = '{secret}'\n", secret.encode(), secret.encode("utf-16")):
        with pytest.raises(SecretMaterial) as caught:
            refuse_secrets(text, where="charter")
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.advice()
        told += repr(caught.value.__cause__) + repr(caught.value.__context__)
        assert caught.value.code == "SECRET_MATERIAL"
        assert "charter" in told
        assert caught.value.advice()
        assert not [part for part in secret.split() if len(part) > 9 and part in told]


@pytest.mark.parametrize(
    "text",
    [
        "",
        EXPRESSION,
        ACCOUNT.to_public().to_base58(version=NETWORKS["main"]["zpub"]),
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        WIF[:-1] + ("2" if WIF[-1] != "2" else "3"),  # a checksum is what tells a WIF from noise
        " ".join(MNEMONIC.split()[:11]),
        " ".join(MNEMONIC.split()[:11]) + " Tuesday " + " ".join(MNEMONIC.split()[:11]),
        "00" * 32,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@example.org",
        (
            "The reserve's cold vault needs three of five keys, each held at its own site, and every transfer to the "
            "treasury waits two days before anybody may sign it; ask the duty officer for the list of sites."
        ),
    ],
)
def test_public_text_passes(text: str) -> None:
    refuse_secrets(text)
    refuse_secrets(text.encode())


@pytest.mark.parametrize("at", [0, 1, 7_000, 20_000])
def test_a_private_key_is_found_at_any_place_of_a_long_text(at: int) -> None:
    """Whatever letters stand around it, even those of which keys are made."""
    for noise in ("A", "words of a long text ", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa,"):
        text = (noise * 20_001)[:20_000]
        for secret in (WIF, _xprvs()[3], f" {MNEMONIC} "):
            with refuses("SECRET_MATERIAL"):
                refuse_secrets(text[:at] + secret + text[at:])


@pytest.mark.parametrize("like", ["6P", "Kx", "5J", "91", "cM"])
def test_a_text_made_of_what_is_nearly_a_private_key_is_not_searched_without_end(like: str) -> None:
    with refuses("LIMIT"):
        refuse_secrets(like * (400_000 // len(like)))
