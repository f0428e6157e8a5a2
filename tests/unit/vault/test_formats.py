"""One vault, as ten programs and three word processors write it: read as one vault with one id, or refused by name."""

import json
import re

import pytest

from custody.bitcoin.script import base58check_decode, base58check_encode
from custody.charter.text import parse_charter
from custody.testing.asserts import refuses
from custody.testing.cast import Setting, make_cast
from custody.units import Network
from custody.vault.bitcoind import watched
from custody.vault.descriptor import Vault, checksum
from custody.vault.formats import MAX_VAULT_TEXT, read_cosigner, read_vault
from custody.vault.templates import ScriptType

VAULT = make_cast().vault
NESTED = make_cast(Setting(script_type=ScriptType.SH_WSH)).vault
TAPROOT = make_cast(Setting(script_type=ScriptType.TR)).vault
GOOD = VAULT.descriptor
BODY, SUM = GOOD.split("#")
KEYS = BODY[len("wsh(sortedmulti(2,") : -2].split(",")
PLAIN = [key.removesuffix("/<0;1>/*") for key in KEYS]
XPUB = PLAIN[0].split("]")[1]


def summed(body: str) -> str:
    return f"{body}#{checksum(body)}"


def marked(mark: str, body: str = BODY) -> str:
    return re.sub(r"(?<=[0-9])h(?=[/\]])", mark, body)


def version(key: str, hexadecimal: str) -> str:
    """The same key under other version bytes."""
    return base58check_encode(bytes.fromhex(hexadecimal) + base58check_decode(key)[4:])


def halves(vault: Vault) -> tuple[str, str]:
    body = vault.descriptor.split("#")[0]
    return summed(body.replace("/<0;1>/*", "/0/*")), summed(body.replace("/<0;1>/*", "/1/*"))


def coldcard(**changes: str) -> str:
    said = {"Name": "x", "Policy": "2 of 3", "Format": "P2WSH"} | changes
    head = "".join(f"{name}: {value}\n" for name, value in said.items())
    keys = (re.fullmatch(r"\[(.{8})(/.*)\](.*)", each) for each in PLAIN)
    return f"# Coldcard Multisig setup file\n{head}\n" + "".join(
        f"Derivation: m{marked(chr(39), key[2])}\n{key[1].upper()}: {key[3]}\n" for key in keys
    )


def caravan(**changes: object) -> str:
    keys = (re.fullmatch(r"\[(.{8})(/.*)\](.*)", each) for each in PLAIN)
    listed = [{"name": "a", "xfp": key[1], "bip32Path": "m" + marked("'", key[2]), "xpub": key[3]} for key in keys]
    quorum = {"requiredSigners": 2, "totalSigners": 3}
    return json.dumps({"addressType": "P2WSH", "quorum": quorum, "extendedPublicKeys": listed} | changes)


def bsms(address: str = VAULT.address(0, 0), restrictions: str = "/0/*,/1/*") -> str:
    return f"BSMS 1.0\n{BODY.replace('/<0;1>/*', '/**')}\n{restrictions}\n{address}\n"


