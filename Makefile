PYTHON ?= python3
BIN := .venv/bin
# Files of tests that run side by side.
JOBS ?= 2
INSTALLED := .venv/installed

.PHONY: help install demo test test-all docs notebooks torture check lint types clean

help:
	@echo "make demo     the whole way on pictures that come with the package, into results/demo (under a minute)"
	@echo "make test     the tests that are quick (about four minutes on two cores)"
	@echo "make test-all all tests"
	@echo "make docs     the documents as a site that needs no network, into build/docs"
	@echo "make notebooks  the notebooks in examples, executed in place, their outputs kept (two minutes)"
	@echo "make torture  kills, full disks, damage and rivals, into docs/reliability.md (ten minutes; not in CI)"
	@echo "make check    ruff, mypy, the documents, all tests: what CI runs"
	@echo "make install  the environment in .venv alone"
	@echo "make clean    remove .venv and every cache"

install: $(INSTALLED)

$(INSTALLED): constraints.txt setup.cfg pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'dominoes needs Python 3.11 or newer, this is ' + sys.version.split()[0] + '; say make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/dominoes demo --out results/demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The variable silences an advertisement.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: $(INSTALLED)
	PYTHONPATH=. $(BIN)/python examples/execute.py

torture: $(INSTALLED)
	$(BIN)/python -m benchmarks.torture --write docs/reliability.md

check: lint types docs test-all

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
