# One venv in .venv; `make demo` and `make test` set it up themselves.
PYTHON ?= python3
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test check lint types layers clean

help:
	@echo "make demo    train, evaluate and report on a synthetic corpus (SEED=$(SEED))"
	@echo "make test    the tests"
	@echo "make check   the tests, ruff, pyright, import layers, hadolint"
	@echo "make clean   remove caches and build products (.venv and outputs/ stay)"

venv: $(STAMP)

# The stamp is written last, so that a killed installation is taken up again.
$(STAMP): pyproject.toml setup.py
	@echo "installing into $(VENV): minutes and several GB the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m affect_mllm.tools.demo --seed $(SEED)

test: $(STAMP)
	$(BIN)/python -m pytest

check: test lint types layers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint docker/Dockerfile

types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(STAMP)
	$(BIN)/lint-imports

clean:
	rm -rf build dist ./*.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find affect_mllm data_recipes tests -name __pycache__ -type d -prune -exec rm -rf {} +
