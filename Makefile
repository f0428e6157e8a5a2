# What developers and the build server run. `make` alone lists it.

BIN := .venv/bin
SOURCES := src tests scripts docs/examples

.DEFAULT_GOAL := help
.PHONY: help setup check format test demo bench bench-million fuzz mutants agree errors api fixtures lock clean

help: ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: ## make .venv with the locked packages (PYTHON=... chooses the interpreter)
	@PYTHON="$(PYTHON)" scripts/setup.sh

check: setup ## lint, formatting, types, import contracts, README, error and API reference
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/mypy scripts
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_readme.py
	$(BIN)/python scripts/error_reference.py --check
	$(BIN)/python scripts/api_reference.py --check

format: setup ## rewrite the sources in the one format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: setup ## run every test but the long campaigns, on all cores (ARGS=... go to pytest; -n0: in one process)
	$(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

demo: setup ## play a whole transfer on a regtest chain of its own
	$(BIN)/custody demo

bench: setup ## race against embit, bdkpython, wallycore and bitcoind (ARGS=--laps=N); writes build/bench.json
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --require-hashes --only-binary :all: \
		-r requirements/bench.txt || echo "bench: not every peer could be installed; those that are missing are not raced" >&2
	$(BIN)/python tests/benchmarks $(ARGS)

bench-million: setup ## what is done on a log of 1,000,000 entries; writing them the first time takes long
	$(BIN)/python tests/benchmarks --million $(ARGS)

fuzz: setup ## run the long campaigns: spoiled files, offices that do anything at random, media that fail
	CUSTODY_FUZZ_ROUNDS=$${CUSTODY_FUZZ_ROUNDS:-200000} $(BIN)/pytest tests/hostile/test_psbt_container.py $(ARGS)
	$(BIN)/pytest tests/hostile tests/functional/random_history tests/functional/faults -m campaign $(ARGS)

mutants: setup ## change the core one place at a time and see whether a test fails (ARGS="--sample 500")
	$(BIN)/python tests/mutants $(ARGS)

agree: setup ## compare the addresses of 1,000 vaults with bdkpython's and wallycore's
	@$(BIN)/python -m pip --disable-pip-version-check -qq install --require-hashes --only-binary :all: -r requirements/bench.txt
	$(BIN)/pytest tests/functional/test_node_agrees.py -m campaign $(ARGS)

errors: setup ## write docs/reference/errors.md from the error classes
	$(BIN)/python scripts/error_reference.py

api: setup ## write docs/reference/api.md from the sources
	$(BIN)/python scripts/api_reference.py

fixtures: setup ## write the fixtures that ship with the package again
	$(BIN)/python -m custody.testing.fixtures

lock: setup ## resolve requirements again (ARGS=--upgrade for newer versions)
	scripts/lock.sh $(ARGS)

clean: ## remove the environment and every cache
	rm -rf .venv .venv.lock .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
