"""The kept fixtures are what the program writes today: a change of format cannot pass unseen."""

from pathlib import Path

from custody.log import SignedCheckpoint, check_history, read_line
from custody.testing import fixtures

FOLDER = Path(__file__).resolve().parents[2] / fixtures.FOLDER


def test_every_file_of_a_complete_transfer_is_as_it_was():
    made = fixtures.make()
    kept = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert sorted(made) == sorted(kept)
    differing = [name for name in made if made[name] != kept[name]]
    assert not differing, f"{differing} changed; if that is meant, run `make fixtures` and say so in the changelog"


def test_the_kept_log_is_the_one_its_witness_cosigned():
    lines = (FOLDER / "log.jsonl").read_bytes().splitlines()
    entries = [read_line(line, index) for index, line in enumerate(lines)]
    signed = SignedCheckpoint.parse((FOLDER / "checkpoint.txt").read_text())
    check_history(entries, signed.checkpoint)
