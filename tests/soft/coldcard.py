"""A Coldcard's side of its USB protocol, in software, on a Unix socket: hwilib's real Coldcard driver talks to it.

It keeps to what the vendor's firmware does (shared/usb.py, shared/auth.py and shared/multisig.py of Coldcard/firmware):
an encrypted session, multisig wallets enrolled from a text file and approved by the holder, no signature for a wallet
it does not know, and no end of waiting when a PSBT brings account keys of one. It is no Coldcard: no firmware runs.
"""

import hashlib
import os
import re
import socket
import struct
import threading
from dataclasses import dataclass

import ecdsa
import pyaes
from embit import bip32, script
from embit.networks import NETWORKS
from embit.psbt import PSBT
from embit.util.secp256k1 import ecdsa_sign, ecdsa_signature_serialize_der

CURVE = ecdsa.SECP256k1
FORMATS = {"P2WSH": 0x0E, "P2SH-P2WSH": 0x1A}


@dataclass(frozen=True)
class Wallet:
    name: str
    threshold: int
    address_format: int
    keys: tuple[tuple[int, str, bip32.HDKey], ...]
    """Fingerprint as the firmware counts it (little-endian), account path, account key."""

    @property
    def mixed(self) -> int:
        mixed = 0
        for fingerprint, _, _ in self.keys:
            mixed ^= fingerprint
        return mixed

    def witness_script(self, branch: int, index: int) -> bytes:
        keys = sorted(key.derive([branch, index]).sec() for _, _, key in self.keys)
        body = b"".join(b"\x21" + key for key in keys)
        return bytes([80 + self.threshold]) + body + bytes([80 + len(keys), 174])


class Refused(Exception):
    """What the firmware answers with err_."""