FIRST, SECOND = halves(VAULT)
CAPITALS = re.sub(r"\[([0-9a-f]{8})", lambda each: f"[{each[1].upper()}", BODY)
SAME = {
    "as printed": GOOD,
    "apostrophes": summed(marked("'")),
    "apostrophes, checksum of h": f"{marked(chr(39))}#{SUM}",
    "h, checksum of apostrophes": f"{BODY}#{checksum(marked(chr(39)))}",
    "H": summed(marked("H")),
    "typographic apostrophes": summed(marked("'")).replace("'", "\u2019"),
    "backquotes": summed(marked("'")).replace("'", "`"),
    "checksum in capitals": f"{BODY}#{SUM.upper()}",
    "fingerprints in capitals": summed(CAPITALS),
    "byte order mark, blanks, lines": f"\ufeff  {GOOD} \n\n",
    "no-break blanks": GOOD.replace(",", ",\u00a0"),
    "blanks after commas": GOOD.replace(",", ", "),
    "broken over lines": "\n".join(GOOD[at : at + 70] for at in range(0, len(GOOD), 70)),
    "quotes": f'"{GOOD}"',
    "quotes of a word processor": f"\u201c{GOOD}\u201d",
    "one for each branch": f"{FIRST}\n{SECOND}\n",
    "change first": f"{SECOND}\n{FIRST}",
    "Sparrow": f"# Receive and change descriptor (BIP389):\n{GOOD}\n\n# Receive:\n{FIRST}\n\n# Change:\n{SECOND}\n",
    "/{0,1}/*": summed(BODY.replace("<0;1>", "{0,1}")),
    "/** with a checksum": summed(BODY.replace("/<0;1>/*", "/**")),
    "a Vpub": summed(BODY.replace(XPUB, version(XPUB, "02575483"))),
    "Specter": json.dumps({"label": "x", "blockheight": 0, "descriptor": FIRST}),
    "listdescriptors": json.dumps({"wallet_name": "x", "descriptors": [{"desc": FIRST}, {"desc": SECOND}]}),
    "bitcoind's answer": json.dumps({"result": {"descriptors": [{"desc": FIRST}, {"desc": SECOND}]}, "id": 1}),
    "our importdescriptors": json.dumps([watched(VAULT, branch, 0).request(0) for branch in (0, 1)]),
    "our JSON": json.dumps({"name": "x", "descriptor": GOOD}),
    "BSMS": bsms(),
    "BSMS, CRLF read as LF": bsms(restrictions="No path restrictions"),
}
UNCHECKED = {
    "no checksum": BODY,
    "/** without one": BODY.replace("/<0;1>/*", "/**"),
    "Coldcard": coldcard(),
    "Caravan": caravan(),
}


@pytest.mark.parametrize("name", [*SAME, *UNCHECKED])
def test_one_vault_in_any_form_is_that_vault_with_that_id(name):
    found = read_vault((SAME | UNCHECKED)[name], Network.REGTEST)
    assert found.vault.id == VAULT.id
    assert found.vault.descriptor == GOOD
    assert found.is_checked is (name in SAME)


@pytest.mark.parametrize(
    "name", ["a Vpub", "Specter", "one for each branch", "quotes", "BSMS", "broken over lines", *UNCHECKED]
)
def test_what_was_read_as_something_else_is_told(name):
    assert read_vault((SAME | UNCHECKED)[name], Network.REGTEST).notes


@pytest.mark.parametrize("text", [GOOD, summed(BODY)])
def test_what_was_read_as_it_stands_has_no_notes(text):
    assert read_vault(text, Network.REGTEST).notes == ()
    # One half of an account is read as both, and only that is told.
    (note,) = read_vault(summed(BODY.replace("/<0;1>/*", "/**")), Network.REGTEST).notes
    assert note == "/** was read as /<0;1>/*"


@pytest.mark.parametrize("vault", [NESTED, TAPROOT], ids=["sh-wsh", "tr"])
def test_every_script_type_is_read(vault):
    body = vault.descriptor.split("#")[0]
    for text in (vault.descriptor, "\n".join(halves(vault)), summed(marked("'", body)), body):
        assert read_vault(text, Network.REGTEST).vault.id == vault.id


