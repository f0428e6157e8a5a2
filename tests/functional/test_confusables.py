"""The module of look-alikes is what its script writes, and as large as its page says."""

import importlib.util
from pathlib import Path

from custody import confusables

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "src" / "custody" / "confusables.py"
SAMPLE = """\
\ufeff# confusables.txt
# Version: 15.0.0
#
0430 ;\t0061 ;\tMA\t# ( \u0430 \u2192 a ) CYRILLIC SMALL LETTER A
0441 ;\t0063 ;\tMA\t# ( \u0441 \u2192 c ) CYRILLIC SMALL LETTER ES
006D ;\t0072 006E ;\tMA\t# ( m \u2192 rn )
2003 ;\t0020 ;\tMA\t# a blank, which no name holds
0439 ;\t0438 0306 ;\tMA\t# taken apart before it is looked up
"""


def script():
    spec = importlib.util.spec_from_file_location("confusables_script", ROOT / "scripts" / "confusables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_keeps_what_a_name_can_hold():
    assert script().read(SAMPLE) == ("15.0.0", {"a": ["\u0430"], "c": ["\u0441"], "rn": ["m"]})


def test_the_module_is_as_the_script_writes_it():
    lines = (line.rpartition("\t") for line in confusables.PROTOTYPES.split("\n") if line)
    drawn = {prototype: list(characters) for prototype, _, characters in lines}
    assert MODULE.read_text("utf-8") == script().write(confusables.VERSION, drawn)
    assert sum(map(len, drawn.values())) == 5_232


def test_unicode_s_licence_stands_beside_its_data():
    notice = (MODULE.parent / "UNICODE-LICENSE.txt").read_text("utf-8")
    assert "COPYRIGHT AND PERMISSION NOTICE" in notice
    assert "UNICODE-LICENSE.txt" in (confusables.__doc__ or "")
    page = (ROOT / "docs" / "adr" / "0023-names-that-read-alike.md").read_text("utf-8")
    assert f"version {confusables.VERSION}" in page
