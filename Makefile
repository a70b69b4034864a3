# Each target installs what it needs into .venv. Only Python >= 3.11 and make must be present.
PYTHON ?= python3
# Options of pytest for `make test`, or of the benchmarks for `make bench`.
OPTIONS :=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-others test-all freethreaded lint types check bench bench-record bench-picture soak reference docs clean

run: $(VENV)/.installed-run
	@mkdir -p build
	@rm -rf build/access.jsonl build/access-log
	$(BIN)/zenactors run examples/access_log.toml --exit-when-idle

test: $(VENV)/.installed-check
	$(BIN)/python -m pytest -q -n auto $(OPTIONS)

# On every other Python from 3.11 on that the machine has. With SHARES=8, of the costly tests an
# eighth each: see tests/sharing.py.
test-others: $(VENV)/.installed-check
	@MAKE='$(MAKE)' SHARES='$(SHARES)' $(BIN)/python -m tests.interpreters

test-all: test test-others

# The suite and the benchmarks, briefly, on a Python without the GIL.
freethreaded: $(VENV)/.installed-check
	@MAKE='$(MAKE)' $(BIN)/python -m tests.interpreters free-threaded

lint: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-check
	$(BIN)/mypy

check: lint types test

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(OPTIONS)

# The run that docs/performance.md shows: on a machine that does nothing else, about ten minutes.
bench-record: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --only F3,F10,F12,F17,F18,F19 --json build/performance.json
	cp build/performance.json docs/performance.json
	$(MAKE) bench-picture

bench-picture: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.picture docs/performance.json docs/performance.svg docs/performance.md

soak: $(VENV)/.installed-check
	$(BIN)/python -m pytest -q -m slow -o faulthandler_timeout=3600

reference: $(VENV)/.installed-check
	$(BIN)/python -m docs.generate_reference

# The site has the layout of the repository, so that links between the pages and to the examples are
# the same in both.
docs: $(VENV)/.installed-docs
	rm -rf build/pages build/site
	mkdir -p build/pages/docs
	cp -R README.md CHANGELOG.md LICENSE examples build/pages
	cp docs/*.md docs/*.svg docs/*.css build/pages/docs
	$(BIN)/zensical build --clean
	$(BIN)/python -m docs.check_site build/site
	@echo 'To read it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site'

clean:
	rm -rf $(VENV) build dist *.egg-info .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "zenactors needs Python 3.11 or newer, and $(PYTHON) is %s.%s: try make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Cannot create a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed-run: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-check: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[check]'
	@touch $@

$(VENV)/.installed-bench: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

$(VENV)/.installed-docs: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@
