# Two commands on a fresh machine: `make demo` and `make test`. They need make and Python 3.11 or
# newer and set up everything else, once. `make test VENV=/tmp/venv PYTHON=python3.12` sets it up
# elsewhere or with another Python.
.POSIX:
.PHONY: help demo test lint bench setup clean

VENV = .venv
PYTHON = python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PIP = $(BIN)/python -m pip --disable-pip-version-check -q
# In two runs, because looking for examples means to import every file, and tests/ holds some that
# are made to be run by a test and not to be imported.
PYTEST = $(BIN)/python -m pytest -q
# Options for the command that a target runs: make demo ARGS=--json
ARGS =

help:
	@echo "make demo   replay real prompts through the whole cache (no network, no API key)"
	@echo "make test   every test, and every example in the documentation"
	@echo "make lint   ruff and mypy --strict"
	@echo "make bench  time and memory against the budgets"
	@echo "make setup  only set up $(VENV); the others do it themselves"
	@echo "make clean  remove .venv and what the tools left behind"

demo: $(READY)
	@$(BIN)/semcache demo $(ARGS)

test: $(READY)
	@$(PYTEST) --doctest-modules --doctest-glob=README.md semcache README.md
	@$(PYTEST) tests $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)

setup: $(READY)

# Runs again only when what is to be installed has changed.
$(READY): pyproject.toml models/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "semcache needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, one to three minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e models -e '.[dev]'
	@touch $(READY)

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
