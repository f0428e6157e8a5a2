#!/usr/bin/env bash
# Writes requirements/*.txt anew: every package with its version and the hashes of its files, and no host's name.
# Arguments go to the resolver: `scripts/lock.sh --upgrade`, `scripts/lock.sh --upgrade-package pydantic`.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m pip --disable-pip-version-check -qq install uv

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url "$@" >/dev/null
}

compile pyproject.toml --all-extras --group dev --output-file requirements/lock.txt "$@"
# The files share packages: one version of each.
compile requirements/build.in --constraints requirements/lock.txt --only-binary :all: \
    --output-file requirements/build.txt "$@"
compile requirements/bench.in --constraints requirements/lock.txt --only-binary :all: \
    --output-file requirements/bench.txt "$@"
if grep -nE '://|index-url|find-links' requirements/*.txt; then
    echo "lock: a host's name got into the lines above" >&2
    exit 1
fi
grep -c '==' requirements/build.txt requirements/lock.txt requirements/bench.txt
