"""One transfer by commands alone, from an empty folder to a confirmed transaction, with a witness."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction, TxIn, TxOut
from custody.dates import moment
from custody.testing.cast import SUPPLIER, payee_address
from custody.testing.chain import RegtestChain
from custody.testing.scenario import Scenario
from custody.units import Network

DEPOSIT = "0.6 BTC"


def test_a_transfer_goes_from_a_request_to_the_chain(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("transfer", "show", transfer)["status"] == "decided"

    txid = office.delivered(transfer)
    mined = office.does("regtest", "mine", "1")
    assert "confirmed" in mined["added"]

    shown = office.does("transfer", "show", transfer[:8])
    assert (shown["status"], shown["txid"], shown["height"]) == ("confirmed", txid, mined["height"])
    assert shown["payments"] == [{"payee": SUPPLIER, "address": payee_address(SUPPLIER), "sats": 25_000_000}]

    balance = office.does("coin", "balance")["vaults"]["reserve"]
    assert balance["total"] == 60_000_000 - 25_000_000 - shown["sats"]["fee"]
    states = [each["state"] for each in office.does("coin", "list")["coins"]]
    assert sorted(states) == ["mature", "spent"]
    log = office.does("log", "verify")
    assert log["checkpoint"]["witnesses"] == ["parliament.example"]


def test_each_refusal_on_the_way_has_its_code(office):
    office.funded()
    transfer = office.drafted()
    out = office.path("too-early.json")

    # Nobody has cosigned a checkpoint that holds the draft.
    office.refuses("HISTORY_UNWITNESSED", "transfer", "evidence", transfer, "-o", out)
    office.approved(transfer, "Aigerim")
    office.refuses("APPROVAL_MISSING", "transfer", "evidence", transfer, "--for", "sign", "-o", out)
    office.refuses("STEP_EARLY", "transfer", "release", transfer)
    office.refuses("NOTHING_TO_SEND", "transfer", "deliver")
    office.approved(transfer, "Bolat")
    evidence = office.ready_to_sign(transfer)

    one = office.does("transfer", "combine", transfer, office.signed(evidence, "astana"))
    assert (one["status"], len(one["signed"]), one["txid"]) == ("signing", 1, None)
    assert len(one["missing"]) == 2
    message = office.refuses(
        "TRANSFER_LIVE", "transfer", "cancel", transfer, "--reason", "late", "--key", office.key("Dana")
    )
    assert transfer[:12] in message
    assert not (office.folder / "too-early.json").exists()


def test_a_second_draft_of_one_request_is_refused(office):
    office.funded()
    request = office.requested()
    office.does("transfer", "draft", request)
    office.refuses("REQUEST_IN_USE", "transfer", "draft", request)


def test_a_denied_draft_ends_with_the_rules_code_and_frees_its_coins(office):
    office.funded()
    request = office.requested("--pay", "Stranger=0.1 BTC")
    result = office.types("transfer", "draft", request)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "error DEST_NOT_ALLOWED" in result.stderr
    assert "what to do:" in result.stderr
    listed = office.does("transfer", "list")["transfers"]
    assert [(each["status"], each["ended"]["reason"]) for each in listed] == [("ended", "denied")]
    assert office.does("transfer", "list", "--live")["transfers"] == []
    assert office.does("coin", "balance")["vaults"]["reserve"]["held"] == 0


def test_a_veto_ends_a_transfer(office):
    office.funded()
    transfer = office.drafted()
    office.approved(transfer, "Aigerim", veto=True)
    assert office.does("transfer", "show", transfer)["ended"]["reason"] == "vetoed"


def test_the_requester_gives_a_transfer_up_before_signatures(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("coin", "balance")["vaults"]["reserve"]["held"] == 60_000_000
    done = office.does("transfer", "cancel", transfer, "--reason", "sent twice", "--key", office.key("Dana"))
    assert (done["status"], done["freed"]) == ("ended", 60_000_000)
    assert office.does("coin", "balance")["vaults"]["reserve"]["mature"] == 60_000_000


def test_a_replacement_confirms_in_place_of_what_it_replaces(office):
    office.funded()
    first = office.drafted()
    office.delivered(first)
    second = office.requested("--pay", "Supplier=0.25 BTC", "--replaces", first[:10])
    replacement = office.does("transfer", "draft", second, "--feerate", "9000")["transfer"]
    txid = office.delivered(replacement)
    office.does("regtest", "mine", "1")
    assert office.does("transfer", "show", replacement)["txid"] == txid
    states = {each["id"]: each["status"] for each in office.does("transfer", "list")["transfers"]}
    assert states == {first: "ended", replacement: "confirmed"}


def test_transfers_are_listed_by_date_state_payee_and_vault(office):
    office.funded()
    first = office.drafted()
    office.delivered(first)
    request = office.requested("--pay", "Supplier=0.25 BTC", "--replaces", first)
    second = office.does("transfer", "draft", request, "--feerate", "9000")["transfer"]
    third = office.requested("--pay", "Tax office=0.01 BTC")

    def listed(*options: str) -> tuple[list[str], list[str]]:
        found = office.does("transfer", "list", *options)
        return [each["id"] for each in found["requests"]], [each["id"] for each in found["transfers"]]

    assert listed() == ([third], [first, second])
    assert listed("--status", "requested") == ([third], [])
    assert listed("--status", "broadcast") == ([], [first])
    assert listed("--status", "decided", "--status", "broadcast") == ([], [first, second])
    assert listed("--payee", "Tax office") == ([third], [])
    assert listed("--payee", "Supplier", "--live") == ([], [first, second])
    assert listed("--vault", "reserve", "--before", second) == ([third], [first])
    assert listed("--since", "2009-01-03") == listed()
    assert listed("--since", "2100-01-01") == ([], [])
    found = office.does("transfer", "list")["transfers"]
    assert [each["replaced_by"] for each in found] == [[second], []]
    day = moment(found[0]["drafted"]).partition(" ")[0]
    assert listed("--since", day) == listed()
    assert listed("--since", moment(found[0]["drafted"] + 3600 * 24 * 30)) == ([], [])
    lines = office.types("transfer", "list").stdout.splitlines()
    assert lines[0].split()[:4] == ["id", "date", "state", "vault"]
    assert f"replaced by {second[:12]}" in lines[2]
    assert f"replaces {first[:12]}" in lines[3]
    assert all(
        each in lines[2] for each in (first[:12], day, "broadcast", "reserve", "Supplier", "0.25", "[invoice 17]")
    )
    assert "replaced by" in office.types("transfer", "show", first).stdout
    assert office.types("transfer", "list", "--since", "2100-01-01").stdout == "no such transfers\n"


def test_what_nothing_can_be_listed_by_is_said(office):
    office.funded()
    office.refuses("DATE_UNREADABLE", "transfer", "list", "--since", "yesterday")
    office.refuses("NAME_UNKNOWN", "transfer", "list", "--payee", "Suplier")
    office.refuses("NAME_UNKNOWN", "transfer", "list", "--vault", "reserv")
    assert "did you mean" in office.types("transfer", "list", "--payee", "Suplier").stderr
    assert office.types("transfer", "list", "--status", "send").exit_code == 2


def test_a_list_goes_on_where_it_ended(office):
    office.funded()
    office.does("regtest", "pay", office.does(*office.address_for("more"))["address"], DEPOSIT)
    ids = [office.drafted("--pay", f"Supplier=0.0{number} BTC") for number in (1, 2)]
    newest = office.does("transfer", "list", "--most", "1")
    assert ([each["id"] for each in newest["transfers"]], newest["before"]) == (ids[1:], ids[1])
    older = office.does("transfer", "list", "--most", "2", "--before", newest["before"])
    assert ([each["id"] for each in older["transfers"]], older["before"]) == (ids[:1], None)


def test_a_theft_freezes_everything_and_every_screen_says_so(office):
    office.funded()
    address = office.does(*office.address_for("not stolen"))["address"]
    office.does("regtest", "pay", address, DEPOSIT)
    transfer = office.drafted()
    thief = _steal(office)
    seen = office.types("observe")
    assert "ALARM" in seen.stderr
    assert "unexplained_spend" in seen.stdout
    assert f"FROZEN: {frozen_by(office)}" in seen.stderr
    for command in (
        ("transfer", "list"),
        ("transfer", "show", transfer),
        ("coin", "list"),
        ("coin", "balance"),
        ("vault", "addresses", "reserve"),
    ):
        result = office.types(*command)
        assert (result.exit_code, result.stderr.startswith("FROZEN: ")) == (0, True)
        assert thief in result.stderr
    office.refuses("FROZEN", "transfer", "draft", office.requested())


EVERY_ANSWER = (
    ("node", "status"),
    ("coin", "balance"),
    ("coin", "list"),
    ("vault", "list"),
    ("vault", "show", "reserve"),
    ("vault", "addresses", "reserve"),
    ("charter", "show"),
    ("transfer", "list"),
    ("log", "verify"),
    ("log", "checkpoint", "-o", "-"),
    ("log", "seal"),
    ("store", "rebuild"),
    ("regtest", "mine", "1"),
)


def frozen_by(office):
    return office.does("log", "verify")["frozen_by"]


def size_of(office):
    return office.does("log", "verify")["size"]


@pytest.fixture
def frozen(office):
    """An office that was robbed, and has looked."""
    office.funded()
    office.does(*office.address_for("given before"))
    _steal(office)
    assert office.types("observe").exit_code == 6
    return office


@pytest.mark.parametrize("command", EVERY_ANSWER, ids=" ".join)
def test_while_everything_is_frozen_every_answer_says_so(frozen, command):
    why, size = frozen_by(frozen), size_of(frozen)
    result = frozen.types(*command)
    assert (result.exit_code, result.stderr.splitlines().count(f"FROZEN: {why}")) == (0, 1)
    answer = frozen.types(*command, "--json")
    if "-" not in command:
        assert json.loads(answer.stdout)["frozen_by"] == why
    assert size_of(frozen) >= size


def test_a_refusal_says_too_that_everything_is_frozen(frozen):
    result = frozen.types("transfer", "show", "abcdef", "--json")
    assert json.loads(result.stdout)["frozen_by"] == frozen_by(frozen)
    assert json.loads(result.stdout)["error"]["code"] == "TRANSFER_UNKNOWN"


def test_who_watches_is_told_by_the_exit_code_as_long_as_everything_is_frozen(frozen):
    for _ in range(2):
        seen = frozen.types("observe", "--json")
        assert (seen.exit_code, json.loads(seen.stdout)["added"]) == (6, {})
        assert json.loads(seen.stdout)["frozen_by"] == frozen_by(frozen)
    assert "freeze (FROZEN)" in frozen.refuses("UNSOUND", "doctor")
    doctor = frozen.types("doctor")
    assert doctor.exit_code == 6
    assert "WRONG  freeze" in doctor.stdout
    assert json.loads(frozen.types("node", "status", "--json").stdout)["is_ready"] is False
    # A chain that cannot be looked at is no reason to say less.
    chain = frozen.folder / "coordinator" / "regtest" / "chain"
    chain.rename(frozen.folder / "elsewhere")
    away = frozen.types("observe", "--json")
    assert (away.exit_code, json.loads(away.stdout)["error"]["code"]) == (6, "NODE_UNAVAILABLE")


def test_while_everything_is_frozen_nothing_is_issued_stated_or_drafted(frozen):
    size = size_of(frozen)
    frozen.refuses("FROZEN", *frozen.address_for("case 18"))
    assert size_of(frozen) == size
    frozen.witnessed()
    frozen.refuses("FROZEN", "vault", "statement", "reserve", "0", "-o", frozen.path("paper.json"))
    assert not Path(frozen.path("paper.json")).exists()
    frozen.refuses("FROZEN", "transfer", "draft", frozen.requested())


def test_a_station_that_has_seen_a_freeze_says_so_with_every_answer(frozen):
    frozen.witnessed()
    frozen.does("log", "export", "--for-stations", "-o", frozen.path("log.jsonl"))
    frozen.trusted_by("Aigerim")
    why = frozen_by(frozen)
    assert frozen.at_station("Aigerim", "status")["frozen_by"] is None
    assert frozen.at_station("Aigerim", "catch-up", frozen.path("log.jsonl"))["frozen_by"] == why
    assert frozen.at_station("Aigerim", "status")["frozen_by"] == why
    assert f"FROZEN: {why}" in frozen.types_at("Aigerim", "status").stderr


def test_what_is_not_frozen_says_that_too(office):
    office.funded()
    assert office.does("coin", "balance")["frozen_by"] is None
    assert office.does("observe")["frozen_by"] is None
    assert "freeze" in {each["name"] for each in office.does("doctor")["checks"]}


def _steal(office):
    """Two cosigners sign elsewhere what nobody asked for; the thief's txid."""
    vault, signers = office.cast.vault, office.cast.signers
    folder = office.folder / "coordinator" / "regtest" / "chain"
    with RegtestChain(folder) as chain:
        script = vault.script_pubkey(0, 0)
        (outpoint, unspent), *_ = chain.view.unspent_of(script)
        previous = next(
            each.raw for each in chain.view.block(unspent.height).transactions if each.txid == outpoint.txid
        )
        payment = TxOut(unspent.output.amount - 1000, script_of(payee_address("Thief"), Network.REGTEST))
        bare = Transaction(2, (TxIn(outpoint, b"", 0xFFFFFFFD),), (payment,), 0)
        claims = ProfileInput(
            previous_transaction=previous,
            witness_utxo=unspent.output,
            witness_script=vault.witness_script(0, 0),
            redeem_script=b"",
            key_paths=vault.key_paths(0, 0),
            signatures=(),
            sighash_type=1,
            final_script_sig=b"",
            final_witness=(),
        )
        nothing = ProfileOutput(witness_script=b"", redeem_script=b"", key_paths=())
        psbt = TransferPsbt(transaction=bare, account_keys=(), inputs=(claims,), outputs=(nothing,)).to_psbt()
        for signer in signers[:2]:
            psbt = signer.sign(psbt)
        signed = dict(TransferPsbt.from_psbt(psbt, Direction.FROM_SIGNER).inputs[0].signatures)
        signatures = [signed[key] for key in sorted(vault.public_keys(0, 0)) if key in signed]
        witness = (b"", *signatures, vault.witness_script(0, 0))
        stolen = Transaction(bare.version, bare.inputs, bare.outputs, bare.locktime, (witness,))
        chain.mine(1, transactions=[stolen])
        return stolen.txid_hex


