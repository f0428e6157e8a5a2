"""One transfer by commands alone, from an empty folder to a confirmed transaction, with a witness."""

from custody.bitcoin.profile import Direction, ProfileInput, ProfileOutput, TransferPsbt
from custody.bitcoin.script import script_of
from custody.bitcoin.transaction import Transaction, TxIn, TxOut
from custody.testing.cast import SUPPLIER, payee_address
from custody.testing.chain import RegtestChain
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

    balance = office.does("coin", "balance")["reserve"]
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
    office.refuses("STATE_CHANGED", "transfer", "release", transfer)
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
    assert office.does("coin", "balance")["reserve"]["held"] == 0


def test_a_veto_ends_a_transfer(office):
    office.funded()
    transfer = office.drafted()
    office.approved(transfer, "Aigerim", veto=True)
    assert office.does("transfer", "show", transfer)["ended"]["reason"] == "vetoed"


def test_the_requester_gives_a_transfer_up_before_signatures(office):
    office.funded()
    transfer = office.drafted()
    assert office.does("coin", "balance")["reserve"]["held"] == 60_000_000
    done = office.does("transfer", "cancel", transfer, "--reason", "sent twice", "--key", office.key("Dana"))
    assert (done["status"], done["freed"]) == ("ended", 60_000_000)
    assert office.does("coin", "balance")["reserve"]["mature"] == 60_000_000


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


def test_a_theft_freezes_everything_and_every_screen_says_so(office):
    office.funded()
    address = office.does(*office.address_for("not stolen"))["address"]
    office.does("regtest", "pay", address, DEPOSIT)
    transfer = office.drafted()
    thief = _steal(office)
    seen = office.types("observe")
    assert "ALARM" in seen.stderr
    assert "unexplained_spend" in seen.stdout
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
