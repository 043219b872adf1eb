# make demo: the main job on SQLite, nothing else installed. make test: everything that the tests need, then the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export SEATRIAL_MYSQL_ROOT ?= $(CURDIR)/.cache/mysql
export SEATRIAL_POSTGRESQL_17 ?= $(CURDIR)/.cache/postgresql-17
export SEATRIAL_POSTGRESQL_18 ?= $(CURDIR)/.cache/postgresql-18

.PHONY: demo test lint fast bench clean

demo: $(VENV)/demo
	$(BIN)/seatrial demo demo-report

test: $(VENV)/dev
	bash tests/servers/install.sh
	$(MAKE) lint
	$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder

fast: $(VENV)/dev
	$(BIN)/pytest -m "not slow" -x

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks

$(VENV)/demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/dev: pyproject.toml requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[all]'
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	touch $(VENV)/demo $@

clean:
	rm -rf $(VENV) .cache demo-report .pytest_cache .mypy_cache .ruff_cache
