# make serve [PORT=8000]   install what serving needs into .venv, and serve the bundles in models/
# make test                everything a change must pass
# make install             only the installation that `make serve` does

VENV   ?= .venv
HOST   ?= 127.0.0.1
PORT   ?= 8000
MODELS ?= models
# Further flags of `rnnserve serve`, as in ARGS="--log-format json".
ARGS   ?=

# Test files side by side, one for each core.
PYTEST_FLAGS ?= -q -n auto --maxprocesses 4 --dist loadfile

# The first interpreter of a version that pyproject.toml allows; override with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v "$$p"; break; }; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: serve test install lint types imports unit format docs readme clean

serve: install
	exec $(BIN)/rnnserve serve --host $(HOST) --port $(PORT) --models $(MODELS) $(ARGS)

install: $(VENV)/.serving

test: $(VENV)/.testing lint types imports unit

lint: $(VENV)/.testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.testing
	$(BIN)/mypy

imports: $(VENV)/.testing
	$(BIN)/lint-imports

unit: $(VENV)/.testing
	$(BIN)/pytest $(PYTEST_FLAGS)

format: $(VENV)/.testing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the tables of docs/ from the code.
docs: $(VENV)/.testing
	$(BIN)/python -m tests.tables

# Asks a server with the shipped bundles and writes its answers into README.md.
readme: $(VENV)/.testing
	$(BIN)/python -m tests.readme

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Stamps: pip runs again only when pyproject.toml has changed.
$(VENV)/.serving: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.testing: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[training,test]'
	@touch $@ $(VENV)/.serving

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with its venv module is needed" \
		"(on Debian: apt install python3-venv); name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