REFUSED = {
    "receive half": (FIRST, "TEMPLATE", "the receiving branch only"),
    "change half": (SECOND, "TEMPLATE", "the change branch only"),
    "no steps": (summed(BODY.replace("/<0;1>/*", "")), "TEMPLATE", "one address only"),
    "steps of two kinds": (summed(BODY.replace("/<0;1>/*", "/0/*", 1)), "TEMPLATE", "same steps"),
    "other steps": (summed(BODY.replace("<0;1>", "<2;3>")), "TEMPLATE", "does not end in"),
    "a letter changed": (GOOD.replace("sortedmulti(2", "sortedmulti(3"), "DESC_CHECKSUM", "some of it was changed"),
    "two vaults": (f"{GOOD}\n{NESTED.descriptor}", "TEMPLATE", "not of one vault"),
    "something after it": (f"{GOOD}x", "TEMPLATE", "stands after it"),
    "cut off": (GOOD[:200], "TEMPLATE", "some of it is missing"),
    "unsorted": (summed(BODY.replace("sortedmulti", "multi")), "TEMPLATE", "multi, with its keys"),
    "one signature": (summed(f"wpkh({KEYS[0]})"), "TEMPLATE", "one signature"),
    "miniscript": (summed(f"wsh(and_v(v:pk({KEYS[0]}),pk({KEYS[1]})))"), "TEMPLATE", "miniscript"),
    "an address": ("addr(bcrt1q)", "TEMPLATE", "an address"),
    "words": ("hello", "TEMPLATE", "does not begin like a descriptor"),
    "nothing": (" \n", "VAULT_FORM", "empty"),
    "a vpub": (summed(BODY.replace(XPUB, version(XPUB, "045f1cf6"))), "XPUB_INVALID", "single-signature"),
    "a Upub": (summed(BODY.replace(XPUB, version(XPUB, "024289ef"))), "XPUB_INVALID", "for sh-wsh"),
    "a Zpub": (summed(BODY.replace(XPUB, version(XPUB, "02aa7ed3"))), "NETWORK_MISMATCH", "main network"),
    "BSMS of another vault": (bsms(VAULT.address(0, 1)), "VAULT_FORM", "first address"),
    "BSMS of another network": (bsms("tb1qj3kxdlvzwdsdd9mv6yglgq2v02fmqsec"), "NETWORK_MISMATCH", "BSMS"),
    "BSMS of other branches": (bsms(restrictions="/2/*,/3/*"), "VAULT_FORM", "other branches"),
    "BSMS of a key": ("BSMS 1.0\n00\n", "VAULT_FORM", "no descriptor record"),
    "Coldcard, a key missing": (coldcard(Policy="2 of 4"), "VAULT_FORM", "4 keys, and 3"),
    "Coldcard, legacy": (coldcard(Format="P2SH"), "VAULT_FORM", "neither P2WSH"),
    "Coldcard, a line": (coldcard() + "hello\n", "VAULT_FORM", "a line of it"),
    "Coldcard, twice": (coldcard() + "Format: P2WSH\n", "VAULT_FORM", "twice"),
    "Caravan, legacy": (caravan(addressType="P2SH"), "VAULT_FORM", "kind of address"),
    "Caravan, a key without path": (caravan(extendedPublicKeys=[{"xpub": XPUB}]), "VAULT_FORM", "lacks"),
    "Caravan, a key that is a word": (caravan(extendedPublicKeys=["x"]), "VAULT_FORM", "lacks"),
    "Caravan, strange quorum": (caravan(quorum=True), "VAULT_FORM", "quorum"),
    "Electrum": (json.dumps({"wallet_type": "2of3"}), "VAULT_FORM", "Electrum"),
    "other JSON": ("{}", "VAULT_FORM", "no descriptor stands in it"),
    "broken JSON": ("{", "VAULT_FORM", "is none"),
    "JSON that says it twice": (f'{{"descriptor":"{GOOD}","descriptor":"x"}}', "VAULT_FORM", "twice"),
    "deep JSON": ("[" * 60_000, "VAULT_FORM", "is none"),
    "too long": ("a" * (MAX_VAULT_TEXT + 1), "LIMIT", "characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_whole_vault_is_refused_with_what_it_looks_like(name):
    text, code, said = REFUSED[name]
    with refuses(code) as caught:
        read_vault(text, Network.REGTEST)
    assert said in str(caught.error)


def test_keys_in_another_order_are_another_text_of_the_same_vault():
    other = summed(f"wsh(sortedmulti(2,{KEYS[2]},{KEYS[0]},{KEYS[1]}))")
    found = read_vault(other, Network.REGTEST).vault
    assert found.descriptor == other != VAULT.descriptor
    assert found.id == VAULT.id


@pytest.mark.parametrize(
    "text",
    [
        PLAIN[0],
        KEYS[0],
        f"{PLAIN[0]}/0/*",
        marked("'", PLAIN[0]),
        marked("H", PLAIN[0]),
        marked("\u2019", PLAIN[0]),
        f' "{PLAIN[0]}" \n',
        PLAIN[0].replace(XPUB, version(XPUB, "02575483")),
        json.dumps({"expression": PLAIN[0], "kind": "cosigner"}),
        json.dumps(
            {
                "xfp": PLAIN[0][1:9].upper(),
                "p2wsh_deriv": "m" + marked("'", PLAIN[0].split("]")[0][9:]),
                "p2wsh": version(XPUB, "02575483"),
            }
        ),
    ],
)
def test_a_cosigner_s_key_is_read_as_its_device_writes_it(text):
    cosigner, notes = read_cosigner(text, ScriptType.WSH)
    assert cosigner.expression() == PLAIN[0]
    assert notes or text in {PLAIN[0], marked("'", PLAIN[0]), marked("H", PLAIN[0])}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (XPUB, "PATH_NONSTANDARD"),
        (f"{PLAIN[0]}/3/*", "PATH_NONSTANDARD"),
        (json.dumps({"xpub": XPUB}), "PATH_NONSTANDARD"),
        (PLAIN[0].replace(XPUB, version(XPUB, "045f1cf6")), "XPUB_INVALID"),
        (PLAIN[0][:-1], "XPUB_INVALID"),
    ],
)
def test_what_is_no_cosigner_s_key_is_refused(text, code):
    with refuses(code):
        read_cosigner(text, ScriptType.WSH)