class SoftColdcard:
    """Listens at `path` until it is closed.

    `is_willing` is what its holder says to whatever is shown. With `grinds` it draws its nonces, as no Coldcard does.
    """

    def __init__(self, path: str, seed: bytes):
        self.path = path
        self.is_willing = True
        self.grinds = False
        self.wallets: list[Wallet] = []
        self.commands: list[str] = []
        self.psbts: list[PSBT] = []
        self._master = bip32.HDKey.from_seed(seed)
        self._xfp = int.from_bytes(self._master.my_fingerprint, "little")
        self._upload, self._result = bytearray(), b""
        self._waiting, self._failed = None, ""
        self._decrypt = self._encrypt = self._session = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", self.path)
        self._thread.join()
        self._socket.close()

    def _serve(self):
        request = b""
        while True:
            packet, sender = self._socket.recvfrom(64)
            if packet == b"end":
                return
            request += packet[1 : 1 + (packet[0] & 0x3F)]
            if not packet[0] & 0x80:
                continue
            if request:
                is_encrypted = bool(packet[0] & 0x40)
                self._send(sender, self._answer(self._decrypt(request) if is_encrypted else request), is_encrypted)
            request = b""

    def _send(self, to, answer, is_encrypted):
        data = self._encrypt(answer) if is_encrypted else answer
        pieces = [data[at : at + 63] for at in range(0, len(data), 63)]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            flags = len(piece) | (0x80 if is_last else 0) | (0x40 if is_last and is_encrypted else 0)
            self._socket.sendto(bytes([flags]) + piece.ljust(63, b"\0"), to)

    def _answer(self, request: bytes) -> bytes:
        command, arguments = request[:4].decode(), request[4:]
        self.commands.append(command)
        try:
            return getattr(self, f"_{command.lower()}")(arguments)
        except Refused as refused:
            return b"err_" + str(refused).encode()

    # --- session ---

    def _ncry(self, arguments):
        own = ecdsa.SigningKey.generate(curve=CURVE, hashfunc=hashlib.sha256)
        theirs = ecdsa.VerifyingKey.from_string(arguments[4:], curve=CURVE, hashfunc=hashlib.sha256)
        point = own.privkey.secret_multiplier * theirs.pubkey.point
        self._session = hashlib.sha256(point.x().to_bytes(32, "big") + point.y().to_bytes(32, "big")).digest()
        self._decrypt, self._encrypt = (
            pyaes.AESModeOfOperationCTR(self._session, pyaes.Counter(0)).encrypt for _ in range(2)
        )
        xpub = self._master.to_public().to_base58(NETWORKS["test"]["xpub"]).encode()
        head = struct.pack("<II", self._xfp, len(xpub))
        return b"mypb" + own.get_verifying_key().to_string() + head + xpub

    def _mitm(self, _):
        key = ecdsa.SigningKey.from_string(self._master.secret, curve=CURVE)
        return b"biny\0" + key.sign_digest(self._session)

    def _exec(self, _):
        return b"biny0"

    def _xpub(self, arguments):
        key = self._master.derive(arguments.decode().replace("'", "h")).to_public()
        return b"asci" + key.to_base58(NETWORKS["test"]["xpub"]).encode()

    # --- files ---

    def _upld(self, arguments):
        offset, total = struct.unpack_from("<II", arguments)
        if offset == 0:
            self._upload = bytearray()
        self._upload += arguments[8:]
        assert len(self._upload) <= total
        return struct.pack("<4sI", b"int1", offset)

    def _sha2(self, _):
        return b"biny" + hashlib.sha256(self._upload).digest()

    def _dwld(self, arguments):
        offset, length, _ = struct.unpack("<III", arguments)
        return b"biny" + self._result[offset : offset + length]

    # --- what its holder decides ---

    def _xkey(self, _):
        """The driver presses y as soon as something is shown: the holder may have pressed x before."""
        if self._waiting is not None and not self.is_willing:
            self._failed, self._waiting = "refu", None
        elif self._waiting is not None:
            decided, self._waiting = self._waiting, None
            decided()
        return b"okay"

    def _stok(self, _):
        if self._failed == "refu":
            self._failed = ""
            return b"refu"
        if self._failed:
            failed, self._failed = self._failed, ""
            raise Refused(failed)
        if self._result:
            return struct.pack("<4sI32s", b"strx", len(self._result), hashlib.sha256(self._result).digest())
        if self._waiting is None:
            raise Refused("No active request")
        return b"okay"

    # --- multisig ---

    def _enrl(self, arguments):
        length, digest = struct.unpack("<I32s", arguments)
        text = bytes(self._upload)
        if digest != hashlib.sha256(text).digest() or not 100 < length <= 4000:
            raise Refused("Checksum")
        wallet = self._read(text.decode())

        def add():
            self.wallets.append(wallet)

        self._waiting, self._result = add, b""
        if not self.is_willing:
            # After a refused enrolment nothing is left to ask about.
            self._waiting = None
        return b"okay"

    def _read(self, text):
        name, threshold, count, form, path, keys = "", 0, 0, "", "", []
        for line in filter(None, text.split("\n")):
            label, value = (part.strip() for part in line.split(":", 1))
            match label.lower():
                case "name":
                    name = value
                case "policy":
                    threshold, count = (int(each) for each in re.fullmatch(r"(\d+) of (\d+)", value).groups())
                case "derivation":
                    path = value
                case "format":
                    form = value
                case _:
                    keys.append((int.from_bytes(bytes.fromhex(label), "little"), path, bip32.HDKey.from_string(value)))
        own = [key for fingerprint, path, key in keys if fingerprint == self._xfp and key == self._own(path)]
        if len(keys) != count or len(own) != 1 or not 1 <= len(name) <= 20:
            raise Refused("my key not included")
        return Wallet(name, threshold, FORMATS[form], tuple(keys))

    def _own(self, path):
        return self._master.derive(path.replace("'", "h")).to_public()

    def _msck(self, arguments):
        threshold, count, mixed = struct.unpack("<3I", arguments)
        known = any((each.threshold, len(each.keys), each.mixed) == (threshold, count, mixed) for each in self.wallets)
        return struct.pack("<4sI", b"int1", known)

    def _p2sh(self, arguments):
        form, _, count, size = struct.unpack_from("<IBBH", arguments)
        witness_script, rest, places = arguments[8 : 8 + size], arguments[8 + size :], set()
        for _ in range(count):
            numbers = struct.unpack_from(f"<{rest[0]}I", rest, 1)
            rest = rest[1 + 4 * rest[0] :]
            places.add(numbers[-2:])
        (place,) = places
        for wallet in self.wallets:
            if wallet.address_format == form and wallet.witness_script(*place) == witness_script:
                program = script.p2wsh(script.Script(witness_script))
                locked = program if form == FORMATS["P2WSH"] else script.p2sh(program)
                return b"asci" + locked.address(NETWORKS["test"]).encode()
        raise Refused("Multisig wallet with those fingerprints not found")

    def _stxn(self, _):
        psbt = PSBT.parse(bytes(self._upload))
        self.psbts.append(psbt)
        self._result, self._failed = b"", ""
        known = [each for each in self.wallets if all(self._is_of(each, one) for one in psbt.inputs)]
        if psbt.xpubs and not known:
            self._waiting = lambda: setattr(self, "_waiting", bool)  # asks, and asks again
        elif not known:
            self._failed = "Unknown multisig wallet"
        else:
            self._waiting = lambda: self._sign(psbt)
        return b"okay"

    def _is_of(self, wallet, claims):
        branch, index = next(iter(claims.bip32_derivations.values())).derivation[-2:]
        return claims.witness_script.data == wallet.witness_script(branch, index)

    def _sign(self, psbt):
        psbt.sign_with(self._master)
        if self.grinds:
            self._sign_anew(psbt)
        for each in psbt.outputs:
            each.unknown.clear()
        self._result = psbt.serialize()

    def _sign_anew(self, psbt):
        for index, each in enumerate(psbt.inputs):
            for key, origin in each.bip32_derivations.items():
                if origin.fingerprint == self._master.my_fingerprint:
                    own = self._master.derive(origin.derivation).secret
                    signature = ecdsa_sign(psbt.sighash(index), own, None, os.urandom(32))
                    each.partial_sigs[key] = ecdsa_signature_serialize_der(signature) + b"\x01"
