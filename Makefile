# Two commands: `make demo` and `make test`. Each makes its own environment the first time.

PYTHON    ?= $(shell command -v python3.11 || command -v python3)
VENV      ?= .venv
WORKSPACE ?= demo
# Passed to pip: for instance PIP_ARGS="--extra-index-url <an index with CPU builds of torch>".
PIP_ARGS  ?=
# Passed to pytest: for instance ARGS="tests/prep -k tile".
ARGS      ?=
# Processes that run tests at once.
JOBS      ?= 2

BIN   := $(VENV)/bin
READY := $(VENV)/.diptych-ready
# A file's tests stay in one process; the order of the files is that of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
# The folders of tests that need no training library, for `make quick`.
FAST  := tests/prep tests/oracles tests/retrieve/episode tests/retrieve/experience tests/retrieve/report
FAST  += tests/training/data tests/training/metrics tests/promises/test_public_names.py

# pip leaves bytecode to the first import. Where it may not be kept, every process compiles torch and Prefect again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo quick test check lint format clean

help:  ## show this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo
	@echo "  make demo DOCS=path    the demo on your own folder of documents"
	@echo "  make test ARGS=...     arguments for pytest"

setup: $(READY)  ## make the virtual environment (done by the others when needed)

# The stamp is written last: an interrupted set-up starts again where pip left off.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: install it, or say make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11: say make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "==> $(VENV): virtual environment with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> $(VENV): installing pinned dependencies (some minutes the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt \
		$(PIP_ARGS) \
		--editable '.[train,flows,serve,mcp,dev]'
	@touch $@
	@echo "==> $(VENV): ready"

demo: $(READY)  ## documents to cited reports, through both trained models; DOCS=path for your own
	@$(BIN)/python -u -m flows.cli demo --workspace "$(WORKSPACE)" $(if $(DOCS),--docs "$(DOCS)")

quick: $(READY)  ## style, import contracts and the fast tests, in about a minute
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/lint-imports
	@$(PYTEST) -m "not slow and not loopback" $(or $(ARGS),$(FAST))

test: $(READY)  ## the tests
	@$(PYTEST) --durations=20 --durations-min=3 $(ARGS)

check: $(READY)  ## lint, formatting, types, layers, tests: what has to be green
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST) $(ARGS)

lint: $(READY)  ## lint, formatting, types and layers, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## put the code in its format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## remove the environment, caches and the demo's workspace
	rm -rf $(VENV) build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
