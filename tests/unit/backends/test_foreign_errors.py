"""Whatever a driver raises gets one of our names, and nothing private or unprintable passes.

The classes here are stand-ins of the same names: which the vendors' own are is tested with them in tests/hostile.
"""

import pytest

from custody.backends.hwi.errors import Fault, error_of
from custody.backends.hwi.foreign import Nonsense, judge, judge_report, plain
from custody.errors import CustodyError


class HWWError(Exception):
    def __init__(self, text: str, code: object) -> None:
        super().__init__(text)
        self.code = code


class DeviceConnectionError(HWWError):
    pass


class BadArgumentError(HWWError):
    pass


class JadeError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("jade")
        self.code = code


class TrezorFailure(Exception):
    pass


class UnknownDeviceError(Exception):
    pass


class USBErrorBusy(Exception):
    pass


class SerialException(OSError):
    pass


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (-3, Fault.NOT_FOUND),
        (-4, Fault.UNSUPPORTED),
        (-5, Fault.UNSUPPORTED),
        (-6, Fault.LOCKED),
        (-7, Fault.UNSUPPORTED),
        (-8, Fault.UNSUPPORTED),
        (-9, Fault.UNSUPPORTED),
        (-12, Fault.LOCKED),
        (-13, Fault.FAILED),
        (-14, Fault.REFUSED),
        (-15, Fault.BUSY),
        (-16, Fault.NOT_FOUND),
        (-18, Fault.LOCKED),
        (-99, Fault.FAILED),
        (None, Fault.FAILED),
        ("-14", Fault.FAILED),
    ],
)
def test_hwilibs_numbers_have_our_names(code, fault):
    assert judge(HWWError("text", code))[0] is fault
    assert judge_report(code, "text")[0] is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DeviceConnectionError("Device is locked", -3), Fault.LOCKED),
        (DeviceConnectionError("Device is asleep", -3), Fault.LOCKED),
        (DeviceConnectionError("Ledger is not in either the Bitcoin or Bitcoin Testnet app", -3), Fault.LOCKED),
        (DeviceConnectionError("Network/chain selection error", -3), Fault.UNSUPPORTED),
        (BadArgumentError("Could not find device by path: x", -7), Fault.NOT_FOUND),
        (BadArgumentError("No path supplied matched device keys", -7), Fault.REFUSED),
        (JadeError(-32000), Fault.REFUSED),
        (JadeError(-32002), Fault.LOCKED),
        (JadeError(-32003), Fault.UNSUPPORTED),
        (JadeError(-32603), Fault.FAILED),
        (TrezorFailure("ActionCancelled: no"), Fault.REFUSED),
        (TrezorFailure("PinInvalid"), Fault.LOCKED),
        (TrezorFailure("DataError: No input"), Fault.FAILED),
        (UnknownDeviceError("0x5515", "Error in command", ""), Fault.LOCKED),
        (UnknownDeviceError("0x6f42", "Error in command", ""), Fault.FAILED),
        (RuntimeError("Possible active MiTM attack in progress! Incorrect signature."), Fault.PROTOCOL),
        (RuntimeError("Cannot connect to simulator. Is it running?"), Fault.NOT_FOUND),
        (NotImplementedError("get_pin is not needed"), Fault.LOCKED),
        (AssertionError("device doesn't have any secrets yet"), Fault.LOCKED),
        (AssertionError(), Fault.FAILED),
        (ConnectionRefusedError(111, "Connection refused"), Fault.NOT_FOUND),
        (ConnectionResetError(104, "Connection reset by peer"), Fault.FAILED),
        (OSError("open failed"), Fault.NOT_FOUND),
        (FileNotFoundError(2, "cannot find a suitable libusb-1.0", ["a"]), Fault.LIBRARY_MISSING),
        (FileNotFoundError(2, "No such file or directory", "/dev/hidraw9"), Fault.NOT_FOUND),
        (PermissionError(13, "Permission denied", "/dev/hidraw0"), Fault.NOT_FOUND),
        (SerialException("could not open port"), Fault.NOT_FOUND),
        (SerialException("Could not exclusively lock port"), Fault.BUSY),
        (USBErrorBusy("busy"), Fault.BUSY),
        (ModuleNotFoundError("No module named 'hwilib'", name="hwilib"), Fault.EXTRA_MISSING),
        (ModuleNotFoundError("No module named 'hid'", name="hid"), Fault.LIBRARY_MISSING),
        (ImportError("libudev.so.1: cannot open shared object file"), Fault.LIBRARY_MISSING),
        (Nonsense("no xpub"), Fault.PROTOCOL),
        (MemoryError(), Fault.FAILED),
        (KeyboardInterrupt(), Fault.FAILED),
        (KeyError("signatures"), Fault.FAILED),
    ],
)
def test_what_hwilib_lets_through_has_our_names_too(error, fault):
    found, reason = judge(error)
    assert found is fault
    assert type(error).__name__ in reason


def test_a_report_is_judged_by_its_text_where_its_number_says_less():
    assert judge_report(-13, "Could not open client: open failed")[0] is Fault.NOT_FOUND
    assert judge_report(-3, "Could not open client: Device is locked")[0] is Fault.LOCKED


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_is_an_error_with_a_hint(fault):
    error = error_of(fault, "ledger at /dev/hidraw0", "why")
    assert isinstance(error, CustodyError)
    assert error.code.startswith(("DEVICE_", "SIGNER_"))
    assert error.advice().strip()
    assert "why" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "tpub" + "D" * 107,
        "cHNidP8BAHECAAAAASaBcTce3/KF6Tet7qSze3gADAVmy7OtZGQXE8pCFxv2AAAAAAD+////",
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ],
)
def test_keys_and_psbts_are_cut_out_of_what_is_shown(text):
    assert plain(f"refused {text} at last") == "refused ... at last"


def test_what_is_shown_is_short_printable_ascii():
    shown = plain("\x1b[2J\u202e\n" + "x y " * 200)
    assert len(shown) <= 200
    assert shown.isascii()
    assert shown.isprintable()
