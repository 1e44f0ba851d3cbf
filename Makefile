# Needs only Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many test files run side by side, each in a process with clusters and stores of its own.
JOBS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Tests start hundreds of processes, which find compiled modules even where the environment forbids to keep them.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo ui test test-clusters test-long docs check format clean

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

demo: $(VENV)/.installed  ## run the built-in study: the paper's table in miniature, in minutes
	$(BIN)/pretrieve demo

ui: $(VENV)/.installed  ## open the MLflow UI of the demo on loopback
	$(BIN)/pretrieve ui

test: $(VENV)/.installed-dev  ## run the tests with coverage, two files at a time (JOBS=1: one)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 20 -m "not clusters and not long" \
	  --cov --cov-report=term-missing:skip-covered --cov-fail-under=95

test-clusters: $(VENV)/.installed-dev  ## run the tests that start nodes, servers and drivers of their own
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 20 -m "clusters and not long"

test-long: $(VENV)/.installed-dev  ## before a release: run the tests that take minutes each
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 20 -m long

docs: $(VENV)/.installed-dev  ## build the documentation into site/, which opens from the disk; a broken link is an error
	$(BIN)/zensical build --strict --clean
	$(BIN)/python docs/check_site.py site

check: $(VENV)/.installed-dev  ## before every push: format, lint, types, import layers, documentation, tests with coverage
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory test

format: $(VENV)/.installed-dev  ## format the code and mend what the linter can
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

clean:  ## remove the environment and all caches, but no study
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache site .coverage*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Pretrieve needs Python 3.10 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A stamp a set of dependencies: installed again when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) install -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(PIP) install -e ".[dev]"
	@touch $@ $(VENV)/.installed
