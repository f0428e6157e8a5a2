"""Which characters are drawn like others? Writes src/custody/confusables.py from Unicode's security data.

    scripts/confusables.py confusables.txt [--check]

`confusables.txt` is published by Unicode with UTS 39, and is part of the sources of ICU. `--check` writes nothing and
fails when the module is not what the file gives. Left out is what no name can hold: characters that are taken apart
before they are looked up (NFD), and blanks, controls and format characters.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "src" / "custody" / "confusables.py"
_WIDTH = 112
_HEAD = '''"""Which characters are drawn like which: Unicode's confusables (UTS 39), version {version}.

Written by `scripts/confusables.py` from Unicode's confusables.txt; do not edit it by hand. It is data of Unicode, Inc.,
changed in form and shortened, under the licence in `UNICODE-LICENSE.txt` beside this file. See ADR {adr}.

Each line of `PROTOTYPES` is a prototype, a tab, and the characters that are drawn like it.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "{version}"
PROTOTYPES: Final = (
'''
ADR = "0023"


def read(text: str) -> tuple[str, dict[str, list[str]]]:
    """Version, and the characters by their prototype."""
    found = re.search(r"^# Version: (\S+)$", text, re.MULTILINE)
    if found is None:
        sys.exit("confusables: the file does not say its version")
    drawn: dict[str, list[str]] = {}
    for line in text.lstrip("\ufeff").splitlines():
        fields = line.partition("#")[0].split(";")
        if len(fields) < 2:  # noqa: PLR2004 - a character and its prototype
            continue
        character = chr(int(fields[0], 16))
        if is_needed(character):
            prototype = "".join(chr(int(each, 16)) for each in fields[1].split())
            drawn.setdefault(prototype, []).append(character)
    return found[1], drawn


def is_needed(character: str) -> bool:
    """Whether it can stand in a name that was taken apart."""
    category = unicodedata.category(character)
    is_unseen = category[0] == "Z" or category in {"Cc", "Cf", "Co", "Cs"}
    return not is_unseen and unicodedata.normalize("NFD", character) == character


def write(version: str, drawn: dict[str, list[str]]) -> str:
    """The module's text."""
    lines: list[str] = []
    line = ""
    for prototype, characters in sorted(drawn.items()):
        for each in (*prototype, "\t", *sorted(characters), "\n"):
            escaped = "\\\\" if each == "\\" else '\\"' if each == '"' else ascii(each)[1:-1]
            if len(line) + len(escaped) > _WIDTH:
                lines.append(line)
                line = ""
            line += escaped
    quoted = "".join(f'    "{each}"\n' for each in (*lines, line))
    return f"{_HEAD.format(version=version, adr=ADR)}{quoted})\n"


def main() -> None:
    """Write the module, or compare it."""
    made = write(*read(Path(sys.argv[1]).read_text("utf-8")))
    if "--check" in sys.argv[2:]:
        if TARGET.read_text("utf-8") != made:
            sys.exit(f"confusables: {TARGET} is not what {sys.argv[1]} gives")
    else:
        TARGET.write_text(made, "utf-8")
    sys.stdout.write(f"confusables: {len(made)} bytes\n")


if __name__ == "__main__":
    main()
