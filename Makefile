# Two commands do everything on a fresh machine with python3 (>= 3.11) and make:
#   make demo   the study on the embedded benchmark: four tasks, two seeds, every regime, one report
#   make test   lint, types, layering and the whole test suite
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.PHONY: demo test check bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/archwalk study --benchmark digits --tasks class_object,room_layout,segmentsemantic,autoencoder \
	    --seeds 2 --preset quick --jobs $(JOBS) --run-dir runs/demo
	$(BIN)/archwalk report runs/demo

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# One thread of the linear algebra: its small matrices are slower on two, and the tests' own processes need the cores.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python benchmarks/open.py
	$(BIN)/python benchmarks/walk.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/update.py --preset paper
	$(BIN)/python benchmarks/update.py --preset laptop
	$(BIN)/python benchmarks/loop.py --preset laptop --updates 400
	$(BIN)/python benchmarks/loop.py --preset paper --updates 8

clean:
	rm -rf $(VENV) runs
