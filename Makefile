# Two commands: make run, make test. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint clean

run: .venv/.run
	$(BIN)/python -m fsig_bench method=crdi dataset=babies

test: .venv/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy fsig_bench baselines tools
	$(BIN)/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.test: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/.run

clean:
	rm -rf .venv outputs results/runs results/store results/smoke
