# Each target sets up .venv by itself, quietly, and is quick when nothing changed.
PYTHON ?= python3
VENV ?= .venv
CLIP ?= examples/clip.mp4

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "PYTHON=python3.11 make ... chooses the interpreter (3.10 to 3.12) of a new .venv."

demo: $(VENV)/.ready ## Fit the example clip, say what it shows, animate a prompt: out/*.mp4, out/head.gif
	@mkdir -p out
	$(BIN)/tdmm fit $(CLIP) -o out/motion.npz --force --preview out/overlay.mp4
	$(BIN)/tdmm describe out/motion.npz
	$(BIN)/tdmm render out/motion.npz --size 360 -o out/head.gif --force
	$(BIN)/tdmm animate "smiles then nods" -o out/animated.mp4 --force
	@echo "look at out/overlay.mp4, out/head.gif and out/animated.mp4"

test: $(VENV)/.ready-test ## Run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.ready-dev ## Format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy tdmm
	$(BIN)/python -m pytest

bench: $(VENV)/.ready-bench ## Measure: prints a table, writes benchmarks/results/*.json
	$(BIN)/python -m benchmarks.run

docs: $(VENV)/.ready ## Write docs/cli.md anew from --help
	$(BIN)/python scripts/write_cli_docs.py

clean: ## Remove .venv and what the targets made
	rm -rf $(VENV) out build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "error: $$($(PYTHON) -V) will not do: name Python 3.10, 3.11 or 3.12, as in: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "setting up $(VENV); this takes a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@sh scripts/system_libraries.sh $(BIN)/python
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.ready-bench: $(VENV)/.ready
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@
