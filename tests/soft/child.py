"""The device's process as tests start it: the real one, with `hwilib.devices.soft` beside the vendors' drivers.

What tests change is changed here, so that the program itself has no door for it. `WITHOUT` names a package, or
`libusb`, that this machine is to lack.
"""

import importlib.util
import os
import sys
from pathlib import Path

from custody.backends.hwi import child


class _Missing:
    """Finds nothing where a package is meant to be missing."""

    def __init__(self, name):
        self._name = name

    def find_spec(self, name, _path=None, _target=None):
        if name.partition(".")[0] == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _take_away(name):
    if name == "libusb":
        import ctypes.util  # noqa: PLC0415

        import usb1._libusb1  # noqa: PLC0415

        def no_library(*_arguments, **_named):
            raise OSError("cannot open shared object file")

        usb1._libusb1.CDLL = no_library
        ctypes.util.find_library = lambda _name: None
    else:
        sys.meta_path.insert(0, _Missing(name))


def _plug_in():
    import hwilib.devices  # noqa: PLC0415 - not where a test takes it away

    spec = importlib.util.spec_from_file_location("hwilib.devices.soft", Path(__file__).with_name("soft.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["hwilib.devices.soft"] = module
    spec.loader.exec_module(module)
    hwilib.devices.__all__.append("soft")


if __name__ == "__main__":
    missing = os.environ.get("WITHOUT", "")
    if missing:
        _take_away(missing)
    else:
        _plug_in()
    child.main(sys.argv[1:])
