# Each target sets up its environment by itself, on a machine with only Python 3.10+ and pip, and only when setup.cfg or
# pyproject.toml is newer than what is there.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo notebooks test quick slow lint mutants interrupts shapes torch tasks test-tasks run-tasks \
	run-test-tasks lowest run-lowest papers bench before-after record clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed  ## train on the chapter's sine, check the gradients, write pictures to demo-output/
	$(BIN)/scratchrnn demo

notebooks: $(VENV)/installed-notebooks  ## run the notebooks and write them as HTML, figures inside, to notebooks-output/
	$(BIN)/python notebooks/build.py

test: $(VENV)/installed-test  ## every test (PyTorch comparisons only where torch is: make torch)
	$(BIN)/python -m pytest

quick: $(VENV)/installed-test  ## the tests that take less than two minutes together
	$(BIN)/python -m pytest -m "not slow"

slow: $(VENV)/installed-test  ## the other tests, with the figures they print
	$(BIN)/python -m pytest -m slow -s

lint: $(VENV)/installed-test  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

mutants: $(VENV)/installed-test  ## change the mathematics one token at a time; every change must fail a test
	$(BIN)/python tests/mutants.py

interrupts: $(VENV)/installed-test  ## 2,000 interrupts through fit, and as many through loss_and_grads (two minutes)
	SCRATCHRNN_INTERRUPTS=2000 $(BIN)/python -m pytest -q tests/training/test_interrupts.py tests/backends/numba/test_threads.py -k interrupt

shapes: $(VENV)/installed-test  ## the Numba kernels against the text on 6,000 random shapes (one minute)
	SCRATCHRNN_SHAPES=3000 $(BIN)/python -m pytest -q tests/backends/numba/test_shapes.py

torch: $(VENV)/installed-torch  ## also install PyTorch, which the tests then compare with

# The packages that bring the tasks' data hold numba and numpy back, so they have an environment of their own.
tasks:  ## train a network on every task, three seeds each, and print the table of scores (5 minutes)
	@$(MAKE) --no-print-directory VENV=.venv-tasks run-tasks

test-tasks:  ## the tests of the tasks, with the packages that bring their data
	@$(MAKE) --no-print-directory VENV=.venv-tasks run-test-tasks

run-tasks: $(VENV)/installed-tasks
	$(BIN)/scratchrnn tasks

run-test-tasks: $(VENV)/installed-tasks $(VENV)/installed-test
	SCRATCHRNN_REQUIRE_TASKS=1 $(BIN)/python -m pytest -m "not slow" tests/tasks/test_tasks.py

# The lower bounds of setup.cfg, which pip would otherwise never choose.
LOWEST := numba~=0.62.0 numpy==2.0.*

lowest:  ## the tests of the kernels and of their cache, with the lowest Numba and NumPy that setup.cfg allows
	@$(MAKE) --no-print-directory VENV=.venv-lowest run-lowest

run-lowest: $(VENV)/installed-lowest
	$(BIN)/python -m pytest -m "not slow" tests/backends/numba/test_compile.py tests/backends/numba/test_kernels.py tests/backends/numba/test_processors.py tests/backends/numba/test_bounds.py

papers: $(VENV)/installed  ## results of papers measured anew beside what was published, to papers-output/ (10 minutes)
	$(BIN)/scratchrnn papers

bench: $(VENV)/installed-bench  ## speed and memory beside PyTorch, JAX, Keras and a NumPy loop (35 minutes), to bench-output/
	$(BIN)/scratchrnn bench

before-after: $(VENV)/installed-test  ## is any workload slower than in another checkout: make before-after BEFORE=path (7 minutes)
	$(BIN)/python -m benchmarks.before_after $(BEFORE)

record: $(VENV)/installed-bench  ## the same into benchmarks/results/ and README's table (on a machine that does nothing else)
	$(BIN)/scratchrnn bench --out benchmarks/results
	$(BIN)/python -m benchmarks.readme_table

clean:  ## remove the environments, caches and what the commands above wrote
	rm -rf .venv .venv-tasks .venv-lowest build *-output *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find scratchrnn tests benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} +

# Debian's python3 may lack ensurepip, which a venv needs to get a pip of its own. The pip outside can serve instead.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("scratchrnn needs Python 3.10 or newer: make PYTHON=..." if sys.version_info < (3, 10) else 0)'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) >/dev/null || $(PYTHON) -m venv --clear --without-pip $(VENV)

pip = if $(BIN)/python -m pip --version >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; \
	else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; $$pip install --quiet

# installed: the library; installed-EXTRA: the library with that extra of setup.cfg.
$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing scratchrnn"
	@$(pip) -e .
	@touch $@

$(VENV)/installed-%: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing scratchrnn[$*]"
	@$(pip) -e '.[$*]'
	@touch $(VENV)/installed $@

# Without the extra for tests, which brings what these tests do not need.
$(VENV)/installed-lowest: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing scratchrnn with $(LOWEST)"
	@$(pip) -e . $(addprefix ',$(addsuffix ',$(LOWEST))) 'pytest>=9' 'hypothesis>=6.100' 'unicorn>=2.1'
	@touch $(VENV)/installed $@

# First the small build of PyTorch, so that the extra finds one there.
$(VENV)/installed-bench: | $(VENV)/installed-torch

# The pinned release is a small CPU build on some machines; elsewhere, whatever release this Python can have.
$(VENV)/installed-torch: | $(BIN)/python
	@echo "installing $(TORCH)"
	@$(pip) '$(TORCH)' || $$pip install --quiet torch
	@touch $@
