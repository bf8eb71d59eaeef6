# Needs only Python 3.11 … 3.14, make and a package index. `make` alone lists the targets.

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed

# The demo: `make demo N=1000 SEED=1 KEEP=1 JSON=report.json BROKER=amqp://…`
N ?= 1000
SEED ?= 1
DEMO_FLAGS = --messages $(N) --seed $(SEED) $(if $(KEEP),--keep) $(if $(KILL),--kill $(KILL)) $(if $(JSON),--json $(JSON)) $(if $(BROKER),--broker $(BROKER))

# The battery: `make chaos FULL=1 SEED=3 JSON=figures.json`
CHAOS_FLAGS = --seed $(SEED) $(if $(FULL),--full) $(if $(SABOTAGE),--sabotage $(SABOTAGE)) $(if $(JSON),--json $(JSON)) $(if $(BROKER),--broker $(BROKER)) $(if $(KEEP),--keep)

# One more than there are cores: the tests of whole services mostly wait.
WORKERS = $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))

LABELS = --build-arg REVISION=$(shell git rev-parse --short HEAD 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help venv install test lint format types imports unit demo chaos bench mutation simulate up flower lock \
        wheel wheel-test image clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(PYTHON) ## Create .venv

install: $(INSTALLED) ## Install the locked dependencies into .venv

test: lint types imports unit ## Run everything that must pass before a change is merged

lint: install ## Check style and formatting
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: install ## Mend style and formatting where a program can
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types: install ## Check types
	$(PYTHON) -m mypy

imports: install ## Check who imports whom
	.venv/bin/lint-imports

unit: install ## Run the tests, some at a time; ARGS="tests/domain -k phone" some of them, one by one
	$(PYTHON) -m pytest $(or $(ARGS),-n $(WORKERS) --dist loadscope)

demo: install ## Deliver N messages through the sandbox and compare the books
	$(PYTHON) -m demo $(DEMO_FLAGS)

chaos: install ## Attack the whole service while it works: SEED=3 FULL=1 SABOTAGE=list BROKER=rabbitmq JSON=path
	$(PYTHON) -m chaos $(CHAOS_FLAGS)

bench: install ## Measure how fast it is, as ratios to empty Celery tasks: PART=engine JSON=path
	$(PYTHON) -m benchmarks $(if $(PART),--part $(PART)) $(if $(RUNS),--runs $(RUNS)) $(if $(JSON),--json $(JSON))

mutation: install ## Change the core in a thousand small ways: which do its tests notice? JSON=path
	$(PYTHON) -m tests.mutation $(if $(JSON),--json $(JSON))

simulate: install ## Take N messages (100,000) through simulations under faults, and check the invariants: SEED=3
	$(PYTHON) -m cascade.testing --messages $(if $(filter file,$(origin N)),100000,$(N)) --seed $(SEED)

up: install ## Start the whole service for development, with the sandbox as its providers
	$(PYTHON) -m demo.up

flower: install ## Watch the deployment of CASCADE_BROKER_URL at http://127.0.0.1:5555
	$(PYTHON) -m workers.flower

lock: ## Write requirements.lock anew from pyproject.toml; UPGRADE=1 takes newer versions (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	  --output-file requirements.lock
	uv pip compile pyproject.toml --extra tracing --universal --python-version 3.12 \
	  --no-annotate --custom-compile-command "make lock" --constraint requirements.lock \
	  --generate-hashes --output-file deploy/requirements.lock

wheel: install ## Build the wheel into dist/
	rm -rf build dist
	$(PYTHON) -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir dist .
	rm -rf build

wheel-test: wheel ## Install the wheel into an empty environment and send a message from there
	$(PYTHON) -m tests.deploy.try_wheel dist/*.whl

image: ## Build the images of the service and of the sandbox (needs Docker)
	docker build --target service --tag cascade-delivery $(LABELS) .
	docker build --target sandbox --tag cascade-sandbox $(LABELS) .

clean: ## Remove what can be made again, .venv included
	rm -rf .venv .cascade .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist mutants *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The wheels of the embedded servers end at 3.14. Some systems ship Python without ensurepip; their
# own pip then fills the new environment.
$(PYTHON):
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	    2>/dev/null; then \
	    echo "creating .venv with $$python"; \
	    $$python -m venv .venv && exit 0; \
	    $$python -m venv --clear --without-pip .venv && \
	    $$python -m pip --python $(PYTHON) install pip && exit 0; \
	    rm -rf .venv; exit 1; \
	  fi; \
	done; \
	echo "no Python 3.11 … 3.14 found: install one, or put it on PATH" >&2; exit 1

# The search bits of umask 022 let PostgreSQL, which never runs as root, reach its own files.
$(INSTALLED): pyproject.toml requirements.lock | $(PYTHON)
	umask 022; $(PYTHON) -m pip install --disable-pip-version-check --quiet -r requirements.lock
	umask 022; $(PYTHON) -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@
