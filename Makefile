# Everything here works straight after a clone: it needs make and a Python from 3.11 on.
# The tools are installed into .venv once, and again when pyproject.toml changes.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# $(call install,VENV,WHAT): uv is quick; pip does the same where uv cannot reach the packages.
install = $(BIN)/uv pip install --quiet --python $(1) $(2) || \
	$(BIN)/python -m pip --python $(1)/bin/python install --quiet $(2)

.PHONY: help demo test test-slow test-versions integrations check lint types layers docs wheel bench bench-peers format clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

$(READY): pyproject.toml
	@test -x $(BIN)/python || { for python in python3 python3.11 python3.12 python3.13 python3.14; do \
		$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
		exec $$python -m venv $(VENV); \
	done; echo 'mlguard needs Python 3.11 or newer, with its venv module: found none on the PATH' >&2; exit 1; }
	@echo 'installing the tools into $(VENV)'
	@$(BIN)/python -m pip install --quiet --upgrade pip uv
	@$(call install,$(VENV),--editable . --group dev)
	@touch $@

# Real servers for the tests, where apt and the right to use it are there; their tests skip otherwise.
SERVERS := redis-server prometheus prometheus-alertmanager
$(VENV)/servers: $(READY)
	@command -v redis-server prometheus prometheus-alertmanager >/dev/null || { \
		echo 'installing $(SERVERS) for the tests'; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update -qq && apt-get install -qq --no-install-recommends $(SERVERS); } >/dev/null 2>&1 || \
		echo 'no apt here, or no right to use it: the tests of the real servers will skip'; }
	@touch $@

demo: $(READY)  ## train two models on a year of flights and gate them; writes build/demo/report.html
	$(BIN)/python docs/examples/flights/demo.py

test: $(READY) $(VENV)/servers  ## the tests, and every Python block of the README, docs and docstrings
	$(PYTEST) -m 'not slow'

test-slow: $(READY) $(VENV)/servers  ## the large simulations
	$(PYTEST) -m slow

test-versions: $(READY)  ## the tests on every Python found, and at the lowest declared versions
	$(BIN)/python tests/versions.py

# What does not fit into one environment with the rest has its own under .venvs/.
APART := airflow dagster mlflow prefect
.venvs/%/ready: pyproject.toml | $(READY)
	@rm -rf .venvs/$* && $(BIN)/python -m venv --without-pip .venvs/$*
	@{ $(call install,.venvs/$*,--editable . --group $*); } && touch $@ || \
		echo '$* cannot be installed here: its tests will skip'

integrations: $(APART:%=.venvs/%/ready)  ## the tests of Airflow, Dagster, MLflow and Prefect, each in its own environment
	@missing=0; for name in $(APART); do \
		python=.venvs/$$name/bin/python; \
		test -e .venvs/$$name/ready || { python=$(BIN)/python; missing=$$((missing + 1)); }; \
		$$python -m pytest --confcutdir tests/integrations tests/integrations/test_$$name.py || exit 1; \
	done; test $$missing -le 1 || { echo 'more than one cannot be installed here'; exit 1; }

check: lint types layers test integrations docs wheel  ## all that CI asks for
	@echo 'check: everything passed'

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

docs: $(READY)  ## build the documentation into build/site, strictly, and look into it
	$(BIN)/zensical build --strict --clean
	$(BIN)/python -m pytest tests/house/test_pages.py

wheel: $(READY)  ## build the wheel and try it in an environment that has nothing else
	rm -rf dist build/wheel && $(BIN)/hatchling build -t wheel
	$(BIN)/python -m venv --without-pip build/wheel
	@$(call install,build/wheel,dist/*.whl --group smoke)
	build/wheel/bin/python -m pytest --confcutdir tests/smoke tests/smoke

bench: $(READY)  ## measure the numbers that we promise
	@set -e; for program in $(filter-out %_peers.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$program; done

bench-peers: $(READY)  ## measure other drift detectors, sketches and cost budgets, in environments of their own
	@set -e; for program in $(wildcard benchmarks/*_peers.py); do $(BIN)/python $$program; done

format: $(READY)  ## fix what the linter can fix, and format
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

clean:  ## back to a fresh clone
	rm -rf $(VENV) .venvs build dist .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
