"""What a real Ledger app once answered, played back to hwilib's real Ledger driver behind our signer.

The tape was recorded with the Ledger Bitcoin Testnet app 2.4.6 in the vendor's emulator. It is read in place and played
strictly: every request must be the next one on it, byte for byte. The recording is one connection, and ours are one for
each operation, so each begins with the app's name and the fingerprint, as the recording does, and goes on where its
operation stands. No firmware runs here.
"""

import json
import socket
import threading
from itertools import pairwise

import pytest

from custody.backends.hwi.program import Patience, Program
from custody.backends.hwi.signer import Device, HwiSigner, open_device, read_cosigner, vault_signer
from custody.bitcoin.profile import Direction, TransferPsbt
from custody.bitcoin.psbt import Psbt
from custody.testing.asserts import refuses
from custody.units import Network
from custody.vault.descriptor import Branch, Vault
from custody.vault.keys import Cosigner, KeyOrigin, show_path
from custody.vault.templates import ScriptType

FINGERPRINT = "e105000100"
HELLO = 2
"""Requests with which every connection begins: the app's name and version, the fingerprint."""


class Tape:
    """The recording: its values, and its exchanges cut where an operation begins."""

    def __init__(self, folder):
        self.values = json.loads((folder / "ledger-wsh-2of3.json").read_text(encoding="utf-8"))
        exchanges = [(bytes.fromhex(request), bytes.fromhex(answer)) for request, answer in self.values["apdus"]]
        self.hello = exchanges[:HELLO]
        signing = next(n for n, (request, _) in enumerate(exchanges) if n > HELLO and request.hex() == FINGERPRINT)
        cuts = [HELLO, HELLO + 1, signing, len(exchanges)]
        self.key, self.address, self.sign = (exchanges[start:stop] for start, stop in pairwise(cuts))

    def vault(self) -> Vault:
        own = ("", self.values["path"], self.values["xpub"])
        keys = [(self.values["fingerprint"], *own[1:]), *self.values["other_cosigners"]["keys"]]
        texts = [f"[{fingerprint}{path[1:]}]{key}" for fingerprint, path, key in keys]
        cosigners = [Cosigner.parse(text, f"cosigner {n}") for n, text in enumerate(texts)]
        return Vault.create(2, cosigners, ScriptType.WSH, Network.TESTNET4)


class Player:
    """Plays one stretch of the tape a connection, and notes what went otherwise."""

    def __init__(self, tape):
        self.tape = tape
        self.wrong = []
        self._stretches = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def device(self):
        return Device("ledger", f"tcp:127.0.0.1:{self._server.getsockname()[1]}", is_emulator=True)

    def load(self, *stretches):
        """Have the next connections find these after the greeting, in this order."""
        self._stretches += [[*self.tape.hello, *each] for each in stretches]

    @property
    def is_finished(self):
        return not self._stretches

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                if not self._stretches:
                    self.wrong.append("a connection that nothing was loaded for")
                    continue
                for expected, answer in self._stretches[0]:
                    request = _read(connection)
                    if request != expected:
                        self.wrong.append(f"{request.hex()} instead of {expected.hex()}")
                        break
                    connection.sendall((len(answer) - 2).to_bytes(4, "big") + answer)
                else:
                    del self._stretches[0]
                    if connection.recv(1):
                        self.wrong.append("a request after the last one")

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


def _read(connection):
    """One request, or what there was of it."""
    head = _exactly(connection, 4)
    return _exactly(connection, int.from_bytes(head, "big"))


