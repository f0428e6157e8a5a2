"""The tutorial is the first functional test: every command in it is typed as it stands, in an empty home."""

from pathlib import Path

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-transfer.md"


def test_every_command_of_the_tutorial_does_what_it_says(types_page, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert types_page(TUTORIAL, home) > 40
