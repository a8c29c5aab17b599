# Two commands do all the set-up: `make demo` and `make test`. `make` alone lists the others.
#   TORCH=cpu|cuda  TORCH_INDEX=URL  PYTHON=COMMAND  SYSTEM=no    see scripts/setup.sh
#   ARGS="..."      handed on to napari-selfseg demo, or to pytest

VENV := .venv/bin
SYSTEM_NAME := $(shell uname -s)
export TORCH TORCH_INDEX PYTHON SYSTEM

# A test that waits for two threads must not spin: on a busy machine that is 40 times slower.
export OMP_WAIT_POLICY := PASSIVE

SCREEN :=
ifeq ($(SYSTEM_NAME),Linux)
ifeq ($(DISPLAY),)
SCREEN := xvfb-run -a -s "-screen 0 1400x1000x24"
endif
endif

HEADLESS :=
ifeq ($(SYSTEM_NAME)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
HEADLESS := --headless
endif

.DEFAULT_GOAL := help
.PHONY: help demo test lint format pins clean

help:  ## list what can be made
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 10

demo:  ## set up, then show the main job on a sample tile (without a window where there is none)
	@bash scripts/setup.sh demo
	@if [ -e .venv/no-window ]; then headless=--headless; else headless=$(HEADLESS); fi; \
	$(VENV)/napari-selfseg demo $$headless $(ARGS)

test: export PYTHONFAULTHANDLER := 1
ifeq ($(SYSTEM_NAME),Linux)
test: export QT_QPA_PLATFORM := xcb
endif
test:  ## set up, then run the tests, on a virtual screen where there is none
	@bash scripts/setup.sh test
	@$(SCREEN) $(VENV)/python -m pytest $(ARGS)

lint:  ## style, types, layers and the manifest
	@bash scripts/setup.sh test
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/npe2 validate napari.yaml

format:  ## put the code in shape
	@bash scripts/setup.sh test
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

pins:  ## renew requirements/pinned.txt from the versions in the environment
	@{ sed -n '/^#/p' requirements/pinned.txt; \
	$(VENV)/python -m pip freeze --all --exclude-editable | sed 's/+.*//' | sort -f; } > pins.new
	@mv pins.new requirements/pinned.txt

clean:  ## remove the environment and everything that can be made again
	rm -rf .venv build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src -name '*.egg-info' -prune -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +
