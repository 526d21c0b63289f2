# Everything a person types. `make` alone lists it.
# The newest that works wins, unless you say PYTHON=…: each release so far answers more calls than the one before.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PACKAGES := slipstream gateway inference_server model_store protos telemetry transport
STAMPS := .venv/.stamps
CONSOLE_SOURCES := $(shell find console -path '*/node_modules' -prune -o -path console/dist -prune -o -path '*/schema.d.ts' -prune \
	-o -name openapi.json -prune -o -type f -print)
# npm with a Node that can build the console: the one on the PATH, or one from PyPI.
NPM = ./console/npm

.DEFAULT_GOAL := help
# Compiled code is kept between runs, whatever the environment says: rewriting the assertions of all tests takes seconds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup setup-dev run console console-check test test-services test-console test-fast test-tools test-long coverage fuzz check check-static scan-code scan-dependencies vocabulary census screenshots dashboards bench bench-scenarios chaos fleet abuse torture format format-check lint types imports protos protos-check errors-doc errors-doc-check metrics-doc metrics-doc-check lock advisories sbom monitoring demo-model clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMPS)/run ## Build .venv, and nothing else

setup-dev: $(STAMPS)/dev $(STAMPS)/console ## Build .venv and the console, with everything that the checks need

console: $(STAMPS)/console ## Build the web console, if its sources are newer than the build

run: setup ## Set up, then run the whole system (Ctrl-C stops it)
	@$(MAKE) --no-print-directory console || echo "The console cannot be built, and is left out: see above. Later: make console" >&2
	@$(BIN)/slipstream up

# As many processes as there are cores, and one more where tests often wait for other processes; at most the 8 that have
# ports of their own (tests/slipstream/running.py).
# tests/conftest.py says what stays together, and what comes first.
CORES := $(shell getconf _NPROCESSORS_ONLN)
PARALLEL = -n $(or $(TEST_PROCESSES),$(CORES)) --maxprocesses 8 --dist loadgroup --no-loadscope-reorder
# What fails runs once more, alone, and fails the target if it fails again. A name for the results comes next.
CONFIRM := $(BIN)/python tools/confirm.py

test test-services: TEST_PROCESSES ?= $(shell expr $(CORES) + 1)
test: $(STAMPS)/dev ## Set up, then test the embedded installation: needs nothing but Python
	@$(CONFIRM) $@ -m "not services and not tools and not console and not long" $(PARALLEL) $(ARGS)

test-services: $(STAMPS)/dev ## Test what needs PostgreSQL, Redis, RabbitMQ, nginx, Node or promtool
	@./.ci/services
	@$(CONFIRM) $@ -m "services and not console and not long" $(PARALLEL) $(ARGS)

test-console: $(STAMPS)/dev $(STAMPS)/console ## Test the console with a browser
	@./.ci/services
	@$(CONFIRM) $@ -m "console and not long" $(PARALLEL) $(ARGS)

test-fast: $(STAMPS)/dev ## Unit tests only: no process is started
	@$(CONFIRM) $@ -m "not services and not tools and not console and not long and not processes" $(PARALLEL) $(ARGS)

test-tools: $(STAMPS)/dev ## Test the tools that check, count and lock
	@$(CONFIRM) $@ -m tools $(PARALLEL) $(ARGS)

test-long: $(STAMPS)/dev $(STAMPS)/console ## What searches, repeats or waits for long (ROW_GRAPHS=50000 FUZZ_EXAMPLES=45), and all on PostgreSQL
	@./.ci/services
	@ROW_GRAPHS=$${ROW_GRAPHS:-50000} FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-45} \
		$(CONFIRM) $@ -m "long or search" --hypothesis-profile many $(PARALLEL) $(ARGS)
	@$(CONFIRM) $@-databases -m "services and not long" --all-databases $(PARALLEL) tests/gateway $(ARGS)

coverage: $(STAMPS)/dev ## Branch coverage of `make test`, as text and in htmlcov/
	@$(BIN)/python -m pytest -m "not services and not tools and not console and not long" $(PARALLEL) --cov --cov-branch --cov-report=term --cov-report=html $(ARGS)

fuzz: $(STAMPS)/dev ## Check many answers of every route against the OpenAPI document (FUZZ_EXAMPLES=200)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-200} $(BIN)/python -m pytest tests/system/document $(ARGS)

check: $(STAMPS)/dev ## Everything that CI runs, and what took how long
	@$(BIN)/python tools/check.py check-static test test-services test-console

STATIC := format-check lint imports protos-check errors-doc-check metrics-doc-check scan-dependencies types console-check test-tools scan-code vocabulary

check-static: $(STAMPS)/dev ## Format, lint, types, import contracts, scans, generated files, vocabulary, and the tools themselves
	@$(MAKE) --no-print-directory --jobs=$(CORES) --output-sync=target $(STATIC)

console-check: $(STAMPS)/console-packages ## Check the console: Biome, types by the present routes, and vitest
	@$(BIN)/python tools/openapi_document.py console/openapi.json
	@$(NPM) run --silent api >/dev/null
	$(NPM) run --silent lint
	$(NPM) run --silent types
	$(NPM) run --silent test

scan-code: $(STAMPS)/dev ## Run bandit
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(PACKAGES) examples requirements tools

scan-dependencies: $(STAMPS)/dev ## Compare the locks with requirements/advisories.json
	$(BIN)/python requirements/advisories.py

vocabulary: $(STAMPS)/run ## Reject private words where a standard term exists
	@$(BIN)/python tools/vocabulary.py

