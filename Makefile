# Two commands for a newcomer: `make demo` and `make test`. Everything they need they install into .venv.
PYTHON ?= python3
BIN := .venv/bin
# A PostgreSQL for the tests of the store; where it cannot be had, they say why they were skipped.
POSTGRESQL := command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
APT := DEBIAN_FRONTEND=noninteractive timeout 180 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=10
# Install exactly what the lock files name, checked by hash.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
JOBS ?= 2
# As the command line has it (reroll.cli.main): matrices are small, and threads that wait for each other cost CPU time.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help demo serve docs docs-run dist sbom audit test postgresql chromium lint format bench bench-quick screenshots model schemas lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/installed ## one report investigated on the bundled model
	$(BIN)/reroll demo

serve: .venv/installed ## the pages, on the bundled model and example project
	@test -e meetings/program.yaml || $(BIN)/reroll init meetings
	$(BIN)/reroll serve --project meetings

# A link, an anchor or a picture that leads nowhere is a warning, and a warning is an error.
docs: .venv-docs/installed ## the documentation as pages in build/docs, every link checked
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -c docs . build/docs
	@echo "Open build/docs/index.html"

docs-run: .venv/developer ## what the docs say to type, with the budgets that they say (make test runs it with small ones)
	REROLL_DOCS=whole $(BIN)/python -m pytest tests/test_docs_run.py

# The tests of a file run in one process: they share what is dear to start (a server, a cluster, a port).
test: .venv/developer .venv-exports/installed postgresql chromium ## every test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: .venv/developer ## ruff and mypy, as CI would
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/developer ## rewrite files to the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/developer ## rerun every number of the docs and write their page (hours; --resume goes on)
	$(BIN)/python -m benchmarks --at-once $(JOBS)

bench-quick: .venv/developer ## the same in small, in under ten minutes
	$(BIN)/python -m benchmarks --quick --at-once $(JOBS)

screenshots: .venv/developer chromium ## draw the pages for the docs again
	$(BIN)/python docs/screenshots.py

model: ## train, export and measure the bundled model again (torch on the CPU, about 43 CPU minutes)
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip --disable-pip-version-check install --quiet -r training/requirements.txt
	.venv-train/bin/python -m training

dist: .venv/developer .venv-release/installed ## build wheel and sdist, and check what is in them
	rm -rf dist && mkdir dist
	$(BIN)/python -m hatchling build -d dist
	.venv-release/bin/twine check --strict dist/*
	$(BIN)/python -m pytest tests/test_release.py

sbom: .venv-release/installed ## list what the core installs, as CycloneDX, checked against its schema
	mkdir -p dist
	$(PYTHON) -m venv --clear .venv-core && .venv-core/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		--requirement requirements.lock
	.venv-core/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes pip setuptools
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --spec-version 1.6 --output-reproducible \
		--validate --output-file dist/reroll.cdx.json .venv-core
	rm -rf .venv-core

# Fails where a version could not be asked about: what is not known is not well. AUDIT_WITH='-s osv' asks osv.dev instead of the index.
audit: .venv-release/installed ## known weaknesses of every locked version (needs an index that serves advisories)
	@for lock in requirements*.lock; do \
		echo "$$lock:" && .venv-release/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip $(AUDIT_WITH) --requirement $$lock || exit 1; \
	done

schemas: .venv/installed ## write docs/schemas from the code
	$(BIN)/python -m reroll.project --write-schemas docs/schemas

lock: ## resolve the lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra build pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra build --extra dev --extra postgres --extra parquet --extra ray --extra gepa --extra slack --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		requirements-exports.in --output-file requirements-exports.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		requirements-release.in --output-file requirements-release.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		requirements-docs.in --output-file requirements-docs.lock

postgresql:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { $(POSTGRESQL); }; then \
		{ $(APT) update && $(APT) install --yes --no-install-recommends postgresql; } >/dev/null 2>&1 || \
		echo "PostgreSQL could not be installed; the tests that need it will be skipped"; \
	fi

chromium:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v chromium >/dev/null; then \
		{ $(APT) update && $(APT) install --yes --no-install-recommends chromium; } >/dev/null 2>&1 || \
		echo "Chromium could not be installed; the tests of the pages will be skipped"; \
	fi

clean: ## forget what was installed and built
	rm -rf .venv .venv-docs .venv-exports .venv-train .venv-release .venv-core .pytest_cache .mypy_cache .ruff_cache

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("reroll needs Python 3.11 or newer; set PYTHON=python3.12 or the like")'
	$(PYTHON) -m venv .venv
	$(PIP) --requirement requirements.lock
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/developer: requirements-dev.lock .venv/installed
	$(PIP) --requirement requirements-dev.lock
	@touch $@

# The tools whose real exports are imported, apart: they would pull at what reroll itself is tested with.
.venv-exports/installed: requirements-exports.lock
	@$(PYTHON) -m venv --clear .venv-exports && \
		.venv-exports/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps --no-compile \
		--requirement requirements-exports.lock && touch $@ || \
		{ rm -rf .venv-exports; echo "The tools could not be installed whose exports are imported; those tests will be skipped"; }

# What a release is checked with, apart: none of it is needed to run reroll or its tests.
.venv-release/installed: requirements-release.lock
	$(PYTHON) -m venv --clear .venv-release
	.venv-release/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements-release.lock
	@touch $@

.venv-docs/installed: requirements-docs.lock
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --requirement requirements-docs.lock
	@touch $@
