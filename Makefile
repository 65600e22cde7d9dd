PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test check format lint types imports unit integration peers guide chart e2e eval nodes chaos testbed bench references clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Two stamps, so that the main job installs no test tools.
$(VENV)/.all: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kubently needs Python 3.11 or newer; set PYTHON=/path/to/it" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.all
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

up: $(VENV)/.all ## Run API, executors and a first fleet diagnosis on this machine (ARGS="--context NAME")
	@$(BIN)/kubently up $(ARGS)

test: check integration peers guide chart e2e nodes chaos ## Everything that this machine can test

check: format lint types imports unit ## Format, lint, types, import contracts and unit tests

format: $(VENV)/.dev ## Check the format
	$(BIN)/ruff format --check --quiet src tests benchmarks

lint: $(VENV)/.dev ## Lint
	$(BIN)/ruff check --quiet src tests benchmarks

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

imports: $(VENV)/.dev ## Check the layers
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.dev ## Unit tests
	$(PYTEST) -q -n auto tests/unit $(ARGS)

integration: $(VENV)/.dev ## API and executors over real sockets
	$(PYTEST) -q -n 2 --dist loadfile tests/integration $(ARGS)

peers: $(VENV)/.dev ## Real nginx, Envoy, HAProxy, Caddy and OpenSSL in front of the API
	$(PYTEST) -q -n 2 tests/peers $(ARGS)

guide: $(VENV)/.dev ## Each statement of the well-known deployment guide
	$(PYTEST) -q -n 2 tests/guide $(ARGS)

chart: $(VENV)/.dev ## The Helm chart before real judges and in a real Kubernetes API server (see make testbed)
	$(PYTEST) -q -n 2 --dist loadfile tests/chart $(ARGS)

e2e: $(VENV)/.dev ## Real processes, kubectl and Kubernetes API servers, the diagnosis' score (see make testbed)
	$(PYTEST) -q -n 2 --dist loadfile --no-loadscope-reorder tests/eval tests/e2e $(ARGS)

eval: $(VENV)/.dev ## Put known faults into a real Kubernetes API server; print how often their cause is named
	$(BIN)/python -m tests.eval $(ARGS)

nodes: $(VENV)/.dev ## The images, and the chart played on real nodes (root; else as plain processes)
	$(PYTEST) -q tests/nodes $(ARGS)
	KUBENTLY_PLAY=processes $(PYTEST) -q tests/nodes/test_play.py -k phase $(ARGS)

chaos: $(VENV)/.dev ## Break everything under load: KUBENTLY_CHAOS_SECONDS=3600 for longer, KUBENTLY_CHAOS_SEED=N to repeat
	$(PYTEST) -q tests/chaos $(ARGS)

testbed: $(VENV)/.dev ## Build the test bed's binaries once (needs Go; minutes)
	$(BIN)/python -m tests.testbed.build $(ARGS)

bench: $(VENV)/.dev ## Print the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

references: $(VENV)/.dev ## Write the generated reference pages anew
	$(BIN)/python -m tests.references

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis src/*.egg-info
