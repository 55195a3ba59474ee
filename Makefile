# Two commands do everything on a fresh machine with python3 (>= 3.11) and make:
#   make demo   the study on the embedded benchmark: four tasks, two seeds, every regime, one report
#   make test   lint, types, layering and the whole test suite
# Beside them: make docs, the documentation as a site; make test-lowest, on the lowest versions that are declared.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.PHONY: demo test docs test-lowest check bench clean

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

# Two files of tests at once, one thread of the linear algebra each. Those on Ray come last, alone: Ray runs its
# processes at low priority, and beside other tests they would starve.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore tests/distributed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/distributed

docs: $(STAMP)
	$(BIN)/python docs/site/build.py build/site

# A part of the tests on the lowest versions that pyproject.toml declares, but for torch, of which there is one.
LOWEST  = $(VENV)-lowest
SMOKE   = tests/test_cli.py tests/test_api.py tests/test_config.py tests/test_examples.py tests/envs/test_gym.py \
          tests/tasks/test_table.py tests/tasks/test_importers.py tests/spaces/test_registry.py \
          tests/searching/test_methods.py tests/networks/test_export.py tests/reporting/test_signs.py

test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(LOWEST)/bin/python tests/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet -c constraints.txt -c $(LOWEST)/lowest.txt \
	    '.[digits,onnx,peers,search,surrogates]' beartype ConfigSpace hypothesis psutil pytest stable-baselines3 \
	    sb3-contrib ruff
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -o addopts= -o filterwarnings=default $(SMOKE)

bench: $(STAMP)
	$(BIN)/python benchmarks/open.py
	$(BIN)/python benchmarks/walk.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/update.py --preset paper
	$(BIN)/python benchmarks/update.py --preset laptop
	$(BIN)/python benchmarks/loop.py --preset laptop --updates 400
	$(BIN)/python benchmarks/loop.py --preset paper --updates 8

clean:
	rm -rf $(VENV) $(LOWEST) build runs