census: $(STAMPS)/run ## Count files, lines, shared class names, one-off Protocols (ARGS="../before . --list")
	@$(BIN)/python tools/census.py $(ARGS)

format: $(STAMPS)/dev ## Format the code and apply ruff's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

format-check: $(STAMPS)/dev ## Check the format
	$(BIN)/ruff format --check .

lint: $(STAMPS)/dev ## Run ruff
	$(BIN)/ruff check .

types: $(STAMPS)/dev ## Check the types
	$(BIN)/mypy

imports: $(STAMPS)/dev ## Check the import contracts
	$(BIN)/lint-imports

protos: $(STAMPS)/dev ## Write the generated protobuf code
	$(BIN)/python protos/generate.py

protos-check: $(STAMPS)/dev ## Check that the generated code is fresh
	$(BIN)/python protos/generate.py --check

errors-doc: $(STAMPS)/run ## Write the table of docs/errors.md
	@$(BIN)/python tools/error_docs.py

errors-doc-check: $(STAMPS)/run ## Check that docs/errors.md is up to date
	@$(BIN)/python tools/error_docs.py --check

monitoring: $(STAMPS)/dev ## Write the dashboards of Grafana into slipstream/monitoring
	@$(BIN)/python -m monitoring

metrics-doc: $(STAMPS)/run ## Write docs/metrics.md
	@$(BIN)/python -m tools.metrics_page

metrics-doc-check: $(STAMPS)/run ## Check that docs/metrics.md is up to date
	@$(BIN)/python -m tools.metrics_page --check

demo-model: $(STAMPS)/dev ## Train the demo's model again
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/examples.lock
	$(BIN)/python examples/iris/train.py

lock: $(STAMPS)/dev ## Pin new dependencies in requirements/*.lock (ARGS=--upgrade moves the other pins, too)
	$(BIN)/python requirements/lock.py $(ARGS)

advisories: $(STAMPS)/dev ## Fetch the advisories on what the locks pin (ARGS=all.zip reads OSV's export from a file)
	@$(BIN)/python requirements/advisories.py --refresh $(ARGS)

sbom: $(STAMPS)/dev ## Write what the locks pin as CycloneDX bills of materials, into dist
	@$(BIN)/python requirements/sbom.py dist

screenshots: $(STAMPS)/dev $(STAMPS)/console ## Every screen of the console as pictures, into docs/screenshots (ARGS="--only flow --widths 1280")
	@./.ci/services
	@$(BIN)/python -m tests.screenshots $(ARGS)

dashboards: $(STAMPS)/bench ## Every dashboard of Grafana as a picture, filled, into docs/screenshots (ARGS="--seconds 60")
	@./.ci/services
	@$(BIN)/python -m tests.dashboards $(ARGS)

bench: $(STAMPS)/bench ## Measure side by side, into docs/benchmarks (ARGS="--peers", "--quick", ...)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-scenarios: $(STAMPS)/bench ## Measure what has a bar of its own, into docs/benchmarks (ARGS="slow_model overload", ...)
	@$(BIN)/python -m benchmarks.scenarios $(ARGS)

chaos: $(STAMPS)/dev ## Kill, stop and overload everything at random, and count what that cost (ARGS="--minutes 1"; as root)
	@./.ci/services
	@$(BIN)/python -m tests.chaos $(ARGS)

fleet: $(STAMPS)/dev ## Three hosts in networks of their own, under load, to which everything happens (as root; ARGS="--only clock")
	@./.ci/services
	@$(BIN)/python -m tests.fleet $(ARGS)

abuse: $(STAMPS)/dev ## Misbehave in every way beside a well-behaved client, and measure what it notices (ARGS="--minutes 1")
	@$(BIN)/python -m tests.abuse $(ARGS)

torture: $(STAMPS)/dev ## Kill the sender of webhooks while receivers fail, and count what arrives (ARGS="--events 100000")
	@$(BIN)/python -m tests.torture $(ARGS)

clean: ## Remove everything that was built, and .slipstream with all its data
	rm -rf .venv console/dist console/dist.new console/node_modules console/openapi.json console/src/api/schema.d.ts .slipstream htmlcov test-results .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMPS)/run: pyproject.toml requirements/run.lock
	@test -n "$(PYTHON)" || { echo "Slipstream needs Python 3.11 or newer with venv (Debian: python3-venv). Found none; say make PYTHON=/path/to/python3." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Using $$($(BIN)/python --version). Installing the dependencies (a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: $(STAMPS)/run requirements/dev.lock
	@echo "Installing the development tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@touch $@

# Node is in .venv only where the PATH has none that is new enough.
$(STAMPS)/console-packages: $(STAMPS)/run requirements/console.lock console/package.json console/package-lock.json
	@$(NPM) --version >/dev/null 2>&1 || { echo "Installing Node ..." && $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --no-deps --require-hashes -r requirements/console.lock; }
	@echo "Installing the packages of the console ..."
	@$(NPM) ci --silent
	@touch $@

$(STAMPS)/console: $(STAMPS)/console-packages $(CONSOLE_SOURCES)
	@echo "Building the console ..."
	@$(BIN)/python tools/openapi_document.py console/openapi.json
	@$(NPM) run --silent api >/dev/null
	@$(NPM) run --silent build -- --logLevel warn --outDir dist.new --emptyOutDir
	@# At once: a gateway reads the whole folder at its first request.
	@rm -rf console/dist && mv console/dist.new console/dist
	@touch $@

$(STAMPS)/bench: $(STAMPS)/dev requirements/bench.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.lock
	@touch $@
