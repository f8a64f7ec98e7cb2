# Everything is installed into .venv, at the versions of constraints.txt; nothing else on the machine matters.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint wheel-check bench clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## create the environment

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

demo: $(STAMP) ## stream real speech, draw it, train and score speaker identification
	$(BIN)/streaming-wavlm demo --out demo-out

test: $(STAMP) ## run the test suite
	$(BIN)/python -m pytest

test-all: $(STAMP) ## run the slow tests too
	$(BIN)/python -m pytest -m 'not gpu'

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel-check: $(STAMP) ## build the wheel and run the README's lines from it in an empty environment
	$(BIN)/python tools/check_wheel.py

bench: $(STAMP) ## print the benchmark tables
	$(BIN)/python benchmarks/run.py

clean: ## remove what the targets made
	rm -rf $(VENV) dist demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
