# make help lists the targets. Everything is installed into .venv, once for each state of pyproject.toml.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin

# One BLAS thread: in JOBS test processes more would only make them wait for each other, and matrices this small gain
# nothing from a second one.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
QUIET_PLOTS := MPLBACKEND=agg

.PHONY: help demo test lint bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed-demo ## write a first report into demo/
	$(ONE_THREAD) $(BIN)/subriem demo --out demo

test: lint ## everything CI runs: lint, tests, doctests
	$(ONE_THREAD) $(QUIET_PLOTS) $(BIN)/python -m pytest -n $(JOBS)

lint: .venv/.installed-test ## style, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo

bench: .venv/.installed-bench ## measure, side by side with other libraries
	$(ONE_THREAD) $(QUIET_PLOTS) $(BIN)/python -m pytest tests/benchmarks --benchmark-enable

clean: ## remove what was generated, except .venv
	rm -rf build dist demo docs/_build .pytest_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache .coverage
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed-demo: EXTRAS := plot,cli,progress
.venv/.installed-test: EXTRAS := test
.venv/.installed-bench: EXTRAS := test,peers
.venv/.installed-%: pyproject.toml | .venv/bin/pip
	@echo "installing subriem[$(EXTRAS)] into .venv; the first time this takes minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

# pip is the last thing a venv gets: where it is missing, the venv was not finished.
.venv/bin/pip:
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' found; install Python 3.11 or later, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "make: subriem needs Python 3.11 or later, '$(PYTHON)' is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
