"""A device in software for hwilib: `hwilib.devices.soft`, the whole of `hwilib.commands` without any vendor's driver.

A device's path is `soft:NAME` and its seed that of the cosigner NAME in `custody.testing.cast` (whose modules are too
many to load in every device's process), so it can stand in for one of the cast. `soft:NAME?FAULT` misbehaves when it
shows an address or signs, in the way its name says. It signs with embit, which shares no code with ours. What is
plugged in stands in the environment variable SOFT_DEVICES. What a device with a PIN remembers from one process to the
next stands in the file that SOFT_PIN names.
"""

import hashlib
import importlib
import os
import socket
import time
from pathlib import Path

import embit.psbt
import hwilib.errors
from embit import bip32, script
from embit.networks import NETWORKS
from embit.util.secp256k1 import ecdsa_sign, ecdsa_signature_serialize_der
from hwilib.common import AddressType, Chain
from hwilib.hwwclient import HardwareWalletClient
from hwilib.key import ExtendedKey
from hwilib.psbt import PSBT

RAISED = {
    "asserts": AssertionError("timeout reading USB EP"),
    "busy": hwilib.errors.DeviceBusyError("handling another request"),
    "cancels": hwilib.errors.ActionCanceledError("sign_tx canceled"),
    "gone": ConnectionRefusedError(111, "Connection refused"),
    "leaks": RuntimeError("tpub" + "D" * 100 + "\x1b[2J\u202e cHNidP8BAH" + "A" * 300),
    "locked": hwilib.errors.DeviceNotReadyError("unlock me"),
    "unable": hwilib.errors.NotImplementedError("no multisig"),
}
# Exceptions of the vendors' own libraries, which hwilib lets through.
VENDORS = {
    "denies": ("ledger_bitcoin.exception.errors", "DenyError"),
    "duplicate": ("bitbox02_lib.bitbox02.bitbox02", "DuplicateEntryException"),
    "protocol": ("ckcc.protocol", "CCProtoError"),
    "unsupported": ("ledger_bitcoin.exception.errors", "NotSupportedError"),
}


# Where its PIN's digits stand in the square that it shows.
POSITIONS = "7351"


def secret(label):
    return hashlib.sha256(f"custody regtest {label}".encode()).digest()


