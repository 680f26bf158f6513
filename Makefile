# `make help` lists what there is.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fault soak bench clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install cutoverd in it

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## a whole run on a PostgreSQL and a NATS of its own: make demo [ROWS=n] [EXAMPLE=flights] [BREAK=precheck|service|schema|data|validate|smoke|cutover|monitor]
	$(BIN)/cutoverd demo $(if $(EXAMPLE),--example $(EXAMPLE)) $(if $(ROWS),--rows $(ROWS)) $(if $(BREAK),--break $(BREAK))

test: setup  ## every test but the soaks
	$(BIN)/pytest -m 'not soak' -n $(JOBS) --dist worksteal $(ARGS)

lint: setup  ## ruff and mypy, strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fault: setup  ## only the tests that kill something
	$(BIN)/pytest tests/fault $(ARGS)

soak: setup  ## the long ones
	$(BIN)/pytest -m soak $(ARGS)

bench: setup  ## ratios against named alternatives, all repetitions printed
	$(BIN)/python -m tests.bench

clean:  ## remove .venv and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
