# Two commands: make run, make test. Both make .venv first. `make docs` builds the documentation.
PYTHON ?= python3
BIN := .venv/bin
# pip compiles what it installs on one core, which takes as long as fetching it; this takes all cores.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --editable
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true

.PHONY: run test pytest lint docs clean

run: .venv/.run
	$(BIN)/python -m fsig_bench method=crdi dataset=babies

test: .venv/.test
	$(MAKE) --no-print-directory -j 2 lint pytest

pytest: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy fsig_bench baselines tools
	$(BIN)/lint-imports

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo site/index.html

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml
	$(INSTALL) .
	$(COMPILE)
	touch $@

.venv/.test: .venv/bin/python pyproject.toml
	$(INSTALL) '.[test]'
	$(COMPILE)
	touch $@ .venv/.run

.venv/.docs: .venv/bin/python pyproject.toml
	$(INSTALL) '.[docs]'
	$(COMPILE)
	touch $@ .venv/.run

clean:
	rm -rf .venv outputs site results/runs results/store results/smoke
