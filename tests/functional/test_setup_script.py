"""scripts/setup.sh: ended anywhere it can be given again, twice at once it is done once, and it says what it may not.

The script is the real one; the interpreter it is told to use notes what it is asked for, so that nothing is fetched.
`make setup` on a build server is the same with a real one.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
STEPS = ["venv", "build.txt", "lock.txt", "."]
INTERPRETER = """#!/bin/bash
at=$(dirname "$(readlink -f "$PYTHON")")
reached() {
    echo "$1" >>"$at/asked"
    [[ $(wc -l <"$at/asked") == "${END_AT:-}" ]] && { kill -s "$END_BY" $PPID; exit 1; }
    [[ -z ${HOLD:-} ]] || { echo here >"$HOLD-here"; read -r _ <"$HOLD"; }
}
case "$1 $2" in
"-m venv")
    # As the real one: what stands there goes first, and not at once.
    rm -rf "$4/lib"
    reached venv
    rm -rf "$4"
    mkdir -p "$4/bin" "$4/lib/python3.11/site-packages"
    cp "$PYTHON" "$4/bin/python"
    echo /src >"$4/lib/python3.11/site-packages/_custody.pth"
    ;;
"-m pip")
    reached "$(basename "${!#}")"
    [[ ${!#} == . ]] && { echo "#!/bin/sh" >"$(dirname "$0")/custody"; chmod +x "$(dirname "$0")/custody"; }
    exit 0
    ;;
*) exec REAL "$@" ;;
esac
"""


@pytest.fixture
def folder(tmp_path):
    """A copy of what is needed, as it comes from an archive, under a name with blanks and other letters."""
    place = tmp_path / "\u043f\u0430\u043f\u043a\u0430 with blanks"
    for each in ("scripts/setup.sh", "pyproject.toml", "requirements/build.txt", "requirements/lock.txt"):
        (place / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / each, place / each)
    interpreter = tmp_path / "python"
    interpreter.write_text(INTERPRETER.replace("REAL", sys.executable))
    interpreter.chmod(0o755)
    return place


HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""Whatever was begun in the background is deaf to an interruption, and so is what it begins."""


def begun(folder, umask=0o022, user=None, **variables):
    return subprocess.Popen(
        # Somebody else may not run our interpreter, and is not interrupted here.
        [*([sys.executable, "-c", HEARING] if user is None else []), folder / "scripts" / "setup.sh"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(folder.parent / "python"), **variables},
        stderr=subprocess.PIPE,
        text=True,
        umask=umask,
        user=user,
    )


def given(folder, **variables):
    """How it ends, and what it says."""
    running = begun(folder, **variables)
    said = running.communicate()[1]
    return running.returncode, said


def asked(folder):
    """What the interpreter was asked for since this was asked last."""
    notes = folder.parent / "asked"
    found = notes.read_text().split() if notes.exists() else []
    notes.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize("how", ["KILL", "INT", "TERM"])
@pytest.mark.parametrize("at", range(1, 5))
def test_ended_at_any_step_it_can_be_given_again(folder, how, at):
    code, said = given(folder, END_AT=str(at), END_BY=how)
    assert code == (-signal.SIGKILL if how == "KILL" else 130)
    assert how == "KILL" or "give it again" in said
    assert asked(folder) == STEPS[:at]
    assert given(folder)[0] == 0
    # Locked packages that are all there are not fetched again.
    assert asked(folder) == (STEPS if at < 4 else STEPS[3:])
    assert given(folder) == (0, "")
    assert asked(folder) == []


def test_what_is_half_cleared_for_another_interpreter_does_not_pass_for_whole(folder):
    assert given(folder)[0] == 0
    asked(folder)
    other = folder.parent / "other"
    shutil.copy(folder.parent / "python", other)
    assert given(folder, PYTHON=str(other), END_AT="1", END_BY="KILL")[0] == -signal.SIGKILL
    asked(folder)
    assert given(folder)[0] == 0
    assert asked(folder) == STEPS


def test_given_twice_at_once_the_second_waits_and_finds_it_done(folder):
    hold = folder.parent / "hold"
    for each in (hold, Path(f"{hold}-here")):
        os.mkfifo(each)
    with begun(folder, HOLD=str(hold)) as first, contextlib.ExitStack() as ends:
        ends.callback(first.kill)
        Path(f"{hold}-here").read_text()
        second = ends.enter_context(begun(folder))
        assert "waiting for it" in second.stderr.readline()
        for _ in STEPS[1:]:
            hold.write_text("go on\n")
            Path(f"{hold}-here").read_text()
        hold.write_text("go on\n")
        assert (first.wait(), second.wait()) == (0, 0)
    assert asked(folder) == STEPS


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o022])
def test_nobody_else_may_write_what_is_made(folder, umask):
    assert given(folder, umask=umask)[0] == 0
    made = [each for each in (folder / ".venv").rglob("*") if not each.is_symlink()]
    assert made
    assert not [each for each in made if each.stat().st_mode & 0o022]


def test_who_may_not_write_there_is_told_so_and_nothing_is_asked_for(folder):
    is_root = os.geteuid() == 0
    # Root may write anywhere: somebody else tries, who may come there and only read.
    shut = [each for each in folder.parents if is_root and not each.stat().st_mode & stat.S_IXOTH]
    for each in shut:
        each.chmod(0o711)
    folder.chmod(0o555)
    try:
        code, said = given(folder, user=NOBODY if is_root else None)
    finally:
        folder.chmod(0o755)
        for each in shut:
            each.chmod(0o700)
    assert (code, "you may not write in" in said) == (1, True), said
    assert asked(folder) == []
