# make train   builds .venv, then trains the starter model (about half an hour on 2 cores)
# make test    builds .venv, then runs the tests (ten minutes on 2 cores)
# make test-slow  runs those that need half a minute or more each: kills, restarts, jobs on a cluster
# make test-all  runs all, with those that repeat at length what others check
# make setup   builds .venv only; does nothing when it is up to date
# make check   linter, type checker, direction of imports
# make clean   removes .venv, caches and build files (runs/ stays)
#
# Variables:
#   PYTHON=python3.12        the interpreter that .venv is made with (3.11, 3.12 or 3.13)
#   ENGINE=gpu               the set for GPUs, with vLLM's and torch's CUDA builds; for one .venv, cpu or gpu
#   TORCH_INDEX=URL          an index to take torch from, such as PyTorch's index of CPU builds; without it pip decides
#   CONFIG=configs/x.yaml    what `make train` trains
#   ARGS="--run.seed 1"      further settings for `make train`; for the tests options of pytest: ARGS="-x -k sandbox"
#   TESTERS=2                how many processes run the tests; 0: make's own, as a debugger needs it

SHELL := /bin/bash
PYTHON ?= python3
CONFIG ?= configs/starter.yaml
TESTERS ?= 2
VENV := .venv
ENGINE ?= $(if $(wildcard $(VENV)/.complete-gpu),gpu,cpu)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
STAMP := $(VENV)/.complete-$(ENGINE)
LOCKED := $(PIP) --no-deps --require-hashes
LOCKS.cpu := requirements/base.txt requirements/dev.txt requirements/engine-cpu.txt requirements/torch.txt
LOCKS.gpu := requirements/gpu.txt requirements/dev.txt

.PHONY: setup packages-cpu packages-gpu train test test-slow test-all check clean help
help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -16

setup: $(STAMP)

$(STAMP): $(LOCKS.$(ENGINE)) pyproject.toml
	@$(if $(LOCKS.$(ENGINE)),:,echo "ENGINE is cpu or gpu, not $(ENGINE)"; exit 2)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=..."; exit 2; }
	@for other in $(filter-out $(STAMP),$(wildcard $(VENV)/.complete-*)); do \
	  echo "$(VENV) has another set ($${other##*-}), and one takes the other's place: rm -r $(VENV), then again"; exit 2; done
	@echo "Installing into $(VENV), where $$(df -Ph . | awk 'NR==2 {print $$4}')B are free: torch 2.13.0, vLLM 0.32" \
	  "for $(ENGINE), DeepSpeed, Ray, transformers"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -f $(STAMP)
	@$(MAKE) --no-print-directory packages-$(ENGINE)
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $(STAMP)
	@$(BIN)/stepcoder doctor --config $(CONFIG) || true

packages-cpu:
	@echo "and the starter model; 3.3 GB on disk, two minutes on a fast network. torch comes" \
	  "$(if $(TORCH_INDEX),from $(TORCH_INDEX).,as pip chooses it: where that is the CUDA build)"
	@$(if $(TORCH_INDEX),:,echo "(seen on Python 3.12 and 3.13) it is 7 GB more. To avoid them stop here and name an" \
	  "index of CPU builds: make setup TORCH_INDEX=URL")
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r requirements/torch.txt
	$(LOCKED) -r requirements/base.txt -r requirements/dev.txt
	$(LOCKED) -r requirements/engine-cpu.txt

packages-gpu:
	@echo "and the starter model; 9.3 GB on disk"
	$(LOCKED) -r requirements/gpu.txt -r requirements/dev.txt

train: $(STAMP)
	$(BIN)/stepcoder train --config $(CONFIG) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) -m "not slow and not exhaustive" $(ARGS)

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) -m "slow and not exhaustive" $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/python -m tests.tools.import_direction

clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
