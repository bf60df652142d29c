# The commands of the project. Each works from a fresh clone with nothing but Python 3.11+, make and git.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Stamps: a second call finds them newer than what they were made from and does nothing.
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test

TYPED := rayflow rayflow_web workflows_app examples tools

.PHONY: help up install test simulate scale live bench bench-web chaos screenshots check format clean

help: ## List the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1	\2/p' Makefile

up: $(INSTALLED) ## Install what is missing and start RayFlow (make up ARGS="--port 9000")
	@exec $(BIN)/rayflow up $(ARGS)

install: $(INSTALLED) ## Create .venv and install the locked dependencies and the project

$(INSTALLED): requirements.lock pyproject.toml tools/install.sh tools/vendor.py package.json package-lock.json
	@tools/install.sh run

$(INSTALLED_TEST): $(INSTALLED) requirements-test.lock
	@tools/install.sh test

test: $(INSTALLED_TEST) ## Install the test dependencies and a browser, run every test
	@tools/browser.sh
	@$(BIN)/python -m pytest -n 2 $(ARGS)

simulate: $(INSTALLED_TEST) ## Simulate 100,000 crashing workflows (make simulate SEEDS="12345")
	@$(BIN)/python -m tests.simulate $(or $(SEEDS),0..100000)

scale: $(INSTALLED_TEST) ## Measure pages and API at 100,000 workflows (ARGS="--postgresql": 1,000,000)
	@$(BIN)/python -m tests.scale $(ARGS)

live: $(INSTALLED_TEST) ## Measure how long a change takes to 200 open pages (ARGS="--slow 40 --lose 0.3")
	@$(BIN)/python -m tests.scale.live $(ARGS)

bench: $(INSTALLED_TEST) ## Measure RayFlow beside plain Ray and its peers, and renew docs/performance.md (half an hour)
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-web: $(INSTALLED_TEST) ## Measure launches, follower and pages on PostgreSQL (ARGS="--only launch")
	@$(BIN)/python benchmarks/web.py $(ARGS)

chaos: $(INSTALLED_TEST) ## Kill parts of running clusters at random for half an hour (ARGS="--minutes 5 --seed 7")
	@$(BIN)/python -m tests.chaos $(ARGS)

screenshots: $(INSTALLED_TEST) ## Take a picture of every page in both themes; those of the docs go to docs/images
	@tools/browser.sh
	@$(BIN)/python -m pytest -q tests/browser/test_pages_look.py tests/browser/test_drawings.py $(ARGS)
	@$(BIN)/python tools/screenshots.py

# Loading the settings makes a data folder; it must not be the one of `make up`.
check: export RAYFLOW_DATA_DIR := $(VENV)/check-data
check: $(INSTALLED_TEST) ## Lint, types, import rules, migrations, docs, locks, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python tools/check_docs.py
	@$(BIN)/python tools/check_locks.py
	@$(BIN)/python tools/check_sizes.py

format: $(INSTALLED_TEST) ## Let ruff repair what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## Remove what the commands above made, but never the data folder
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
	        node_modules static/vendor build dist test-results *.egg-info
