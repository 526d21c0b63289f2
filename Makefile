# Everything a person types. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := slipstream gateway inference_server model_store protos telemetry transport
STAMPS := .venv/.stamps

.DEFAULT_GOAL := help
.PHONY: help setup run test fuzz check check-static vocabulary census bench bench-scenarios chaos torture format lint types imports protos protos-check lock sbom demo-model clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMPS)/run ## Build .venv, and nothing else

run: setup ## Set up, then run the whole system (Ctrl-C stops it)
	@$(BIN)/slipstream up

test: $(STAMPS)/dev ## Set up, then run the tests
	@./.ci/services
	@$(BIN)/python -m pytest

fuzz: $(STAMPS)/dev ## Hold many answers of every route against the OpenAPI document (FUZZ_EXAMPLES=200)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/python -m pytest tests/system/document

check: check-static test ## All that CI checks: format, lint, types, imports, generated code, tests

check-static: $(STAMPS)/dev ## All that CI checks, but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory protos-check

vocabulary: $(STAMPS)/run ## Reject private words where a standard term exists
	@$(BIN)/python tools/vocabulary.py

census: $(STAMPS)/run ## Count files, lines, shared class names, one-off Protocols (ARGS="../before . --list")
	@$(BIN)/python tools/census.py $(ARGS)

format: $(STAMPS)/dev ## Format the code, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMPS)/dev ## Look for what ruff finds
	$(BIN)/ruff check .

types: $(STAMPS)/dev ## Check the types
	$(BIN)/mypy

imports: $(STAMPS)/dev ## Check who imports whom
	$(BIN)/lint-imports

protos: $(STAMPS)/dev ## Write the generated protobuf code
	$(BIN)/python protos/generate.py

protos-check: $(STAMPS)/dev ## Check that the generated code is fresh
	$(BIN)/python protos/generate.py --check

demo-model: $(STAMPS)/dev ## Train the demo's model again
	$(BIN)/pip install --quiet --require-hashes -r requirements/examples.lock
	$(BIN)/python examples/iris/train.py

lock: $(STAMPS)/dev ## Resolve the dependencies again, into requirements/*.lock
	$(BIN)/python requirements/lock.py

sbom: $(STAMPS)/dev ## Write what the locks pin as CycloneDX bills of materials, into dist
	@$(BIN)/python requirements/sbom.py dist

bench: $(STAMPS)/bench ## Measure side by side, into docs/benchmarks (ARGS="--peers", "--quick", ...)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-scenarios: $(STAMPS)/bench ## Measure what has a bar of its own, into docs/benchmarks (ARGS="slow_model overload", ...)
	@$(BIN)/python -m benchmarks.scenarios $(ARGS)

chaos: $(STAMPS)/dev ## Kill everything at random under load, and count what that cost (ARGS="--minutes 1")
	@./.ci/services
	@$(BIN)/python -m tests.chaos $(ARGS)

torture: $(STAMPS)/dev ## Kill the sender of webhooks while receivers fail, and count what arrives (ARGS="--events 100000")
	@$(BIN)/python -m tests.torture $(ARGS)

clean: ## Remove what was built and remembered
	rm -rf .venv .slipstream .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMPS)/run: pyproject.toml requirements/run.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Slipstream needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what Slipstream runs on (a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/run requirements/dev.lock
	@echo "Installing what the checks need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(STAMPS)/bench: $(STAMPS)/dev requirements/bench.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@touch $@
