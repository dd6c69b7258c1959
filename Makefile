# Every target builds the one environment by itself; `make env` is a no-op when it is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
STAMP := .venv/.built
# A node with an NVIDIA GPU: make env LOCK=requirements-gpu.lock
LOCK ?= requirements.lock
BIN := .venv/bin
# Each of the processes that a night starts would compile the checkout again.
unexport PYTHONDONTWRITEBYTECODE
# uv does not read pip's configuration: hand it what this machine's pip is told to use. The hashes, not the
# order of the indexes, decide what is installed.
export UV_INDEX_STRATEGY := unsafe-best-match
UV_ENV = $$( for pair in index-url=UV_DEFAULT_INDEX extra-index-url=UV_INDEX find-links=UV_FIND_LINKS cert=SSL_CERT_FILE; do \
	value=$$($(PYTHON) -m pip config get global.$${pair%%=*} 2>/dev/null || $(PYTHON) -m pip config get :env:.$${pair%%=*} 2>/dev/null) \
	&& printf '%s=%s\n' "$${pair\#*=}" "$$(printf %s "$$value" | tr '\n' ' ')"; done; true )

.PHONY: help env lock lint format test quick faults replay bench-data bench-models bench-nights bench-night-cost bench-search bench-serving bench-live-versions bench-monitoring bench-operations bench-cluster run stop clean cluster bench-center
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

env: $(STAMP) ## build .venv from the lock, hash-checked and byte-compiled

$(STAMP): $(LOCK) pyproject.toml
	@test -n "$(PYTHON)" || { echo "AI Mass needs Python 3.11 or 3.12 on PATH; install one or call make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "building .venv with $$($(PYTHON) --version)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if ! test -x $(BIN)/uv; then awk '/^uv==/{on=1} on{print} on&&!/\\$$/{exit}' $(LOCK) > .venv/uv.lock; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock; fi
	@while IFS='=' read -r name value; do test -z "$$name" || export "$$name=$$value"; done <<< "$(UV_ENV)"; \
		export VIRTUAL_ENV="$$PWD/.venv"; \
		$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode $(LOCK); \
		$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline -e .
	@$(BIN)/python -m pipelines.local.templates
	@touch $(STAMP)

lock: $(STAMP) ## bring requirements.lock, requirements-gpu.lock and docker/serving.lock in line with pyproject.toml; ARGS=--upgrade: newest versions
	@while IFS='=' read -r name value; do test -z "$$name" || export "$$name=$$value"; done <<< "$(UV_ENV)"; \
		same=(--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header $(ARGS)); \
		compile=($(BIN)/uv pip compile pyproject.toml --extra dev --extra cluster --extra exchange "$${same[@]}"); \
		"$${compile[@]}" -o requirements.lock; \
		"$${compile[@]}" -o requirements-gpu.lock --extra gpu --override <(echo 'xgboost-cpu; sys_platform == "never"'); \
		$(BIN)/uv pip compile docker/serving.in --constraint requirements.lock "$${same[@]}" -o docker/serving.lock

lint: $(STAMP) ## ruff (format and lint), mypy strict, import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## write the code the way lint wants it
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

test: $(STAMP) .clients/.built ## all tests, with the coverage of pipelines/ by the tests' own processes
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

quick: $(STAMP) ## the tests that neither take long nor need the shared data sets, in a minute and a half
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not platform and not real_data and not cluster" $(PYTEST_ARGS)

faults: $(STAMP) ## the faults, and what else is short in `make test`, in full form; takes long
	@AIMASS_FULL=1 $(BIN)/python -m pytest -m "fault or full" $(PYTEST_ARGS)

cluster: $(STAMP) ## what several hosts do, in full form; they are network namespaces: needs root and redis-server
	@AIMASS_FULL=1 $(BIN)/python -m pytest -m cluster -rA $(PYTEST_ARGS)

replay: $(STAMP) ## 30 nights of real flights, day by day, then nine months against a quarter
	@$(BIN)/python benchmarks/replay.py $(ARGS)

bench-data: $(STAMP) .bench/.built ## the data path against pandas, Polars, DuckDB and Dask, and the chain on 10 and 50 million rows
	@$(BIN)/python benchmarks/data_path.py $(ARGS)

.clients/.built: tests/clients/requirements.lock | $(STAMP)
	@while IFS='=' read -r name value; do test -z "$$name" || export "$$name=$$value"; done <<< "$(UV_ENV)"; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .clients; \
		$(BIN)/uv pip sync --quiet --no-config --python .clients/bin/python --require-hashes tests/clients/requirements.lock
	@touch $@

.bench/.built: benchmarks/requirements.lock | $(STAMP)
	@while IFS='=' read -r name value; do test -z "$$name" || export "$$name=$$value"; done <<< "$(UV_ENV)"; \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --target .bench --require-hashes -r benchmarks/requirements.lock
	@touch $@

bench-models: $(STAMP) .bench-autogluon/.built .bench-flaml/.built ## six tables against AutoGluon, FLAML and untuned LightGBM; takes hours
	@$(BIN)/python benchmarks/models.py $(ARGS)

bench-serving: $(STAMP) ## the gateway against MLflow, BentoML and FastAPI; needs wrk
	@$(BIN)/python benchmarks/serving.py $(ARGS)

bench-live-versions: $(STAMP) ## memory and start of many live versions on one machine
	@$(BIN)/python benchmarks/live_versions.py $(ARGS)

bench-monitoring: $(STAMP) .bench-evidently/.built ## one look of the monitor at a million logged predictions of 30 columns, and Evidently on the same rows
	@$(BIN)/python benchmarks/monitoring.py $(ARGS)

bench-nights: $(STAMP) ## how soon a warm night's search reaches what a cold one comes to
	@$(BIN)/python benchmarks/nights.py $(ARGS)

bench-night-cost: $(STAMP) ## what a night costs besides its search, stage by stage
	@$(BIN)/python benchmarks/night_cost.py $(ARGS)

bench-operations: $(STAMP) ## backup and restore of a home of 1 GB, beside restic if it is on PATH
	@$(BIN)/python benchmarks/operations.py $(ARGS)

bench-cluster: $(STAMP) ## beyond one machine, beside one machine: storage in an object store
	@$(BIN)/python benchmarks/cluster.py $(ARGS)

bench-center: $(STAMP) ## how soon the pages of the Model Center are there, with 200 models of 400 nights
	@$(BIN)/python benchmarks/center.py $(ARGS)

bench-search: $(STAMP) ## trials per minute, and what a trial costs besides itself
	@$(BIN)/python benchmarks/search.py $(ARGS)

.bench-%/.built: benchmarks/models_%.lock | $(STAMP)
	@while IFS='=' read -r name value; do test -z "$$name" || export "$$name=$$value"; done <<< "$(UV_ENV)"; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python .bench-$*; \
		$(BIN)/uv pip sync --quiet --python .bench-$*/bin/python --compile-bytecode --require-hashes benchmarks/models_$*.lock
	@touch $@

run: $(STAMP) ## feed, platform and one night through the scheduler; again: the next day of the feed
	@$(BIN)/python -m pipelines.cli.demo

stop: $(STAMP) ## stop the platform
	@$(BIN)/aimass down

clean: ## remove the environment and caches; state in .aimass stays
	rm -rf .venv .bench .bench-autogluon .bench-flaml .bench-evidently .bench-models build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
