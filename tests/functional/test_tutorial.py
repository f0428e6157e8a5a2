"""The tutorial is the first functional test: every command in it is typed as it stands, in an empty home.

So is the page that takes up where it ends.
"""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIAL = DOCS / "tutorial" / "first-transfer.md"
LONG_LOGS = DOCS / "how-to" / "long-logs.md"


def test_every_command_of_the_tutorial_and_of_what_follows_does_what_it_says(types_page, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert types_page((TUTORIAL, LONG_LOGS), home) > 48
