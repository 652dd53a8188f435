# Everything from a fresh clone with Python 3.11 or newer: `make demo` and `make test` set themselves up.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
JOBS ?= auto
# Compiled tests are kept even where the environment forbids it: compiling them takes ten seconds a process.
TEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# cpu or cuda; by default cuda where a driver answers, so that no CPU machine downloads gigabytes of CUDA.
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)

.DEFAULT_GOAL := help
.PHONY: help demo test slow browser smoke lint types docs figures doctest bench wheel clean

help: ## show these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.core ## train a DCGAN on MNIST, film it, score it
	@$(BIN)/zeuxis demo

test: $(VENV)/.dev ## the fast tests on all cores
	@$(TEST) -n $(JOBS) --dist worksteal

slow: $(VENV)/.dev ## the slow tests
	@$(TEST) -m slow

browser: $(VENV)/.dev ## the tests of the pages in a browser
	@$(TEST) -m slow tests/studio/test_studio_browser.py \
		tests/applications/human_test/test_human_browser.py

smoke: $(VENV)/.core ## a demo of about a minute, in a temporary folder
	@out=$$(mktemp -d) && $(BIN)/zeuxis demo --minutes 0.7 --n 1000 --out $$out && ls $$out/*/film.webp $$out/*/samples/final.png \
		&& rm -rf $$out

lint: $(VENV)/.dev ## ruff and codespell
	@$(BIN)/ruff check src tests benchmarks docs
	@$(BIN)/ruff format --check src tests benchmarks docs
	@$(BIN)/codespell

types: $(VENV)/.dev ## mypy
	@$(BIN)/mypy

docs: $(VENV)/.dev ## the documentation, warnings as errors, into docs/_build/html
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

figures: $(VENV)/.dev ## copy every number of README.md and docs/ from its record
	@$(BIN)/python docs/figures.py --write

doctest: $(VENV)/.dev ## every example in the documentation and the docstrings
	@$(TEST) -n $(JOBS) --doctest-modules --doctest-glob='*.md' src docs README.md

bench: $(VENV)/.dev ## speed against plain scripts and the machine's own rate
	@for b in $(filter-out %/compare.py %/subprocesses.py %/tuning.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$b || exit 1; done

wheel: $(VENV)/.dev ## the wheel, into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean: ## remove the virtual environment and what was built
	rm -rf $(VENV) dist docs/_build .pytest_cache .mypy_cache .ruff_cache

# The stamps are written last, so that a set-up that was killed is done again.
$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "zeuxis needs Python 3.11 or newer with its venv module:\
	 install it (on Debian: apt install python3 python3-venv) or name it with make PYTHON=/path/to/python."; exit 1; }
	@echo "Virtual environment in $(VENV) ($$($(PYTHON) --version))"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.python constraints.txt
	@echo "PyTorch, $(TORCH) build"
	@if [ "$(TORCH)" = cuda ] || [ "$$(uname -s)" = Darwin ]; then $(PIP) torch; \
	else $(PIP) 'torch==2.13.0+cpu' 2>/dev/null || $(PIP) --index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0+cpu'; fi
	@touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml
	@echo "zeuxis and what it needs"
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "What tests, checks and documentation need"
	@$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@