class SoftClient(HardwareWalletClient):
    def __init__(self, path, password=None, expert=False, chain=Chain.MAIN):  # noqa: FBT002 - hwilib's signature
        super().__init__(path, password, expert, chain)
        self.name, _, self.fault = path.removeprefix("soft:").partition("?")
        self.master = bip32.HDKey.from_seed(secret(f"cosigner {self.name}"))

    def get_master_fingerprint(self):
        if self.fault == "dozes":
            time.sleep(1000)
        if self.fault == "pinned" and self.remembered() != "open":
            raise hwilib.errors.DeviceNotReadyError("Trezor is locked. Unlock by using 'promptpin' and then 'sendpin'.")
        return b"abc" if self.fault == "misnamed" else self.master.my_fingerprint

    def get_pubkey_at_path(self, bip32_path):
        key = self.master.derive("m/0h" if self.fault == "elsewhere" else bip32_path)
        network = NETWORKS["main" if self.chain is Chain.MAIN or self.fault == "mainnet" else "test"]
        version = network["xprv" if self.fault == "private" else "xpub"]
        return ExtendedKey.deserialize((key if self.fault == "private" else key.to_public()).to_base58(version))

    def display_multisig_address(self, addr_type, multisig):
        self._misbehave()
        keys = sorted(each.get_pubkey_bytes(7 if self.fault == "swaps" else 0) for each in multisig.pubkeys)
        if self.fault == "swaps":
            keys[0] = self.master.to_public().sec()
        body = b"".join(b"\x21" + key for key in keys)
        multi = script.Script(bytes([80 + multisig.thresh]) + body + bytes([80 + len(keys), 174]))
        locked = script.p2wsh(multi) if addr_type is AddressType.WIT else script.p2sh(script.p2wsh(multi))
        # Like most devices, it calls every test network the same.
        return locked.address(NETWORKS["main" if self.chain is Chain.MAIN else "test"])

    def sign_tx(self, tx):
        self._misbehave()
        if self.fault == "chatty":
            print("Waiting for OK on the device...")  # noqa: T201
        signed = embit.psbt.PSBT.from_string(tx.serialize())
        master = bip32.HDKey.from_seed(secret("a stranger")) if self.fault == "impostor" else self.master
        if self.fault == "impostor":
            for each in signed.inputs:
                for key, origin in each.bip32_derivations.items():
                    if origin.fingerprint == self.master.my_fingerprint:
                        digest = signed.sighash(signed.inputs.index(each))
                        each.partial_sigs[key] = master.derive(origin.derivation).sign(digest).serialize() + b"\x01"
        elif self.fault == "grinds":
            self._sign_by_chance(signed)
        elif self.fault != "silent":
            signed.sign_with(self.master)
        return self._returned(signed)

    def _sign_by_chance(self, psbt):
        """True signatures with a low R, found with fresh chance each time instead of by counting."""
        # `enumerate` is hwilib's here, at the end of this file.
        for index, each in zip(range(len(psbt.inputs)), psbt.inputs, strict=True):
            for key, origin in each.bip32_derivations.items():
                if origin.fingerprint == self.master.my_fingerprint:
                    secret_key, digest = self.master.derive(origin.derivation).secret, psbt.sighash(index)
                    der = bytes(72)
                    while len(der) > 70:
                        der = ecdsa_signature_serialize_der(ecdsa_sign(digest, secret_key, None, os.urandom(32)))
                    each.partial_sigs[key] = der + b"\x01"

    def prompt_pin(self):
        if self.fault != "pinned":
            raise hwilib.errors.UnavailableActionError("needs no PIN from the host")
        if self.remembered() == "open":
            raise hwilib.errors.DeviceAlreadyUnlockedError("The PIN has already been sent to this device")
        Path(os.environ["SOFT_PIN"]).write_text("shown")
        return True

    def send_pin(self, pin):
        is_right = self.remembered() == "shown" and pin == POSITIONS
        # A square is good for one attempt.
        Path(os.environ["SOFT_PIN"]).write_text("open" if is_right else "locked")
        return is_right

    def remembered(self):
        file = Path(os.environ["SOFT_PIN"])
        return file.read_text() if file.exists() else "locked"

    def _returned(self, signed):
        first = signed.inputs[0]
        match self.fault:
            case "half":
                first.partial_sigs.clear()
            case "stranger":
                stranger = bip32.HDKey.from_seed(secret("a stranger"))
                first.partial_sigs[stranger.get_public_key()] = next(iter(first.partial_sigs.values()))
            case "other-hash-type":
                first.partial_sigs = {key: value[:-1] + b"\x02" for key, value in first.partial_sigs.items()}
            case "careless":
                first.unknown[b"\xfc\x04soft\x00"] = b"words that want to leave"
                first.non_witness_utxo = first.witness_script = None
                signed.xpubs.clear()
        result = PSBT()
        result.deserialize(signed.to_string())
        if self.fault == "other-transaction":
            result.tx.vout[0].nValue -= 1
        return result

    def _misbehave(self):
        match self.fault:
            case "crashes":
                os.abort()
            case "exits":
                os._exit(0)
            case "hangs":
                time.sleep(1000)
            case "calls-home":
                socket.create_connection(("127.0.0.1", 9), 1)
            case "swells":
                hoard = []
                while True:
                    hoard.append(bytes(1 << 28))
            case fault if fault in RAISED:
                raise RAISED[fault]
            case fault if fault in VENDORS:
                module, name = VENDORS[fault]
                raise getattr(importlib.import_module(f"hwilib.devices.{module}"), name)("0x6985", "", "")

    def close(self):
        if self.fault == "sticks":
            time.sleep(1000)
        if self.fault == "breaks-late":
            raise RuntimeError("close failed")


def enumerate(password=None, expert=False, chain=Chain.MAIN, allow_emulators=False):  # noqa: A001, FBT002, ARG001
    found = []
    for path in os.environ.get("SOFT_DEVICES", "").split():
        client = SoftClient(path)
        entry = {"type": "soft", "model": "soft_1", "path": path, "needs_pin_sent": False}
        match client.fault:
            case "locked":
                entry |= {"error": "Could not open client: unlock me", "code": hwilib.errors.DEVICE_NOT_READY}
            case "injects":
                entry["fingerprint"] = "00000001; rm -rf /"
            case "pin":
                entry["needs_pin_sent"] = True
            case "pinned" if client.remembered() != "open":
                entry |= {"error": "Trezor is locked", "code": hwilib.errors.DEVICE_NOT_READY}
            case "crashes":
                os.abort()
            case _:
                entry["fingerprint"] = client.get_master_fingerprint().hex()
        found.append(entry)
    return found
