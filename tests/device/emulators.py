"""A seed for a vendor's emulator that was started without one: how does each take it?

Through hwilib's own debug link, simulator client or device API; no other program is needed. The words are those that
hwilib's tests use, known to everybody. None of this runs against hardware.
"""

from hwilib.devices import bitbox02, keepkey
from hwilib.devices.jadepy.jade import JadeAPI
from hwilib.devices.trezorlib import mapping, models
from hwilib.devices.trezorlib.debuglink import TrezorClientDebugLink, load_device_by_mnemonic
from hwilib.devices.trezorlib.transport.udp import UdpTransport
from mnemonic import Mnemonic

WORDS = "alcohol woman abuse must during monitor noble actual mixed trade anger aisle"
SECONDS = 30


def seed(kind: str, path: str) -> None:
    """Load the words into the empty emulator at `path`, as `DeviceKind.emulator_path` spells it."""
    _SEEDED[kind](path)


def _trezor(path: str, model: models.TrezorModel | None = None) -> None:
    (transport,) = UdpTransport.enumerate(path.removeprefix("udp:"))
    client = TrezorClientDebugLink(transport, model=model)
    client.init_device()
    load_device_by_mnemonic(client, mnemonic=WORDS, pin="", passphrase_protection=False, label="custody")
    client.close()


def _keepkey(path: str) -> None:
    messages = mapping.DEFAULT_MAPPING
    for each in (keepkey.KeepkeyFeatures, keepkey.KeepkeyResetDevice, keepkey.KeepkeyDebugLinkState):
        messages.register(each)
    model = models.TrezorModel(
        name="K1-14M",
        internal_name="keepkey",
        minimum_version=(0, 0, 0),
        vendors=("keepkey.com",),
        usb_ids=(),
        default_mapping=messages,
    )
    _trezor(path, model)


def _jade(path: str) -> None:
    jade = JadeAPI.create_serial(path, timeout=SECONDS)
    jade.connect()
    assert jade.set_seed(Mnemonic.to_seed(WORDS))
    jade.disconnect()


def _bitbox02(path: str) -> None:
    bitbox02.SIMULATOR_PATH = path
    client = bitbox02.Bitbox02Client(path)
    assert client.restore_device()
    client.close()


_SEEDED = {"bitbox02": _bitbox02, "jade": _jade, "keepkey": _keepkey, "trezor": _trezor}