def test_a_charter_s_text_takes_what_shows_that_it_was_not_mistyped():
    cast = make_cast()
    toml = f"""
institution = "National Bank"
network = "regtest"
origin = "bank.example/x"
coordinator = "{cast.coordinator.public_key.hex()}"
[[person]]
name = "Dana"
key = "{cast.people["Dana"].public_key.hex()}"
roles = ["requester"]
[[person]]
name = "Aigerim"
key = "{cast.people["Aigerim"].public_key.hex()}"
roles = ["officer"]
[[vault]]
name = "reserve"
descriptor = '''DESCRIPTOR'''
[[payee]]
type = "vault"
name = "the reserve"
vault = "reserve"
[[payee]]
name = "Supplier"
address = "bcrt1qj3kxdlvzwdsdd9mv6yglgq2v02fmqsec3hpg5v"
[[rule]]
type = "allow"
name = "known"
vaults = ["reserve"]
payees = ["Supplier"]
[[rule]]
type = "approvals"
name = "one"
vaults = ["reserve"]
role = "officer"
count = 1
[[rule]]
type = "fee"
name = "fees"
vaults = ["reserve"]
max_fee = 200000
max_rate = 100000
max_share = 100
"""
    own = parse_charter(toml.replace("DESCRIPTOR", GOOD))
    for text in (f"{GOOD}\n", f"{FIRST}\n{SECOND}", SAME["a Vpub"], SAME["typographic apostrophes"]):
        told: list[str] = []
        assert parse_charter(toml.replace("DESCRIPTOR", text), told.append).digest() == own.digest()
        assert told or text == f"{GOOD}\n"
    with refuses("DESC_CHECKSUM"):
        parse_charter(toml.replace("DESCRIPTOR", BODY))
    address = "bcrt1qj3kxdlvzwdsdd9mv6yglgq2v02fmqsec3hpg5v"
    for other, said in ((f"bitcoin:{address}", "payment link"), (f"{address} ", "more than an address")):
        with refuses("CHARTER_INVALID") as caught:
            parse_charter(toml.replace("DESCRIPTOR", GOOD).replace(address, other))
        assert said in str(caught.error)
    for mark, said in (("\u201d", "a quote of a word processor"), ("\u00a0", "a blank of a word processor")):
        with refuses("CHARTER_INVALID") as caught:
            parse_charter(toml.replace('"National Bank"', f"{mark}National Bank{mark}"))
        assert said in str(caught.error)
