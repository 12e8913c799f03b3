# make serve [PORT=8000]   install what serving needs into .venv, and serve the bundles in models/
# make test                everything a change must pass
# make explore             the property tests once more, with examples of their own
# make site                the documentation, built into build/site
# make install             only the installation that `make serve` does

VENV   ?= .venv
HOST   ?= 127.0.0.1
PORT   ?= 8000
MODELS ?= models
# Further flags of `rnnserve serve`, as in ARGS="--log-format json".
ARGS   ?=

# Test files side by side: one more than there are cores, up to four: many tests wait for a server more than they compute.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN) && echo $$((cores < 3 ? cores + 1 : 4)))
PYTEST_FLAGS ?= -q -rs -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The first interpreter of a version that pyproject.toml allows; override with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { command -v "$$p"; break; }; done)

# Tests start hundreds of processes: each would compile everything anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: serve test install lint types imports unit explore format docs readme site screenshots bench bench-peers clean

serve: install
	exec $(BIN)/rnnserve serve --host $(HOST) --port $(PORT) --models $(MODELS) $(ARGS)

install: $(VENV)/.serving

# The checks run beside the first tests: each is a process that waits for nothing, on one core.
test: $(VENV)/.testing
	@$(MAKE) --no-print-directory --jobs=2 lint types imports unit

lint: $(VENV)/.testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.testing
	$(BIN)/mypy

imports: $(VENV)/.testing
	$(BIN)/lint-imports

unit: $(VENV)/.testing
	$(BIN)/pytest $(PYTEST_FLAGS)

# The property tests, with examples that no run has had.
explore: $(VENV)/.testing
	HYPOTHESIS_PROFILE=explore $(BIN)/pytest $(PYTEST_FLAGS) $$(grep -rl '^from hypothesis' tests --include='test_*.py')

format: $(VENV)/.testing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the tables of docs/ from the code.
docs: $(VENV)/.testing
	$(BIN)/python -m tests.tables

# Asks servers and writes their answers into README.md and docs/.
readme: $(VENV)/.testing
	$(BIN)/python -m tests.readme
	$(BIN)/python -m tests.docs_site.recorded

# Builds the documentation into build/site; needs no network to be read.
site: $(VENV)/.documenting
	$(BIN)/python -m sphinx --fail-on-warning --nitpicky --quiet --builder html \
		--conf-dir docs --doctree-dir build/site-trees . build/site
	@echo build/site/index.html

# Looks at every panel of the page with Chromium and writes docs/images/page/.
screenshots: $(VENV)/.testing
	$(BIN)/python -m tests.browser.screenshots

# Everything of docs/performance.md, with the peers that are installed: about 25 minutes, ten of them the soak.
# BENCH="--quick" shows in two minutes that all of it runs.
bench: $(VENV)/.benchmarks
	$(BIN)/python -m benchmarks.all $(BENCH)
	$(BIN)/python -m benchmarks.table

# The servers that it compares with, each in an environment of its own under .peers/; PEERS="mosec torchserve" picks.
bench-peers: | $(BIN)/python
	$(BIN)/python -m benchmarks.install $(PEERS)

clean:
	rm -rf $(VENV) build *.egg-info client/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Stamps: pip runs again only when a pyproject.toml has changed, or the extras named here.
$(VENV)/.serving: pyproject.toml Makefile | $(BIN)/python
	$(PIP) install --quiet --editable '.[audio,image,midi,page]'
	@touch $@

$(VENV)/.testing: pyproject.toml client/pyproject.toml Makefile | $(BIN)/python
	$(PIP) install --quiet --editable '.[training,test]' --editable './client[bench]'
	@touch $@ $(VENV)/.serving

$(VENV)/.benchmarks: pyproject.toml client/pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[benchmarks,test,training]' --editable './client[bench]'
	@touch $@ $(VENV)/.testing $(VENV)/.serving

$(VENV)/.documenting: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[docs]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with its venv module is needed" \
		"(on Debian: apt install python3-venv); name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
