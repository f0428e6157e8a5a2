"""The plain installation, without extras: what is missing is named with the line that installs it, and the rest works.

The packages are hidden from a process of its own, before it loads anything.
"""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"

HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"alembic", "bitcointx", "hwilib", "pbk", "sqlalchemy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""
EVERY_NAME = """
import custody
from custody.errors import CustodyError
for name in custody.__all__:
    try:
        getattr(custody, name)
    except CustodyError as error:
        print(name, error.code, error)
"""
NEEDING = {
    "BitcoindJudge": "bitcointx",
    "BitcoindRelay": "bitcointx",
    "BitcoindView": "bitcointx",
    "BitcointxJudge": "bitcointx",
    "CookieFile": "bitcointx",
    "KernelJudge": "pbk",
    "Rpc": "bitcointx",
    "SqlStore": "sqlalchemy",
    "UserPassword": "bitcointx",
    "create_store": "sqlalchemy",
    "open_store": "sqlalchemy",
}


def run(program):
    return subprocess.run([sys.executable, "-P", "-c", HIDDEN + program], capture_output=True, text=True, check=False)


def test_the_readme_s_code_says_what_to_install():
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ended = run(example)
    assert ended.returncode == 1
    assert re.fullmatch(
        r"custody\.extras\.ExtraMissing: this needs the package \w+, which is not installed: "
        r"pip install '\.\[coordinator\]'",
        ended.stderr.strip().splitlines()[-1],
    )
    assert "ModuleNotFoundError" not in ended.stderr


def test_every_name_of_the_front_door_loads_or_says_what_to_install():
    ended = run(EVERY_NAME)
    assert ended.returncode == 0, ended.stderr
    told = dict(line.split(" ", 1) for line in ended.stdout.splitlines())
    assert told == {
        name: f"EXTRA_MISSING this needs the package {package}, which is not installed: pip install '.[coordinator]'"
        for name, package in NEEDING.items()
    }


def test_what_is_missing_for_devices_is_another_part():
    ended = run("from custody.extras import part_of_an_extra\nwith part_of_an_extra:\n    import hwilib")
    assert ended.stderr.strip().splitlines()[-1].endswith("hwilib, which is not installed: pip install '.[hwi]'")


def test_a_module_of_ours_that_is_missing_is_a_mistake_and_not_named_so():
    ended = run("from custody.extras import part_of_an_extra\nwith part_of_an_extra:\n    import custody.nowhere")
    assert ended.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'custody.nowhere'"
