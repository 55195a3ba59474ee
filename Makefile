# Two commands do everything on a fresh machine with python3 (>= 3.11) and make:
#   make demo   trains an agent and moves it to another task
#   make test   lint, types, layering and the whole test suite
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.PHONY: demo test check bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: check
	$(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python benchmarks/open.py
	$(BIN)/python benchmarks/walk.py
	$(BIN)/python benchmarks/loop.py --preset laptop --updates 400
	$(BIN)/python benchmarks/loop.py --preset paper --updates 8

clean:
	rm -rf $(VENV) runs