def _exactly(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            break
        data += part
    return data


@pytest.fixture(scope="module")
def tape(tapes):
    return Tape(tapes)


@pytest.fixture
def player(tape):
    player = Player(tape)
    yield player
    player.close()


def ledger(player) -> HwiSigner:
    return HwiSigner(player.device, bytes.fromhex(player.tape.values["fingerprint"]), Network.TESTNET4)


def test_its_account_key_becomes_a_cosigner(player, tape):
    player.load((), tape.key)
    cosigner = read_cosigner(player.device, "cosigner 0", ScriptType.WSH, Network.TESTNET4)
    assert cosigner == tape.vault().cosigners[0]
    assert (str(cosigner.key), f"m{show_path(cosigner.origin.path)}") == (tape.values["xpub"], tape.values["path"])
    assert cosigner.origin == KeyOrigin(bytes.fromhex(tape.values["fingerprint"]), cosigner.origin.path)
    assert (player.wrong, player.is_finished) == ([], True)


def test_its_address_is_ours(player, tape):
    player.load((), tape.address)
    signer = vault_signer(player.device, tape.vault())
    assert signer.show_address(tape.vault(), Branch.RECEIVE, 1) == tape.values["address"]
    assert (player.wrong, player.is_finished) == ([], True)


def test_its_signatures_are_taken_into_our_psbt(player, tape):
    player.load(tape.sign)
    sent = Psbt.from_base64(tape.values["psbt"])
    signed = TransferPsbt.from_psbt(ledger(player).sign(sent), Direction.FROM_SIGNER)
    recorded = Psbt.from_base64(tape.values["signed_psbt"])
    assert [each.signatures for each in signed.inputs] == [tuple(each.of_type(2)) for each in recorded.inputs]
    assert sum(len(each.signatures) for each in signed.inputs) == tape.values["signatures"]
    assert signed == TransferPsbt.from_psbt(recorded, Direction.FROM_SIGNER)
    assert (player.wrong, player.is_finished) == ([], True)


def test_its_holder_is_told_how_often_it_asks(player, tape):
    # The keys of its two inputs sort differently; the recording has two registrations and two reviews.
    sent = Psbt.from_base64(tape.values["psbt"])
    assert sum(request.startswith(b"\xe1\x02") for request, _ in tape.sign) == 2
    assert any("2 times" in each for each in ledger(player).notes(sent))


def test_an_answer_that_is_cut_short_is_no_signature(player, tape):
    player.load(tape.sign[:40])
    with refuses("DEVICE_FAILED"):
        ledger(player).sign(Psbt.from_base64(tape.values["psbt"]))


def test_its_holders_no_is_a_refusal(player, tape):
    # Status 0x6985 in place of the answer to the registration: what the app says when its holder presses no.
    *_, (registration, _) = tape.sign[:2]
    player.load([tape.sign[0], (registration, bytes.fromhex("6985"))])
    with refuses("DEVICE_REFUSED"):
        ledger(player).sign(Psbt.from_base64(tape.values["psbt"]))


def test_a_locked_ledger_is_called_locked(player, tape):
    player.load([(tape.sign[0][0], bytes.fromhex("5515"))])
    with refuses("DEVICE_LOCKED"):
        ledger(player).sign(Psbt.from_base64(tape.values["psbt"]))


def test_a_request_that_is_not_on_the_tape_is_noticed(player, tape):
    sent = Psbt.from_base64(tape.values["psbt"])
    player.load(tape.sign)
    other = Psbt.parse(sent.serialize().replace((150_000).to_bytes(8, "little"), (149_999).to_bytes(8, "little"), 1))
    with refuses("DEVICE_FAILED"):
        ledger(player).sign(other)
    assert player.wrong


def test_nothing_listening_is_not_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with refuses("DEVICE_NOT_FOUND"):
        open_device(Device("ledger", f"tcp:127.0.0.1:{port}", is_emulator=True), Network.TESTNET4)


def test_an_app_that_never_answers_is_ended():
    with socket.create_server(("127.0.0.1", 0)) as server:
        device = Device("ledger", f"tcp:127.0.0.1:{server.getsockname()[1]}", is_emulator=True)
        with refuses("DEVICE_TIMEOUT"):
            open_device(device, Network.TESTNET4, program=Program(patience=Patience(2, 2, 2)))
