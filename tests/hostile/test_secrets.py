"""Private material where only public things belong (THREATS C9): refused at every door, and never shown or kept."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import pytest

from custody.bitcoin.curve import public_key
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt, PsbtMap
from custody.bitcoin.psbt_fields import GlobalField, InputField, OutputField
from custody.bitcoin.script import base58check_encode, script_of
from custody.charter.document import Charter, read_charter
from custody.charter.text import parse_charter
from custody.envelope import parse_public_key, sign
from custody.errors import CustodyError
from custody.record import canonical
from custody.testing.asserts import refuses
from custody.testing.cast import OFFICERS, SUPPLIER, expected, make_cast, person_key, secret
from custody.testing.scenario import Scenario
from custody.transfer.address import AddressAnnex, AddressIssued, ExpectedDeposit
from custody.transfer.approval import Approval, Withdrawal
from custody.transfer.draft import Draft
from custody.transfer.request import ReasonAnnex, TransferRequest
from custody.transfer.signing import accept
from custody.units import Network, parse_amount
from custody.vault.descriptor import Vault, checksum
from custody.vault.keys import AccountKey, Cosigner
from custody.words import check_spoken

KEY = secret("exposed")
CHAIN_CODE = secret("exposed chain code")
MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def extended(version: str, depth: int = 0) -> str:
    return base58check_encode(bytes.fromhex(version) + bytes([depth]) + bytes(8) + CHAIN_CODE + b"\x00" + KEY)


SECRETS = {
    "xprv": extended("0488ade4"),
    "tprv": extended("04358394"),
    "zprv": extended("04b2430c"),
    "WIF of the main network": base58check_encode(b"\x80" + KEY + b"\x01"),
    "WIF of a test network": base58check_encode(b"\xef" + KEY + b"\x01"),
    "WIF for an uncompressed key": base58check_encode(b"\x80" + KEY),
    "mnemonic": MNEMONIC,
    "mnemonic in its first four letters": " ".join(word[:4] for word in MNEMONIC.split()),
    "mnemonic of 24 words": "abandon " * 23 + "art",
}
TESTNET = make_cast().vault.descriptor


def shown(error: BaseException) -> str:
    """Everything that a screen, a log or a bug report could show of an error and of where it came from."""
    record = logging.LogRecord("custody", logging.ERROR, __file__, 1, "%s %r", (error, error), None)
    values = repr(error.values()) if isinstance(error, CustodyError) else ""
    chained = "".join(traceback.format_exception(error, chain=True))
    return "\n".join((str(error), repr(error), repr(error.args), values, chained, record.getMessage()))


def betrays(text: str, private: str) -> bool:
    """Whether `text` holds enough of a secret to hurt: a third of it, or three of its words in a row."""
    words = private.split()
    if len(words) > 1:
        pieces = [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]
    else:
        size = len(private) // 3
        pieces = [private[at : at + size] for at in range(len(private) - size + 1)]
    return any(piece in text for piece in pieces)


def refuses_unseen(door: Callable[[], object], private: str, code: str = "SECRET_MATERIAL") -> None:
    """The door refuses, and neither its error nor what was printed meanwhile holds the secret."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), refuses(code) as caught:
        door()
    assert not betrays(shown(caught.error) + caught.error.advice() + out.getvalue(), private)


def test_what_betrays_a_secret_is_noticed():
    assert betrays(f"input {SECRETS['xprv'][:60]} is bad", SECRETS["xprv"])
    assert betrays("expected 'winner thank year'", MNEMONIC)
    assert not betrays("the text holds an extended private key", SECRETS["xprv"])


# --- charters -------------------------------------------------------------------------------------------------------


