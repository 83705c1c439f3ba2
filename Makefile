# `make` lists what there is. Python is python3, or a newer one beside it; PYTHON=… chooses another.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
export PYTHON

.PHONY: help up demo test lint format access fuzz lock clean

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/.installed ## Starts Pharos at http://127.0.0.1:8000/, until Ctrl-C
	@exec scripts/up $(BIN)/python

demo: $(VENV)/.installed ## Starts Pharos with five small services to watch and to break, until Ctrl-C
	@export PHAROS_DATA_DIR="$${PHAROS_DATA_DIR:-var/demo}" && exec scripts/up $(BIN)/python demo

test: ## Installs what the tests need, then runs the checks and all tests
	@scripts/test-system
	@scripts/test-node
	@$(MAKE) lint
	@$(MAKE) pytest

lint: $(VENV)/.installed-dev ## Checks style, types and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Formats the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

access: $(VENV)/.installed-dev ## Writes the table of who may open which address anew
	PHAROS_TEST_WRITE_ACCESS=1 $(BIN)/pytest -q tests/accounts/test_access.py tests/accounts/test_access_docs.py

fuzz: $(VENV)/.installed-dev ## Feeds each parser with damaged input for a minute
	$(BIN)/python -m tests.logs.fuzz $(ARGS)

lock: $(VENV)/.installed-dev ## Pins the packages anew (requirements*.lock) from pyproject.toml
	@UV=$(BIN)/uv scripts/lock

clean: ## Removes the virtual environment and caches; asks before it removes your data
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@scripts/clean-data

# --- What the targets stand on ---

# The browser has a process to itself: its client keeps an event loop running in which no other test can start one.
# Tests that commit come last, as they leave none of the rows of the migrations: a large group must not come first.
.PHONY: pytest
pytest: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder --ignore tests/browser $(ARGS)
	$(BIN)/pytest tests/browser $(ARGS)

$(VENV)/bin/python:
	@scripts/make-venv $(VENV)

$(VENV)/.installed: requirements.lock | $(VENV)/bin/python
	@echo "Installing the packages of requirements.lock (a minute or so the first time) ..."
	@$(PIP_INSTALL) -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing the packages of requirements-dev.lock for development and tests ..."
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@
