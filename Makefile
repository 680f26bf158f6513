# `make help` lists what there is.
PYTHON ?= python3
VENV   ?= .venv
# on two cores four: tests wait for servers more than they work
JOBS   ?= 4
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup bytecode demo test test-all test-disk lint fault soak soak-disturbed bench clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install cutoverd in it

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## a whole run on a PostgreSQL and a NATS of its own: make demo [ROWS=n] [EXAMPLE=flights] [BREAK=precheck|service|schema|data|validate|smoke|cutover|monitor]
	$(BIN)/cutoverd demo $(if $(EXAMPLE),--example $(EXAMPLE)) $(if $(ROWS),--rows $(ROWS)) $(if $(BREAK),--break $(BREAK))

# else each of the thousands of commands that the tests start would compile us anew where PYTHONDONTWRITEBYTECODE is set
bytecode: setup
	@$(BIN)/python -m compileall -q daemon states events tests

test: bytecode  ## the tests, without what takes long; on PostgreSQL 15 as well as 18 only what depends on the version
	$(BIN)/pytest -m 'not soak and not long and not other_version' -n $(JOBS) $(ARGS)

# the rest of the suite is in memory where there is room: what is about a disk (servers that are killed while they write, one that
# is full, fsync), and a whole run
ON_DISK := tests/fault/test_journal_server_killed.py tests/fault/test_names_server_killed.py tests/fault/test_disk_full.py \
	tests/integration/embedded tests/integration/bus/test_anchor.py \
	tests/integration/runs/test_run_ends.py::test_0_completed_and_an_ended_run_is_never_continued

test-all: bytecode  ## every test but the soaks and those of test-disk, on both versions: CI runs the two
	$(BIN)/pytest -m 'not soak' -n $(JOBS) $(addprefix --deselect=,$(ON_DISK)) $(ARGS)

test-disk: bytecode  ## on a disk, what is about one
	CUTOVERD_TEST_DIR=/var/tmp $(BIN)/pytest -m 'not soak' -n $(JOBS) $(ON_DISK)

lint: setup  ## ruff and mypy, strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fault: setup  ## only the tests that kill something
	$(BIN)/pytest tests/fault $(ARGS)

soak: setup  ## the long ones
	$(BIN)/pytest -m soak $(ARGS)

# one table at its end; each run prints its seed: `make soak-disturbed MINUTES=0 SEED=17` takes that one alone
MINUTES ?= 30
SEED ?= 1
soak-disturbed: setup  ## runs disturbed at any moment, for so long: make soak-disturbed [MINUTES=30] [SEED=1]
	CUTOVERD_SOAK_MINUTES=$(MINUTES) CUTOVERD_SOAK_SEED=$(SEED) $(BIN)/pytest -m soak tests/fault/test_disturbed_at_any_moment.py $(ARGS)

bench: setup  ## ratios against named alternatives, all repetitions printed
	$(BIN)/python -m tests.bench

clean:  ## remove .venv and what was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