TOML = """
institution = "National Bank"
network = "regtest"
origin = "custody.example/test"
coordinator = "{coordinator}"
[[person]]
name = "Dana"
key = "{dana}"
roles = ["requester"]
[[person]]
name = "Aigerim"
key = "{aigerim}"
roles = ["officer"]
[[vault]]
name = "reserve"
descriptor = "{descriptor}"
[[payee]]
name = "Supplier"
address = "{address}"
[[rule]]
type = "allow"
name = "known payees"
vaults = ["reserve"]
payees = ["Supplier"]
[[rule]]
type = "approvals"
name = "one officer"
vaults = ["reserve"]
role = "officer"
count = 1
[[rule]]
type = "fee"
name = "modest fees"
vaults = ["reserve"]
max_fee = 100000
max_rate = 100000
max_share = 1000
"""


def toml(**changes: str) -> str:
    honest = {
        "coordinator": person_key("coordinator").public_key.hex(),
        "dana": person_key("Dana").public_key.hex(),
        "aigerim": person_key("Aigerim").public_key.hex(),
        "descriptor": TESTNET,
        "address": make_cast().charter.payees[1].address,
    }
    return TOML.format(**honest | changes)


def test_the_charter_of_these_tests_is_a_good_one():
    assert parse_charter(toml()).institution == "National Bank"


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "place", ["dana", "descriptor", "address", "a comment", "a name", "a field", "an escaped name"]
)
def test_no_charter_is_written_with_a_secret_in_it(kind, place):
    private = SECRETS[kind]
    text = toml()
    if place == "a comment":
        text += f"# {private}\n"
    elif place == "a name":
        text = text.replace("National Bank", private)
    elif place == "an escaped name":
        text = text.replace("National Bank", "".join(f"\\u{ord(each):04x}" for each in private))
    elif place == "a field":
        text = f'"{private}" = 1\n' + text
    else:
        text = toml(**{place: private})
    refuses_unseen(lambda: parse_charter(text), private)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_signed_charter_carries_a_secret(kind):
    private, charter = SECRETS[kind], make_cast().charter
    tree = json.loads(charter.to_bytes())
    for change in (
        {"institution": private},
        {"people": [tree["people"][0] | {"name": private}]},
        {"payees": [tree["payees"][1] | {"name": private}]},
        {"payees": [tree["payees"][0] | {"vault": private}]},
        {"rules": [tree["rules"][0] | {"name": private}]},
        {"rules": [tree["rules"][0] | {"payees": [private]}]},
        {"vaults": [tree["vaults"][0] | {"name": private}]},
    ):
        body = canonical(tree | change)
        refuses_unseen(lambda body=body: Charter.from_bytes(body), private)
        # The same inside an envelope that somebody hands over to be looked at.
        envelope = sign(charter, person_key("Dana"))
        forged = type(envelope).model_validate(
            {"payload": _base64(body), "payloadType": envelope.payloadType, "signatures": ()}
        )
        refuses_unseen(lambda forged=forged: read_charter(forged), private)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_a_field_that_holds_no_text_is_not_shown_by_its_refusal(kind):
    private, tree = SECRETS[kind], json.loads(make_cast().charter.to_bytes())
    for change in (
        {private: 1},
        {"network": private},
        {"coordinator": private},
        {"origin": private},
        {"payees": [tree["payees"][1] | {"type": private}]},
        {"rules": [tree["rules"][0] | {"type": private}]},
        {"people": [tree["people"][0] | {"roles": [private]}]},
        {"people": [tree["people"][0] | {private: private}]},
    ):
        body = canonical(tree | change)
        refuses_unseen(lambda body=body: Charter.from_bytes(body), private, "RECORD_INVALID")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


# --- vaults, keys, addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xprv", "tprv", "zprv"])
def test_no_vault_is_made_of_a_private_key(kind):
    private = SECRETS[kind]
    first = TESTNET.split("[", 2)[1]
    body = TESTNET[: TESTNET.index("#")].replace(f"[{first}", f"[{first[:24]}]{private}/<0;1>/*,", 1)
    assert private in body
    for text in (body, f"{body}#{checksum(body)}"):
        refuses_unseen(lambda text=text: Vault.parse(text, Network.REGTEST), private)
    refuses_unseen(lambda: Cosigner.parse(f"[73c5da0a/48h/1h/0h/2h]{private}"), private)
    refuses_unseen(lambda: AccountKey.parse(private), private)


