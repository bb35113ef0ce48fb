# Needs Python 3.11 to 3.13, git and make. `make` alone lists the targets.
PYTHON ?= python3
MINUTES ?= 3
PEERS ?=
IMAGES ?= 5000
UPGRADE ?=
JOBS ?= $(shell python3 -c 'import os; print(os.cpu_count() or 1)')
PARALLEL = -n $(JOBS) --dist loadscope

SHELL := /bin/bash

VENV := .venv
START := $(shell date +%s)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo picture screenshots ladder test cover slow faults bench format docs site lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z.]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13: name one that is, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "$(VENV): installing the pinned dependencies; the first time takes a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/installed: $(VENV)/locked pyproject.toml
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

.venv: $(VENV)/installed  ## the environment, from requirements.lock

demo: $(VENV)/installed  ## all steps on real art, to demo/grid.png; trains for MINUTES=3
	@mkdir -p demo
	curate run manifests/openmoji.toml
	train fit demo/shards demo/run --preset tags --minutes $(MINUTES)
	train evaluate demo/run demo/shards --json > demo/evaluation.json.tmp
	@mv demo/evaluation.json.tmp demo/evaluation.json
	train colorize demo/run demo/shards demo/pictures --grid
	@cp demo/pictures/grid.png demo/grid.png
	curate report demo/dataset demo/report.html
	train show demo/run --quiet > /dev/null
	@echo "$$(( $$(date +%s) - $(START) )) s in all"
	@echo "pictures: demo/grid.png (line art | as tagged | another colour tag | truth), one by one in demo/pictures; figures: demo/evaluation.json"
	@echo "open in a browser: demo/report.html (what the data is) and demo/run/show.html (how the training went)"

picture:  ## the docs' picture and figures, from the last demo
	@test -f demo/evaluation.json || { echo "no demo yet: run make demo" >&2; exit 1; }
	train colorize demo/run demo/shards demo/strip --grid --count 5 --quiet
	@mkdir -p .github/docs
	@cp demo/strip/grid.png .github/docs/strip.png
	train evaluate demo/run demo/shards --split test --json > demo/evaluation-test.json.tmp
	@mv demo/evaluation-test.json.tmp demo/evaluation-test.json
	@cp demo/evaluation.json demo/evaluation-test.json .github/docs/
	@$(MAKE) --no-print-directory docs

screenshots: $(VENV)/installed  ## every page of the demo in Chromium, to build/screenshots; also README's pictures
	python -m tests.screenshots --readme .github/docs

ladder: $(VENV)/installed  ## the docs' ladder, after make demo: every preset on IMAGES=5000 pairs each, about an hour
	train ladder demo/shards demo/ladder --budget-images $(IMAGES) --set snapshot_every=100
	@cp demo/ladder/ladder.md .github/docs/
	@# WebP is a fifth of the bytes that every clone carries, and a palette would lose colours
	@python -c 'from PIL import Image; Image.open("demo/ladder/ladder.png").save(".github/docs/ladder.webp", quality=90)'
	@$(MAKE) --no-print-directory docs

test: $(VENV)/installed  ## every check of a change; JOBS=2 runs the tests in two processes
	ruff format --check
	ruff check
	mypy
	lint-imports
	pytest $(PARALLEL)

cover: $(VENV)/installed  ## the tests, with coverage measured
	pytest $(PARALLEL) --cov --cov-report=term

slow: $(VENV)/installed  ## the tests that take minutes
	pytest -m slow

faults: $(VENV)/installed  ## attacks on what is promised, hours of them; continues where it stopped; tallies in faults/
	@mkdir -p faults
	@set -e; for file in $(filter-out tests/faults/test_%.py tests/faults/network_filter.py,$(sort $(wildcard tests/faults/[a-z]*.py))); do \
	  name=$$(basename $$file .py); echo "# $$name" >&2; python -m tests.faults.$$name; done

# PEERS/NAME holds the programs that the benchmark NAME compares with (see its docstring); without it the docs keep their figures
COMPARED = search step peers dedupe gpu
bench: $(VENV)/installed  ## all benchmarks, after make demo; results in bench/; PEERS=FOLDER of other programs
	@mkdir -p bench
	@set -e -o pipefail; for file in $(filter-out tests/bench/costs.py,$(sort $(wildcard tests/bench/[a-z]*.py))); do \
	  name=$$(basename $$file .py); echo "# $$name" >&2; \
	  python -m tests.bench.$$name $$(test ! -d "$(PEERS)/$$name" || echo "--peers $(PEERS)/$$name") --json | tee bench/$$name.json.tmp; \
	  mv bench/$$name.json.tmp bench/$$name.json; done
	@python -m tests.bench.costs --from bench
	@set -e; for file in .github/docs/bench/*.json; do name=$$(basename $$file .json); \
	  case " $(COMPARED) " in *" $$name "*) test -d "$(PEERS)/$$name" || continue;; esac; \
	  python -m json.tool --sort-keys --indent 1 bench/$$name.json $$file; done

format: $(VENV)/installed  ## format, and fix what lint can fix
	ruff check --fix
	ruff format

docs: $(VENV)/installed  ## write the generated tables of README and the docs
	cog -I . -r $$(grep -l "\[\[\[cog" README.md manifests/*.md .github/docs/*.md)

site: $(VENV)/installed  ## the documentation as pages: build/site/index.html
	python -m sphinx --quiet --fail-on-warning --builder html .github/docs build/site
	@echo "open build/site/index.html"

lock: $(VENV)/installed  ## write requirements.lock from pyproject.toml; UPGRADE=--upgrade for newer versions
	uv pip compile pyproject.toml --extra demo --extra hed --extra cluster --extra s3 --extra ui --extra export --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --annotation-style line --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" $(UPGRADE) --quiet --output-file requirements.lock

clean:  ## remove everything that make made
	rm -rf $(VENV) demo bench faults build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
