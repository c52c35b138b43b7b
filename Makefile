# Everything runs in .venv, which any target sets up by itself: from requirements.txt, and for tests and checks from
# requirements-dev.txt too.

VENV := .venv
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
SNAKEMAKE := $(VENV)/bin/snakemake
LONGTAIL := $(VENV)/bin/longtail
# What all targets of the workflow take: CONFIG=config/mine.yaml, and further options as ARGS="…".
OPTIONS = $(if $(CONFIG),--configfile $(CONFIG)) $(ARGS)
PYTHON ?= python3

.PHONY: help setup setup-dev demo check-data report test test-long test-slurm test-floors test-wheel faults attack lint
.PHONY: audit pins plan watch published soak docs docs-links clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / \t/' | expand -t 16

setup: $(READY)  ## install what experiments need into .venv, as the other targets do where it is missing

setup-dev: $(READY_DEV)  ## install what tests and checks need, too

demo: $(READY)  ## run the whole pipeline on real images that a dependency ships
	@$(LONGTAIL) demo $(ARGS)

check-data: $(READY)  ## list what is wrong with your images: make check-data CONFIG=config/mine.yaml
	@$(LONGTAIL) check $(OPTIONS)

report: $(READY)  ## the report of finished runs, one file that opens without a network: make report CONFIG=config/mine.yaml
	@$(LONGTAIL) report $(OPTIONS)

plan: $(READY)  ## say what would run, why, and what it would cost: make plan CONFIG=config/demo.yaml
	@$(LONGTAIL) plan $(OPTIONS)

watch: $(READY)  ## show how far every run is: make watch ARGS=results/demo
	@$(LONGTAIL) watch $(ARGS)

published: $(READY)  ## train by the protocol of the long-tail papers, print ours beside theirs (GPU hours)
	$(SNAKEMAKE) --configfile config/cao2019.yaml
	@cat results/cao2019/tables/published_comparison.md

test: $(READY_DEV)  ## run the tests
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test-long: $(READY_DEV)  ## the tests that take minutes each
	$(VENV)/bin/python -m pytest -m long

test-slurm: $(READY_DEV)  ## run the slurm profile on a cluster that this starts and ends (as root on Debian)
	$(VENV)/bin/uv pip install --quiet --require-hashes --python $(VENV)/bin/python -r requirements.txt -r requirements-dev.txt -r requirements-slurm.txt
	tests/slurm_cluster.sh $(VENV)/bin/python -m pytest tests/workflow/test_slurm.py tests/documents/test_cluster_guide.py

test-floors: $(READY_DEV)  ## run the tests of the library with the oldest packages that pyproject.toml allows (long)
	$(VENV)/bin/python tests/floors.py $(ARGS)

test-wheel: $(READY_DEV)  ## build the package, install it alone, and use all of it far from this folder
	$(VENV)/bin/python -m pytest -m 'long or not long' tests/package/test_wheel.py

faults: $(READY_DEV)  ## let the disk fail at every write of every program
	$(VENV)/bin/python tests/faults.py
	$(VENV)/bin/python tests/pipeline_faults.py
	$(VENV)/bin/python tests/crowd.py

attack: $(READY_DEV)  ## try everything that docs/reliability.md promises to withstand, and count what held
	$(VENV)/bin/python tests/attacks.py $(ARGS)

soak: $(READY_DEV)  ## kill trainers and Snakemake throughout a grid of 200 runs, and compare with a quiet one
	$(VENV)/bin/python tests/soak.py

lint: $(READY_DEV)  ## check style, security rules, types, the workflow, links of the documents, and licences
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow
	$(VENV)/bin/python -m mypy
	$(SNAKEMAKE) --lint
	$(VENV)/bin/python -m pytest --quiet tests/documents/test_architecture.py tests/documents/test_documents.py -k 'links or files or every_file'
	$(VENV)/bin/python tools/licences.py

audit: $(READY)  ## look the pinned packages up in PyPI's list of known vulnerabilities (needs a network)
	$(VENV)/bin/uv tool run pip-audit@2.10.1 --strict --no-deps --disable-pip $(addprefix -r ,$(wildcard requirements*.txt))

# Each file has only what those before it have not. ARGS=--upgrade lifts pins that still fit.
PIN = $(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --python-version 3.11 $(ARGS)
BESIDE = $(foreach file,$(1),--constraint $(file)) $$(sed -n 's/==.*//p' $(1) | sed 's/^/--no-emit-package /')
pins: $(READY)  ## pin the dependencies of pyproject.toml anew, with hashes
	$(PIN) --extra workflow -o requirements.txt
	$(PIN) --extra dev $(call BESIDE,requirements.txt) -o requirements-dev.txt
	$(PIN) --extra slurm $(call BESIDE,requirements.txt requirements-dev.txt) -o requirements-slurm.txt

docs: $(READY_DEV)  ## the documents as a site, in docs/_build/html; a warning or a link into nowhere is an error
	$(VENV)/bin/python -m sphinx -q -W --keep-going -c docs . docs/_build/html

docs-links: $(READY_DEV)  ## look all links to other sites up; without a network, say how many could not be
	@$(VENV)/bin/python tools/links.py

clean: $(READY)  ## delete state that only unfinished runs need: make clean CONFIG=config/demo.yaml
	@$(LONGTAIL) clean $(OPTIONS)

# `uv` comes from the registry into the environment it then fills. Compiled once, the packages are imported in a
# third of the time by each of the hundred processes of an experiment. Every start of Snakemake imports the plugin for
# SLURM where it is installed, and pandas with it, so it is installed where there is SLURM.
SLURM = $(if $(shell command -v sbatch 2>/dev/null),-r requirements-slurm.txt)
# An environment that works is filled again by its own Python: with another, it would be half of each. PYTHON=… makes a
# new one.
KEEP = $(if $(filter command environment,$(origin PYTHON)),false &&)
NEW_ENOUGH = 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; name one: make PYTHON=python3.12 …")'
$(READY): requirements.txt requirements-slurm.txt pyproject.toml
	@echo "Installing what experiments need into $(VENV), once"
	@$(KEEP) $(VENV)/bin/python -c 'import pip, ssl' 2>/dev/null || { $(PYTHON) -c $(NEW_ENOUGH) && $(PYTHON) -m venv --clear $(VENV); }
	@sed -n '/^uv==/,/[^\]$$/p' requirements.txt > $(VENV)/uv.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes --python $(VENV)/bin/python -r requirements.txt $(SLURM)
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-build-isolation --no-deps --editable .
	@touch $@

$(READY_DEV): $(READY) requirements-dev.txt
	@echo "Installing what tests and checks need into $(VENV), once"
	@$(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes --python $(VENV)/bin/python -r requirements.txt -r requirements-dev.txt
	@touch $@