@pytest.mark.parametrize("kind", SECRETS)
def test_no_cosigner_is_named_after_a_secret(kind):
    cosigner = make_cast().vault.cosigners[0]
    refuses_unseen(lambda: Cosigner(SECRETS[kind], cosigner.origin, cosigner.key), SECRETS[kind])
    names = (SECRETS[kind], "almaty", "shymkent")
    refuses_unseen(lambda: Vault.parse(TESTNET, Network.REGTEST, names=names), SECRETS[kind])


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_pasted_in_the_wrong_place_is_refused_without_being_shown(kind):
    private, charter = SECRETS[kind], make_cast().charter
    in_base58 = " " not in private
    refuses_unseen(lambda: charter.payee(private), private)
    refuses_unseen(lambda: charter.person(private), private)
    refuses_unseen(lambda: charter.vault(private), private)
    refuses_unseen(lambda: parse_amount(private), private, "AMOUNT_INVALID")
    refuses_unseen(lambda: parse_public_key(private), private, "KEY_INVALID")
    refuses_unseen(lambda: parse_public_key(f"{private} dana@example"), private, "KEY_INVALID")
    # Words are what people type here: their own by mistake, one day.
    refuses_unseen(lambda: check_spoken(secret("a digest"), private), private, "WORDS_MISTYPED")
    code = "SECRET_MATERIAL" if in_base58 else "ADDRESS_INVALID"
    refuses_unseen(lambda: script_of(private, Network.REGTEST), private, code)


def test_a_private_key_in_hexadecimal_is_not_repeated_by_what_refuses_it():
    for door, code in (
        (lambda: check_spoken(secret("a digest"), KEY.hex()), "DIGEST_MISMATCH"),
        (lambda: parse_amount(KEY.hex()), "AMOUNT_INVALID"),
        (lambda: parse_public_key("x" + KEY.hex()), "KEY_INVALID"),
        (lambda: script_of(KEY.hex(), Network.REGTEST), "ADDRESS_INVALID"),
    ):
        refuses_unseen(door, KEY.hex(), code)


# --- names and reasons ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SECRETS)
def test_no_document_says_a_secret(forger, edit, kind):
    private = SECRETS[kind]
    request = TransferRequest.from_bytes(forger.request().body)
    approval = json.loads(forger.approval(forger.draft()).body)
    withdrawal = Withdrawal(
        network=request.network,
        charter=request.charter,
        transfer=bytes(32),
        person="Dana",
        annex=bytes(32),
        issued=1,
        nonce=bytes(16),
    )
    issued = AddressIssued.of("seized", bytes(32), forger.vault.id, 0, 0, 0)
    drafted = forger.draft(forger.request((SUPPLIER, 30_000_000), ("Reserve", 1_000_000)))
    for record, change in (
        (ReasonAnnex(reason="invoice 17"), {"reason": private}),
        (ReasonAnnex(reason="invoice 17"), {"reason": f"for {private} and more"}),
        (request, {"requester": private}),
        (request, {"payments": [{"payee": private, "amount": 1}]}),
        (withdrawal, {"person": private}),
        (AddressAnnex.of(expected()), {"purpose": private}),
        (AddressAnnex.of(expected()), {"payer": private}),
        (issued, {"coin_class": private}),
        (drafted, {"destinations": [{"payee": private, "index": 0}]}),
    ):
        body = canonical(json.loads(record.to_bytes()) | change)
        refuses_unseen(lambda record=record, body=body: type(record).from_bytes(body), private)
    body = canonical(approval | {"officer": private})
    refuses_unseen(lambda: Approval.from_bytes(body), private)
    with refuses("SECRET_MATERIAL"):
        edit(request, requester=private)


