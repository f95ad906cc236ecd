# The verbs of this project, for people and for continuous integration alike. `make` alone lists them.
#
# Each verb does its own set-up: a virtual environment in the checkout, filled from a lock file with hashes. What has to be
# there before is Python 3.11 or newer with pip, git, and make. PYTHON=... names another interpreter.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export PYTHON

bin := .venv/bin
# Arguments for pytest, for example: make test PYTEST_ARGS="tests/unit -k seal"
PYTEST_ARGS ?=
checked := src tests scripts bench evidence $(wildcard examples)
# Files under tests/vectors are archives that are made to be odd, which the scan for secrets says it cannot read.
looked_through := $(filter-out tests tests/vectors,$(checked) $(wildcard tests/*))

# A process in a sandbox writes nowhere, so without this each would compile again what it imports.
compile = $(bin)/python -m compileall -q src

.PHONY: help demo test check services bench record fuzz docs requirements requirements-mutate lock clean

help: ## list these verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: .venv/.demo ## watch a model go from raw rows to a guarded endpoint, and five attacks fail
	@$(compile)
	@$(bin)/holdfast demo

test: .venv/.dev ## run all tests (PYTEST_ARGS="tests/unit -k seal" runs some)
	@$(compile)
	@$(bin)/python -m pytest $(or $(PYTEST_ARGS),-n 2 --dist loadfile --requirements-result=build/requirements.json)

check: .venv/.dev ## format, lint, types, import contracts, no secrets
	@failed=""; \
	try() { echo "== $$1"; $(bin)/"$${@:2}" || failed+=", $$1"; }; \
	try format ruff format --check --quiet $(checked); \
	try lint ruff check $(checked); \
	try types mypy; \
	try "import contracts" lint-imports --no-logo; \
	try "no secrets" holdfast secrets scan $(looked_through) docs policies locks .ci Makefile pyproject.toml README.md CHANGELOG.md; \
	if [[ -n "$$failed" ]]; then echo "check failed: $${failed#, }" >&2; exit 1; fi

services: ## install what tests use beyond pip, or say what it would be
	@scripts/services

bench: .venv/.dev ## run every benchmark against its peer
	@shopt -s nullglob; for file in bench/bench_*.py; do echo "== $$file"; $(bin)/python "$$file"; done

record: .venv/.dev ## run the full counts and store seed, commit and result under docs/records
	@HOLDFAST_RECORD=1 $(bin)/python -m pytest -m record --timeout=0 $(PYTEST_ARGS)

fuzz: .venv/.dev ## fuzz every parser of foreign bytes with atheris (FUZZ_ARGS="--seconds 600 --record")
	@$(bin)/python scripts/fuzz.py $(FUZZ_ARGS)

docs: .venv/.dev ## write the reference pages, and run what the documentation says
	@$(bin)/python scripts/reference.py
	@$(bin)/python -m pytest tests/docs $(PYTEST_ARGS)

requirements: .venv/.dev ## list requirements with and without a passing test
	@$(bin)/python scripts/requirements.py report

requirements-mutate: .venv/.dev ## disable each function that a mark names: the marked test must fail
	@$(bin)/python scripts/requirements.py mutate $(PYTEST_ARGS)

lock: .venv-lock/.done ## write the lock files again (LOCK_ARGS=--upgrade takes newer versions)
	@scripts/lock $(LOCK_ARGS)

clean: ## remove environments and everything built
	rm -rf .venv .venv-lock .venv-peers .venv-data .venv-text .venv-fuzz .venv-inference .venv-kserve .venv-mlflow .venv-presidio .venv-serving .venv-sigstore build dist .hypothesis .ruff_cache .import_linter_cache
	find src tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock of `dev` holds all of `demo` in the same versions, so one environment serves both.
.venv/.demo: locks/demo.txt pyproject.toml scripts/venv
	@scripts/venv .venv locks/demo.txt --with-project
	@touch $@

.venv/.dev: locks/dev.txt pyproject.toml scripts/venv
	@scripts/venv .venv locks/dev.txt --with-project
	@touch .venv/.demo $@

.venv-lock/.done: locks/lock.txt scripts/venv
	@scripts/venv .venv-lock locks/lock.txt
	@touch $@
