"""A Jade's side of its protocol, in software, on a TCP port: hwilib's real Jade driver talks to it.

CBOR messages as in Jade's own interface description, and what its firmware was seen to answer: a vault is registered
before it shows an address of it and signs without, a long answer comes in pieces, previous transactions are checked. It
is no Jade: no firmware runs. `odd` has it misbehave in the way its name says.
"""

import hashlib
import socket
import threading
from contextlib import suppress

import cbor2
from embit import bip32, ec, script
from embit.networks import NETWORKS
from embit.psbt import PSBT, PSBTError

CANCELLED, LOCKED, BAD_PARAMETERS, UNKNOWN = -32000, -32002, -32602, -32601
CHAINS = {"mainnet": "main", "testnet": "test", "localtest": "regtest"}
FIRST_CHILD = [1 << 31]
"""The key whose parent is the master: hwilib reads the fingerprint from it."""
PIECE = 1024
"""Bytes of a signed PSBT in one answer."""
LONGEST_NAME = 15
# What it answers instead, by oddity.
BYTES = {
    "no-cbor": b"\xff\xff\xff\xff",
    "a-terabyte": b"\xa2bida0fresult\x5b" + (1 << 40).to_bytes(8, "big") + b"x" * 64,
}
INSTEAD = {
    "another-request": {"id": "0", "result": ""},
    "neither": {},
    "a-number": {"result": 7},
    "nothing": {"result": None},
    "other-bytes": {"result": b"psbt\xff"},
    "a-private-key": {"result": bip32.HDKey.from_seed(b"x" * 32).to_base58(NETWORKS["regtest"]["xprv"])},
    "an-address-of-another": {"result": script.p2wsh(script.Script(b"\x51")).address(NETWORKS["regtest"])},
    "escape-codes": {"error": {"code": -1, "message": "\x1b[2J\u202e ok", "data": None}},
}


class Refused(Exception):
    """What the firmware answers with an error number."""


class SoftJade:
    """Listens on a free port until it is closed. `is_willing` is what its holder says to whatever is shown."""

    def __init__(self, seed: bytes):
        self.is_willing, self.state, self.odd = True, "READY", ""
        self.methods: list[str] = []
        self.psbts: list[PSBT] = []
        self.wallets: dict[str, dict] = {}
        self._master = bip32.HDKey.from_seed(seed)
        self._signed = b""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.path = f"tcp:127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream):
        while True:
            try:
                request = cbor2.load(stream)
            except (EOFError, ConnectionError):
                return
            self.methods.append(request["method"])
            try:
                answer = {"id": request["id"], **self._answer(request["method"], request.get("params") or {})}
            except Refused as refused:
                code, text = refused.args
                answer = {"id": request["id"], "error": {"code": code, "message": text, "data": None}}
            # What every session begins with, version and fingerprint, is answered as it should be.
            is_opening = request["method"] == "get_version_info" or request["params"].get("path") == FIRST_CHILD
            stream.write(cbor2.dumps(answer) if is_opening else self._spelled(answer))
            stream.flush()

    def _spelled(self, answer):
        if self.odd in BYTES:
            return BYTES[self.odd]
        if self.odd in INSTEAD:
            answer = {"id": answer["id"]} | INSTEAD[self.odd]
        return cbor2.dumps(answer)

    def _answer(self, method, asked):
        if method == "get_version_info":
            return {"result": {"JADE_VERSION": "1.0.36", "JADE_STATE": self.state, "JADE_NETWORKS": "ALL"}}
        if self.state != "READY":
            raise Refused(LOCKED, "Jade is locked")
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            raise Refused(UNKNOWN, "Method not found")
        return handler(**asked)

    def _approved(self, what):
        if not self.is_willing:
            raise Refused(CANCELLED, f"User declined {what}")

    # --- keys and addresses ---

    def _own(self, path):
        return self._master.derive(path).to_public()

    def _get_xpub(self, network, path):
        return {"result": self._own(path).to_base58(NETWORKS[CHAINS[network]]["xpub"])}

    def _register_multisig(self, network, multisig_name, descriptor):
        signers = [
            (bytes(each["fingerprint"]), list(each["derivation"]), bip32.HDKey.from_string(each["xpub"]))
            for each in descriptor["signers"]
        ]
        own = self._master.my_fingerprint
        mine = [key for mark, path, key in signers if mark == own and key.sec() == self._own(path).sec()]
        if not 0 < len(multisig_name) <= LONGEST_NAME or network not in CHAINS or not mine or len(signers) > 15:
            raise Refused(BAD_PARAMETERS, "Failed to validate multisig co-signers")
        wallet = {"variant": descriptor["variant"], "threshold": descriptor["threshold"]}
        wallet |= {"keys": [key for _, _, key in signers], "sorted": descriptor["sorted"]}
        if self.wallets.get(multisig_name) != wallet:
            self._approved("to register multisig")
            self.wallets[multisig_name] = wallet
        return {"result": True}

    def _get_receive_address(self, network, multisig_name, paths):
        wallet = self.wallets.get(multisig_name)
        if wallet is None:
            raise Refused(BAD_PARAMETERS, "Cannot find named multisig wallet")
        keys = [key.derive(path).sec() for key, path in zip(wallet["keys"], paths, strict=True)]
        keys = sorted(keys) if wallet["sorted"] else keys
        body = b"".join(b"\x21" + key for key in keys)
        multi = script.Script(bytes([80 + wallet["threshold"]]) + body + bytes([80 + len(keys), 174]))
        locked = script.p2wsh(multi)
        if wallet["variant"] == "sh(wsh(multi(k)))":
            locked = script.p2sh(locked)
        self._approved("address")
        return {"result": locked.address(NETWORKS[CHAINS[network]])}

    # --- signatures ---

    def _sign_psbt(self, network, psbt):
        try:
            asked = PSBT.parse(bytes(psbt))
        except (PSBTError, ValueError) as error:
            raise Refused(BAD_PARAMETERS, "Failed to extract psbt from passed bytes") from error
        if network not in CHAINS:
            raise Refused(BAD_PARAMETERS, "Failed to extract valid network from parameters")
        self.psbts.append(asked)
        for spent, claims in zip(asked.tx.vin, asked.inputs, strict=True):
            if claims.non_witness_utxo.txid() != spent.txid:
                raise Refused(BAD_PARAMETERS, "Failed to verify input utxo")
        self._approved("to sign psbt")
        if self.odd == "signs-anothers":
            self._sign_as_another(asked)
        elif self.odd != "signs-nothing":
            # Where a key is not what its path says, a Jade signs nothing and reports success.
            with suppress(PSBTError):
                asked.sign_with(self._master)
        self._signed = asked.serialize()
        return self._get_extended_data("", "sign_psbt", 1, 0)

    def _sign_as_another(self, asked):
        stranger = ec.PrivateKey(hashlib.sha256(b"a stranger").digest())
        for number, claims in enumerate(asked.inputs):
            key = next(iter(claims.bip32_derivations))
            claims.partial_sigs[key] = stranger.sign(asked.sighash(number)).serialize() + b"\x01"

    def _get_extended_data(self, origid, orig, seqnum, seqlen):  # noqa: ARG002 - names of the protocol
        pieces = [self._signed[at : at + PIECE] for at in range(0, len(self._signed), PIECE)]
        if self.odd == "never-ends":
            return {"result": pieces[0], "seqnum": 1, "seqlen": 2}
        return {"result": pieces[seqnum - 1], "seqnum": seqnum, "seqlen": len(pieces)}