@pytest.mark.parametrize("written", [SECRETS["xprv"], SECRETS["WIF of a test network"], KEY.hex()])
def test_a_secret_for_an_amount_is_not_repeated(forger, written):
    body = forger.request().body.replace(b"70000000", json.dumps(written).encode())
    refuses_unseen(lambda: TransferRequest.from_bytes(body), written, "AMOUNT_INVALID")


@pytest.fixture(scope="module")
def story():
    scenario = Scenario.funded()
    yield scenario
    scenario.close()


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_of_a_secret_is_kept(story, kind):
    private = SECRETS[kind]
    before = stored(story)
    refuses_unseen(lambda: story.deposit(1_000_000, private), private)
    refuses_unseen(lambda: story.custodian.submit(story.request(reason=private)), private)
    refuses_unseen(lambda: story.custodian.issue_address(private, expected()), private)
    payer = ExpectedDeposit(private, "seized coins", "seized")
    refuses_unseen(lambda: story.custodian.issue_address("reserve", payer), private)
    assert stored(story) == before
    assert not betrays(before.decode("latin-1"), private)


def stored(story: Scenario) -> bytes:
    with story.store.read() as view:
        bodies = b"\n".join(entry.head.to_bytes() + (entry.body or b"") for entry in view.entries())
        return bodies + repr(view.outbox()).encode() + (view.checkpoint() or "").encode()


# --- PSBTs ----------------------------------------------------------------------------------------------------------


def test_an_extended_private_key_among_the_account_keys_is_refused(forger):
    psbt = forger.psbt().to_psbt()
    raw = bytes.fromhex("04358394") + bytes([0]) + bytes(8) + CHAIN_CODE + b"\x00" + KEY
    pairs = (*psbt.global_map.pairs, (bytes([GlobalField.XPUB]) + raw, bytes(4)))
    with refuses("SECRET_MATERIAL"):
        Psbt(0, PsbtMap(pairs), psbt.inputs, psbt.outputs)
    text = _with(psbt, "global map", bytes([GlobalField.XPUB]) + raw, bytes(4), checked=False)
    refuses_unseen(lambda: Psbt.parse(text), KEY.hex())


def _with(psbt: Psbt, where: str, key: bytes, value: bytes, *, checked: bool = True) -> Psbt | bytes:
    """The PSBT with one more field, or its bytes when no PSBT may hold it."""
    maps = [psbt.global_map, *psbt.inputs, *psbt.outputs]
    at = {"global map": 0, "input": 1, "output": 1 + len(psbt.inputs)}[where]
    kept = [pair for pair in maps[at].pairs if pair[0] != key]
    maps[at] = PsbtMap([*kept, (key, value)])
    if not checked:
        return b"psbt\xff" + b"".join(each.raw for each in maps)
    inputs = len(psbt.inputs)
    return Psbt(0, maps[0], tuple(maps[1 : 1 + inputs]), tuple(maps[1 + inputs :]))


PROPRIETARY = b"\xfc\x04evil\x00"
PLACES = [
    ("global map", PROPRIETARY),
    ("input", PROPRIETARY),
    ("output", PROPRIETARY),
    ("global map", b"\x70"),
    ("input", b"\x70"),
    ("output", b"\x70"),
    ("input", bytes([InputField.SHA256]) + bytes(32)),
    ("input", bytes([InputField.WITNESS_SCRIPT])),
    ("input", bytes([InputField.REDEEM_SCRIPT])),
    ("output", bytes([OutputField.WITNESS_SCRIPT])),
]


@pytest.mark.parametrize(("where", "key"), PLACES)
@pytest.mark.parametrize("direction", list(Direction))
def test_the_private_key_of_a_key_that_the_file_names_is_found_in_any_field(forger, where, key, direction):
    psbt = _naming_exposed_key(forger)
    hidden = _with(psbt, where, key, KEY)
    refuses_unseen(lambda: TransferPsbt.from_psbt(hidden, direction), KEY.hex())


