"""Which bitcoind the tests run on: the one that was named, else the one on PATH, else a fetched one, else a reason."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fetch_bitcoind.sh"
NODE = "#!/bin/sh\necho Bitcoin daemon version v29\n"
BROKEN = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def project(tmp_path):
    """The script in a checkout of its own: what it fetched before is not there."""
    place = tmp_path / "project" / "scripts"
    place.mkdir(parents=True)
    shutil.copy2(SCRIPT, place)
    return place.parent


@pytest.fixture
def program(tmp_path):
    def make(name, text):
        path = tmp_path / name / "bitcoind"
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
        return path

    return make


def run(project, cwd=None, **environment):
    clean = {key: value for key, value in os.environ.items() if key != "BITCOIND"}
    return subprocess.run(
        [project / "scripts" / SCRIPT.name],
        env=clean | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def path_with(*first):
    return ":".join([*map(str, first), "/usr/bin", "/bin"])


def test_the_one_that_was_named_comes_first(project, program):
    named, found = program("named", NODE), program("found", NODE)
    done = run(project, BITCOIND=str(named), PATH=path_with(found.parent))
    assert (done.returncode, done.stdout) == (0, f"{named}\n")
    done = run(project, cwd=named.parent.parent, BITCOIND="named/bitcoind")
    assert (done.returncode, done.stdout) == (0, f"{named}\n")


def test_the_one_on_the_path_comes_second(project, program):
    found = program("found", NODE)
    done = run(project, PATH=path_with(found.parent))
    assert (done.returncode, done.stdout) == (0, f"{found}\n")


@pytest.mark.parametrize("text", [BROKEN, None])
def test_one_that_was_named_and_does_not_run_is_not_passed_over(project, program, tmp_path, text):
    named = program("named", text) if text else tmp_path / "missing"
    done = run(project, BITCOIND=str(named), PATH=path_with(program("found", NODE).parent))
    assert done.returncode == 1
    assert not done.stdout
    assert str(named) in done.stderr.splitlines()[-1]


def test_where_apt_knows_no_mirror_the_reason_is_said_and_nothing_is_left(project, tmp_path):
    if shutil.which("bitcoind", path=path_with()) or not shutil.which("apt-get"):
        pytest.skip("this machine has a bitcoind of its own, or no apt")
    configuration = tmp_path / "apt.conf"
    configuration.write_text('Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "/dev/null";\n')
    done = run(project, PATH=path_with(), APT_CONFIG=str(configuration))
    assert done.returncode == 1
    assert not done.stdout
    assert "set BITCOIND" in done.stderr.splitlines()[-1]
    assert [each.name for each in (project / ".cache").iterdir()] == ["bitcoind.lock"]
