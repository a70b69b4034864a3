# Each target installs what it needs into .venv. Only Python >= 3.11 and make must be present.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint types check bench soak clean

run: $(VENV)/.installed-run
	@mkdir -p build
	@rm -f build/access.jsonl
	$(BIN)/zenactors run examples/access_log.toml --exit-when-idle

test: $(VENV)/.installed-check
	$(BIN)/python -m pytest -q -n auto

lint: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-check
	$(BIN)/mypy

check: lint types test

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

soak: $(VENV)/.installed-check
	$(BIN)/python -m pytest -q -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

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
