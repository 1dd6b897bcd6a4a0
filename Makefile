# make demo, then make test: the two commands that show and prove everything. `make help` lists the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# One Python environment holds one engine.
TF     := .venv-tensorflow

# The models are small: several threads in one step cost more than they gain, several processes do not.
export OMP_NUM_THREADS ?= 1

# A file goes to one of two processes, in the order of their names: sweeps of minutes first, units last.
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Times in archives are those of the commit.
EPOCH = $(shell git log -1 --format=%ct 2> /dev/null || echo 315532800)
SMALL := --set data.synthetic.captions=24 --set data.synthetic.train_clips=24 --set data.synthetic.test_clips=12 \
	--set data.synthetic.train_questions=48 --set data.synthetic.test_questions=40 --set stage1.steps=3 --set stage1.batch=8 \
	--set stage2.steps=3 --set stage2.batch=8

SPHINX = $(BIN)/python -m sphinx -b html -W --keep-going -q -d build/doctrees/$@

# pip compiles all of a package on one core; here all cores do, or Python what it imports.
PIP := python -m pip install -q --no-compile

.DEFAULT_GOAL := help
.PHONY: help install install-tensorflow demo test test-long test-slow test-tensorflow test-tensorflow-all check docs docs-quick dist try-dist format reference bench clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## install the toolkit into .venv
demo: install ## install, then run the quickstart: a results table and a figure
	$(BIN)/tokcom run quickstart

test: $(VENV)/.installed-test ## install what tests need, then run them: unit, physics, end to end
	$(BIN)/$(PYTEST) -m "not long and not slow"

test-long: $(VENV)/.installed-test ## run the tests that take from five seconds to two minutes each
	$(BIN)/$(PYTEST) -m "long and not slow"

test-slow: $(VENV)/.installed-test ## run the tests that take minutes each
	$(BIN)/python -m pytest -m slow

install-tensorflow: $(TF)/.installed ## install the TensorFlow engine beside the other, in an environment of its own

# What the engine computes, once: against the other engine, every built-in link, powers and Doppler of its channels; and the bridge.
test-tensorflow: install-tensorflow ## install the TensorFlow engine, then test on it what it computes, and the bridge
	$(TF)/bin/$(PYTEST) -m "not slow" tests/engines tests/bridge tests/unit/radio/test_radio.py tests/unit/radio/test_engine.py \
		tests/physics/test_ofdm_channels.py::test_tdl_c_power_delay_profile \
		tests/physics/test_ofdm_channels.py::test_doppler_correlation_is_bessel_across_slots \
		"tests/unit/test_docs.py::test_snippets_run[bridge.md-1]" "tests/unit/test_docs.py::test_snippets_run[bridge.md-2]" \
		"tests/unit/test_docs.py::test_snippets_run[bridge.md-3]"

test-tensorflow-all: install-tensorflow ## run all tests of the radio on the TensorFlow engine, slow ones too
	$(TF)/bin/python -m pytest tests/engines tests/bridge tests/physics tests/unit/radio tests/unit/test_docs.py::test_snippets_run

check: $(VENV)/.installed-test ## lint, formatting, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reference: install ## write docs/reference.md and schemas/ anew, after a change of any key or its docstring
	$(BIN)/python -m tokcom_phy.experiments.reference

docs: $(VENV)/.installed-docs ## build the site into build/site, its notebooks executed; any warning is an error
	$(SPHINX) docs build/site
	@echo "site: build/site/index.html"

docs-quick: $(VENV)/.installed-test ## the same, its notebooks as they are kept, without output
	$(SPHINX) -D nb_execution_mode=off docs build/site-quick

dist: $(VENV)/.installed-build ## build wheel and sdist into dist/; the same commit gives the same bytes
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m build --no-isolation
	cd dist && sha256sum *

try-dist: ## try dist/*.whl in an empty environment, in an empty folder: a small quickstart
	@test -f dist/*.whl || { echo "error: there is no one wheel in dist/; make dist builds it" >&2; exit 2; }
	folder=$$(mktemp -d) && wheel=$$(realpath dist/*.whl) && pins=$$(realpath constraints.txt) && \
	$(PYTHON) -m venv $$folder/venv && $$folder/venv/bin/python -m pip install -q -c $$pins $$wheel && \
	cd $$folder && venv/bin/tokcom run quickstart $(SMALL) && venv/bin/tokcom report runs/quickstart && rm -r $$folder

bench: install install-tensorflow ## run every benchmark; each prints a ratio against a named opponent
	@for file in $(filter-out benchmarks/bench_bridge.py benchmarks/bench_engines.py,$(wildcard benchmarks/bench_*.py)); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done
	@echo "== benchmarks/bench_bridge.py"; $(TF)/bin/python benchmarks/bench_bridge.py --beside $(BIN)/python

clean: ## remove what was built; keep runs/ and the environments
	rm -rf dist build .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is missing or older than 3.11; install Python 3.11+ or name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $*

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (some minutes the first time)"
	@$(BIN)/$(PIP) -c constraints.txt -e .
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(BIN)/$(PIP) -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/$(PIP) -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.installed-build: $(VENV)/.installed
	@$(BIN)/$(PIP) -c constraints.txt -e '.[build]'
	@touch $@

$(TF)/.installed: pyproject.toml constraints-tensorflow.txt | $(TF)/bin/python
	@echo "Installing into $(TF) (some minutes the first time)"
	@$(TF)/bin/$(PIP) -c constraints-tensorflow.txt -e '.[tensorflow]' pytest pytest-xdist
	@touch $@
