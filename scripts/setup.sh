#!/usr/bin/env bash
# Makes .venv with exactly the locked packages, or does nothing when it is already so.
#
# Needs Python 3.11 or 3.12 and no compiler. Every file is checked against its hash: first what builds packages, from
# wheels alone; then everything locked; last this project, in place. PYTHON names the interpreter to use.
#
# Ended at any point, it can be given again: the stamps that say "done" are the first to go and the last to come. Given
# twice at once, the second waits for the first; whatever outlives the first holds its lock.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VENV=.venv
readonly PACKAGES_STAMP=$VENV/.packages
readonly PROJECT_STAMP=$VENV/.project
readonly PYTHON_STAMP=$VENV/.python
readonly LOCK=.venv.lock

say() { printf 'set-up: %s\n' "$*" >&2; }

is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
    if [[ -n ${PYTHON:-} ]]; then
        is_supported "$PYTHON" && { echo "$PYTHON"; return; }
        say "PYTHON=$PYTHON is not a working Python 3.11 or 3.12"
        return 1
    fi
    local candidate
    for candidate in python3.12 python3.11 python3 python; do
        is_supported "$candidate" && { echo "$candidate"; return; }
    done
    say "found no Python 3.11 or 3.12; install one (Debian: apt install python3 python3-venv)"
    say "or name it: make setup PYTHON=/path/to/python3.12"
    return 1
}

# What somebody has told pip to do with packages elsewhere is not meant for this environment; from where it takes them is.
unset PIP_DRY_RUN PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REPORT PIP_PYTHON
# Whoever could write here could run what they like as whoever runs custody.
umask "$(printf '%03o' $((0$(umask) | 022)))"

pip() { "$VENV/bin/python" -m pip --disable-pip-version-check -qq --no-input "$@"; }

packages_key() { cat requirements/build.txt requirements/lock.txt | cksum; pwd; }
project_key() { cksum <pyproject.toml; }
matches() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# Without PYTHON, an environment stays with the interpreter it was made with.
has_interpreter() {
    is_supported $VENV/bin/python && { [[ -z ${PYTHON:-} ]] || matches $PYTHON_STAMP "$PYTHON"; }
}

has_packages() { matches $PACKAGES_STAMP "$packages" && has_interpreter; }
is_done() { has_packages && matches $PROJECT_STAMP "$project"; }

# Be alone here, until this process and all that it started have ended. Bash has no flock(2) of its own.
be_alone() {
    local lock='import fcntl, sys; fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if "now" in sys.argv else 0))'
    exec 9>>$LOCK
    "$1" -c "$lock" now 2>/dev/null && return
    say "another set-up is under way in this folder; waiting for it"
    "$1" -c "$lock"
}

packages=$(packages_key)
project=$(project_key)
if is_done; then
    exit 0
fi

SECONDS=0
if ! [[ -w . && ( ! -e $VENV || -w $VENV ) && ( ! -e $LOCK || -w $LOCK ) ]]; then
    say "you may not write in $PWD, where $VENV belongs; copy the folder to a place of your own, or have its owner set up"
    exit 1
fi
trap 'say "ended before it was done; give it again"; exit 130' INT TERM
python=$(find_python)
be_alone "$python"
if is_done; then
    exit 0
fi
rm -f $PROJECT_STAMP
if ! has_packages; then
    # What is half cleared must not pass for whole.
    rm -f $PACKAGES_STAMP $PYTHON_STAMP
    say "making $VENV with $("$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"
    if ! "$python" -m venv --clear $VENV; then
        say "this Python cannot make environments (Debian: apt install python3-venv)"
        exit 1
    fi
    say "installing build tools"
    pip install --require-hashes --only-binary :all: -r requirements/build.txt
    say "installing $(grep -c '==' requirements/lock.txt) locked packages, hashes checked; about half a minute"
    # embit and pyaes are published as source only; they are plain Python. Nothing else may be built here.
    pip install --require-hashes --no-build-isolation --only-binary :all: --no-binary embit,pyaes -r requirements/lock.txt
    echo "$python" >$PYTHON_STAMP
    echo "$packages" >$PACKAGES_STAMP
fi
say "installing custody in place"
pip install --no-deps --no-build-isolation --editable .
# Python reads where the sources are in the locale's encoding: under LC_ALL=C a path with other letters ends every start.
for named in "$VENV"/lib/python3.*/site-packages/*custody*.pth; do
    echo ../../../../src >"$named"
done
if ! "$VENV/bin/custody" --version >/dev/null; then
    say "custody does not start from $VENV; was pip told to install elsewhere (pip config list)?"
    rm -f $PACKAGES_STAMP $PROJECT_STAMP
    exit 1
fi
echo "$project" >$PROJECT_STAMP
say "done in $SECONDS s"