STEPS_TOO_EARLY = [
    (("transfer", "evidence", "ID", "--for", "sign", "-o", "OUT"), "APPROVAL_MISSING"),
    (("transfer", "combine", "ID", "PSBT"), "STEP_EARLY"),
    (("transfer", "release", "ID"), "STEP_EARLY"),
]


def test_a_step_too_early_is_no_attack(office):
    office.funded()
    office.delivered(office.drafted("--pay", "Supplier=0.1 BTC"))
    psbt = next(each for each in office.folder.glob("*.psbt"))
    office.does("regtest", "mine", "1")
    transfer = office.drafted("--pay", "Supplier=0.11 BTC")
    office.witnessed()
    for command, code in STEPS_TOO_EARLY:
        given = [{"ID": transfer, "OUT": office.path("out"), "PSBT": psbt}.get(each, each) for each in command]
        result = office.types(*given)
        assert result.exit_code == 4
        assert f"error {code}" in result.stderr
        assert not any(word in result.stderr for word in ("Stop", "swapped", "Do not"))


def test_a_transfer_that_is_over_needs_nothing_and_its_evidence_is_only_read(office):
    office.funded()
    transfer = office.drafted()
    office.delivered(transfer)
    office.does("regtest", "mine", "1")
    shown = office.types("transfer", "show", transfer)
    assert "next:" not in shown.stderr
    assert not any(each in shown.stdout for each in ("needed", "may still"))
    office.witnessed()
    out = office.new_path("confirmed.json")
    made = office.types("transfer", "evidence", transfer, "-o", out)
    assert made.exit_code == 0
    assert "to read, since it is confirmed" in made.stdout
    assert "custody-station inspect" in made.stderr
    assert "custody-station sign" not in made.stderr
    office.refused_at("astana", "TRANSFER_OVER", "sign", out, "--key", office.key("astana"), "--yes", "-o", out + "x")

    ended = office.drafted("--pay", "Supplier=0.1 BTC")
    office.does("transfer", "cancel", ended, "--reason", "late", "--key", office.key("Dana"))
    office.refuses("TRANSFER_OVER", "transfer", "evidence", ended, "-o", office.path("ended.json"))