@pytest.mark.parametrize("around", [(b"", b"\x01"), (b"\x80", b"\x01"), (b"\x00", b""), (b"padding", b"more padding")])
def test_a_private_key_among_other_bytes_of_a_forbidden_field_is_found(forger, around):
    psbt = _naming_exposed_key(forger)
    before, after = around
    hidden = _with(psbt, "global map", PROPRIETARY, before + KEY + after)
    refuses_unseen(lambda: TransferPsbt.from_psbt(hidden, Direction.FROM_SIGNER), KEY.hex())
    in_key = _with(psbt, "global map", PROPRIETARY + before + KEY + after, b"\x01")
    refuses_unseen(lambda: TransferPsbt.from_psbt(in_key, Direction.FROM_SIGNER), KEY.hex())


def test_bytes_that_are_no_private_key_of_the_file_s_keys_are_refused_as_a_field(forger):
    psbt = _naming_exposed_key(forger)
    for value in (secret("of nobody here"), bytes(32), b"\xff" * 32):
        refuses_unseen(
            lambda value=value: TransferPsbt.from_psbt(_with(psbt, "input", PROPRIETARY, value), Direction.TO_SIGNER),
            value.hex(),
            "FIELD_FORBIDDEN",
        )


def test_looking_for_private_keys_in_a_huge_field_is_bounded(forger):
    # Each of the windows would cost a multiplication on the curve.
    psbt = _naming_exposed_key(forger)
    maps = [
        (PROPRIETARY + bytes([each // 256, each % 256]), hashlib.sha256(bytes([each % 256])).digest() * 30)
        for each in range(2_000)
    ]
    huge = Psbt(0, PsbtMap([*psbt.global_map.pairs, *maps]), psbt.inputs, psbt.outputs)
    with refuses("FIELD_FORBIDDEN"):
        TransferPsbt.from_psbt(huge, Direction.FROM_SIGNER)


def _naming_exposed_key(forger) -> Psbt:
    psbt = forger.psbt().to_psbt()
    path = forger.vault.key_paths(0, 0)[0][1]
    for where, field in (("input", InputField.BIP32_DERIVATION), ("output", OutputField.BIP32_DERIVATION)):
        psbt = _with(psbt, where, bytes([field]) + public_key(KEY), bytes(path))
    assert TransferPsbt.from_psbt(psbt, Direction.TO_SIGNER)
    return psbt


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_written_as_text_comes_back_from_no_signer(forger, kind):
    drafted: Draft = forger.draft()
    sent = forger.psbt(drafted)
    for where in ("global map", "input", "output"):
        for key, value in ((PROPRIETARY, SECRETS[kind].encode()), (PROPRIETARY + SECRETS[kind].encode(), b"\x01")):
            returned = _with(sent.to_psbt(), where, key, value)
            refuses_unseen(lambda returned=returned: accept(returned, sent, drafted, forger.vault, 0), SECRETS[kind])


def test_a_signer_that_writes_its_secret_as_a_public_key_is_refused_without_showing_it(forger):
    drafted: Draft = forger.draft()
    sent = forger.psbt(drafted)
    signature = bytes.fromhex("3006020101020101") + b"\x01"
    returned = _with(sent.to_psbt(), "input", bytes([InputField.PARTIAL_SIG, 2]) + KEY, signature)
    refuses_unseen(lambda: accept(returned, sent, drafted, forger.vault, 0), KEY.hex(), "SIG_INVALID")


def test_no_signer_or_key_shows_its_secret(story):
    cast = story.cast
    for holder in (cast.coordinator, cast.witness, *cast.people.values(), *cast.signers):
        text = repr(holder) + str(holder)
        for label in (f"person {OFFICERS[0]}", "person coordinator", "cosigner astana"):
            assert secret(label).hex() not in text
            assert repr(secret(label))[2:-1] not in text
