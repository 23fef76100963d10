# The house's front door: `make` lists the targets. Every target installs what it needs first; what is there already costs no time.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
bin := .venv/bin

# Fast tests: no namespaces, no guests, no other processes' clocks.
fast := $(wildcard tests/unit tests/api tests/reconcile)

.PHONY: help lab setup python clients tempest test check format bench conformance soak docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab: setup clients ## the main job: install what is missing, start a cloud, run the calculator lab on it
	@$(bin)/pileus lab run calculator

setup: ## install what is missing: system packages, .venv, .venv/bin/pileus
	@tools/setup

python: # Python and .venv only: enough for the fake drivers, the checks and the documentation
	@tools/setup python

clients: # the unmodified openstack client, in .venv-clients
	@tools/setup clients

tempest: # Tempest and openstackclient's own tests, in .venv-tempest
	@tools/setup tempest

test: setup clients ## all tests, real namespaces and guests included (under 15 minutes)
	@tools/test

check: python ## style, types, layers and the fast tests (under a minute)
	@$(bin)/ruff check --quiet src tests tools
	@$(bin)/ruff format --quiet --check src tests tools || { echo "run 'make format'"; exit 1; }
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo
	@$(bin)/pytest -q -n auto $(fast)

format: python # what `make check` asks of layout, done
	@$(bin)/ruff check --quiet --fix src tests tools
	@$(bin)/ruff format --quiet src tests tools

bench: setup ## figures beside their floors, printed and written to build/bench.json
	@$(bin)/python -m tests.bench.run $(ROWS)

conformance: python clients tempest ## a real OpenStack's answers, the openstack client's commands, and the suites that others wrote
	@$(bin)/python -m tests.conformance.replay.run
	@$(bin)/python -m tests.conformance.openstack_cli
	@$(bin)/python -m tests.conformance.tempest --page

soak: setup clients ## what takes long: kills at random moments, many cycles, big uploads; one line each
	@tools/test soak

docs: python ## write docs/reference and the README's transcript from the code
	@$(bin)/python -m tools.docs

lock: # new requirements*.lock, after a change of dependencies (UPGRADE=name or all)
	@tools/lock

clean: ## remove what make has made (never a cloud: that is `pileus destroy`)
	@rm -rf build dist .venv .venv-clients .venv-tempest .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/*.egg-info
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
