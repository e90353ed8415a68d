PYTHON ?= python3
BIN := .venv/bin
# Files of tests that run side by side.
JOBS ?= 2
INSTALLED := .venv/installed

.PHONY: help install demo test check lint types clean

help:
	@echo "make demo    the whole way on pictures that come with the package, into results/demo (under a minute)"
	@echo "make test    all tests"
	@echo "make check   ruff, mypy, all tests: what CI runs"
	@echo "make install the environment in .venv alone"
	@echo "make clean   remove .venv and every cache"

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
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

check: lint types test

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