def test_a_requests_id_names_its_transfer_and_before_there_is_one_it_says_so(office):
    office.funded()
    request = office.requested()
    assert office.does("transfer", "show", request)["id"] == request
    reason = ("--reason", "late", "--key", office.key("Dana"))
    assert request[:12] in office.refuses("REQUEST_UNDRAFTED", "transfer", "cancel", request, *reason)
    office.refuses("REQUEST_UNDRAFTED", "transfer", "release", request[:8])
    transfer = office.does("transfer", "draft", request)["transfer"]
    assert office.does("transfer", "show", request)["id"] == transfer
    assert office.does("transfer", "cancel", request, *reason)["transfer"] == transfer
    office.refuses("TRANSFER_UNKNOWN", "transfer", "show", "f" * 12)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("--pay", "Supplier=293", "--reason", "coffee"), "OUTPUT_DUST"),
        (("--pay", "Supplier=5.00000001 BTC", "--reason", "a ship"), "LIMIT_TRANSFER"),
        (("--pay", "Supplier=3 BTC", "--pay", "Stranger=2.1 BTC", "--reason", "two ships"), "LIMIT_TRANSFER"),
        (("--pay", "Supplier=0.1 BTC", "--reason", ""), "REASON_MISSING"),
        (("--pay", "Suplier=0.1 BTC", "--reason", "a slip"), "NAME_UNKNOWN"),
    ],
)
def test_what_no_draft_could_pass_is_refused_when_it_is_asked_for(office, asked, code):
    office.set_up()
    size = office.does("log", "verify")["size"]
    message = office.refuses(code, "transfer", "request", *asked, "--key", office.key("Dana"))
    assert ("did you mean 'Supplier'?" in message) is (code == "NAME_UNKNOWN")
    assert office.does("log", "verify")["size"] == size
    assert office.does("transfer", "request", "--pay", "Supplier=294", "--reason", "x", "--key", office.key("Dana"))


def test_a_request_signed_elsewhere_is_refused_too_when_no_draft_of_it_could_pass(office):
    office.set_up()
    path = office.new_path("request.json")
    with closing(Scenario.begin()) as story:
        Path(path).write_bytes(story.request((SUPPLIER, 600_000_000)).to_bytes())
    office.refuses("LIMIT_TRANSFER", "transfer", "submit", path)


def test_whoever_may_not_answer_is_told_before_there_is_anything_to_read(office):
    office.funded()
    transfer = office.drafted()
    office.witnessed()
    evidence = office.new_path("evidence.json")
    office.does("transfer", "evidence", transfer, "-o", evidence)
    office.trusted_by("Aigerim")
    for wrong, code, exit_code in (
        ("coordinator", "APPROVAL_AUTHOR", 4),
        ("astana", "KEY_FILE_INVALID", 3),
        ("Dana", "APPROVAL_AUTHOR", 4),
    ):
        ended = office.types_at(
            "Aigerim", "approve", evidence, "--key", office.key(wrong), "--yes", "-o", office.path("no.json")
        )
        assert ended.exit_code == exit_code
        assert ended.stderr.startswith(f"error {code}")
