"""Plugs `hwilib.devices.soft` into the real program: a folder for PYTHONPATH of tests that start it by its commands.

Python runs this before anything else. It does nothing but in the device's own process.
"""

import importlib.util
import sys
from pathlib import Path

if "custody.backends.hwi.child" in sys.orig_argv:
    import hwilib.devices

    soft = Path(__file__).resolve().parents[1] / "soft.py"
    spec = importlib.util.spec_from_file_location("hwilib.devices.soft", soft)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hwilib.devices.soft"] = module
    spec.loader.exec_module(module)
    hwilib.devices.__all__.append("soft")
