## make reproduce     build the environment (.venv) if need be, then run the main job: the paper's comparison
## make test          build the environment if need be, then lint, check types and run the tests
## make figures       redraw figures, tables, claims and reports of every archived measurement; needs no GPU
## make tune          find the fastest tiles for the GPU at hand and store them in conf/tuning
## make compare       set archives against each other, point by point: TABLES='FOLDER FOLDER' or names in analysis/archive
## make readme        bring the numbers and figures of the README and docs/ up to date with the archive
## make environment   only build the environment
## make slurm         build the environment and add what a Slurm cluster needs (docs/cluster.md)
## make clean         remove the environment and the tools' caches; results/ stays
##
## Variables:
##   ARGS='-n'            passed on to snakemake (reproduce, figures) or to pytest (tests), e.g. ARGS='--config gpu=1'
##   TABLES=...           what make compare compares: its first one with each other one
##   CORES=all            CPU cores that snakemake may use
##   ARCHIVE=...          the folder in analysis/archive that the README shows (readme)
##   TEST_WORKERS=3       test processes
##   ENVIRONMENT=active   use the Python environment that is active now (conda, or a machine with no package index)
##                        and build no .venv
##
## pip's own settings apply (index, certificates, cache), except where it installs. For the CPU build of PyTorch, which
## is far smaller than the CUDA build, point PIP_EXTRA_INDEX_URL at PyTorch's index of CPU wheels before the first run.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

ARGS ?=
CORES ?= all
ARCHIVE ?= nvidia-h100-80gb-hbm3
TEST_WORKERS ?= 3
ENVIRONMENT ?= venv
PYTHON_CANDIDATES := python3 python3.13 python3.12 python3.11

ifeq ($(ENVIRONMENT),venv)
PYTHON := .venv/bin/python
READY := .venv/.complete
# The jobs that snakemake starts find the same environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# It keeps to itself, whatever the shell says: packages come from nowhere else, and are installed nowhere else.
unexport PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT
export PYTHONNOUSERSITE := 1
export PIP_USER := 0
else ifeq ($(ENVIRONMENT),active)
PYTHON := $(shell command -v python || command -v python3 || echo python3)
READY := active-environment
else
$(error ENVIRONMENT=$(ENVIRONMENT) is unknown; valid: venv (the default), active)
endif

export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help:
	@sed -n 's/^## \{0,1\}//p' Makefile

.PHONY: environment
environment: $(READY)

.PHONY: slurm
slurm: $(READY)
	$(PYTHON) -m pip install --requirement requirements-slurm.lock

# Prints the first suitable Python's name; otherwise says what was found and fails.
define FIND_PYTHON
found=""; \
for candidate in $(PYTHON_CANDIDATES); do \
    version=$$($$candidate -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue; \
    if ! $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
        found="$$found $$candidate is $$version;"; \
    elif ! $$candidate -c 'import ensurepip, venv' 2>/dev/null; then \
        found="$$found $$candidate is $$version but has no venv module (Debian, Ubuntu: install python3-venv);"; \
    else \
        echo "$$candidate"; exit 0; \
    fi; \
done; \
found=$${found%;}; echo "Error: Python 3.11 or newer is needed. Found:$${found:- no Python at all}." >&2; exit 1
endef

# .complete exists only after an install that ran to its end. .incomplete marks one that was interrupted, which may have
# left half a package behind, so the next one starts anew.
.venv/.complete: pyproject.toml requirements.lock
	@rm -f $@
	@if [ -e .venv/.incomplete ] || ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$($(FIND_PYTHON)); \
	    echo "Creating .venv with $$python ($$($$python --version))"; \
	    $$python -m venv --clear .venv; \
	fi
	@touch .venv/.incomplete
	@echo "Installing the pinned packages into .venv. The CUDA build of PyTorch is a few GB; the rest takes a minute."
	.venv/bin/python -m pip install --requirement requirements.lock
	@.venv/bin/python -c 'import hydra, seaborn, snakemake, sys; sys.exit(not snakemake.__file__.startswith(sys.prefix))' || { \
	    echo "Error: pip installed the packages elsewhere than into .venv: see '.venv/bin/python -m pip config list' and" \
	        "remove target, prefix or root there, or set PIP_CONFIG_FILE to another file." >&2; exit 1; }
	@rm .venv/.incomplete
	@touch $@

.PHONY: active-environment
active-environment:
	@$(PYTHON) -c 'import hydra, matplotlib, pandas, seaborn, snakemake, sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Error: the active environment ($(PYTHON), $$($(PYTHON) --version 2>&1)) is older than Python 3.11 or lacks" \
	        "packages of pyproject.toml. Activate another (conda env create -f environment.yml), or leave out" \
	        "ENVIRONMENT=active to have a .venv built." >&2; exit 1; }

.PHONY: reproduce
reproduce: $(READY)
	$(PYTHON) -m snakemake --cores $(CORES) $(ARGS)

# A configuration file, which --config in ARGS adds to; of two --config Snakemake would take the last alone.
.PHONY: figures
figures: $(READY)
	$(PYTHON) -m snakemake --cores $(CORES) $(ARGS) --configfile workflow/archives.yaml

.PHONY: tune
tune: $(READY)
	$(PYTHON) -m snakemake --cores $(CORES) tune $(ARGS)

.PHONY: compare
compare: $(READY)
	@$(PYTHON) -m analysis.compare $(or $(TABLES),$(error give TABLES='ONE TWO', folders with measurements.csv or names in analysis/archive)) \
	    --output results/comparison $(ARGS)
	@echo "report: results/comparison/report.html"

.PHONY: readme
readme: $(READY)
	$(PYTHON) -m analysis.readme --table analysis/archive/$(ARCHIVE)

.PHONY: test
test: lint types tests

.PHONY: lint
lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m snakefmt --check Snakefile workflow
	$(PYTHON) -m snakemake --lint

.PHONY: types
types: $(READY)
	$(PYTHON) -m mypy

.PHONY: tests
tests: $(READY)
	$(PYTHON) -m pytest --numprocesses $(TEST_WORKERS) --dist loadgroup $(ARGS)

.PHONY: clean
clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
