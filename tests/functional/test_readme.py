"""The README's example runs as it stands, and is short."""

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def example() -> str:
    found = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_example_walks_the_whole_route():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(example(), "README.md", "exec"), {})  # noqa: S102 - our own README is what is tested
    assert out.getvalue().splitlines() == [
        "the rules say: needs",
        "agreed: ('libbitcoinkernel', 'python-bitcointx')",
        "now: confirmed",
    ]


def test_the_example_is_at_most_25_lines():
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 25
