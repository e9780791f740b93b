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

.PHONY: help setup demo test check lint format clean

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
		--editable '.[train,flows,dev]'
	@touch $@
	@echo "==> $(VENV): ready"

demo: $(READY)  ## documents to cited reports, through both trained models; DOCS=path for your own
	@$(BIN)/python -u -m flows.cli.app demo --workspace "$(WORKSPACE)" $(if $(DOCS),--docs "$(DOCS)")

test: $(READY)  ## the tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

check: $(READY)  ## lint, formatting, types, layers, tests: what has to be green
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

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
