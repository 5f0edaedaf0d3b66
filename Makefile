# Everything a user or developer does here. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help run demo transcribe model native cluster cluster-certificates cluster-scheduler cluster-worker test coverage test-models test-native test-gpu torture lint types format lock clean bench

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

run: $(VENV)/run ## serve on http://127.0.0.1:8080, with a first model if there is none
	@$(BIN)/python app.py get-model
	@exec $(BIN)/python app.py serve

demo: $(VENV)/run ## take a recording from upload to subtitles: make demo [FILE=talk.mp3]
	@$(BIN)/python app.py get-model
	@$(BIN)/python app.py demo $(if $(FILE),"$(FILE)")

# What is in the environment does not count: there, LANGUAGE is gettext's.
given = $(if $(filter command,$(origin $(1))),$(if $($(1)),$(2)))

transcribe: $(VENV)/run ## transcribe recordings without a server: make transcribe FILE="talk.mp3 film.mp4"
	@$(BIN)/python app.py get-model
	@$(BIN)/python app.py transcribe \
	  $(call given,FORMAT,--format "$(FORMAT)") $(call given,MODEL,--model "$(MODEL)") \
	  $(call given,LANGUAGE,--language "$(LANGUAGE)") $(call given,FORCE,$(if $(filter 1,$(FORCE)),--force)) \
	  -- $(or $(call given,FILE,$(FILE)),$(error Say which: make transcribe FILE="talk.mp3 film.mp4"))

model: $(VENV)/run ## get a model: make model NAME=ggml-large-v3
	@$(BIN)/python app.py get-model "$(or $(NAME),$(error Say which: make model NAME=ggml-base))"

native: $(VENV)/run ## build the faster engine now, which `make run` does in the background [GPU=vulkan|cuda]
	@$(BIN)/python app.py native $(if $(GPU),--gpu "$(GPU)")

cluster: $(VENV)/cluster ## install what a cluster of machines needs; README.md says how to set one up

cluster-certificates: $(VENV)/cluster ## make the folder of certificates that all its machines need
	@$(BIN)/python -m whisper_service.cluster.certificates certificates

cluster-scheduler: $(VENV)/cluster ## run its scheduler: make cluster-scheduler ADDRESS=tls://0.0.0.0:8786
	@exec $(BIN)/python -m whisper_service.cluster.scheduler \
	  "$(or $(ADDRESS),$(error Say where: make cluster-scheduler ADDRESS=tls://0.0.0.0:8786))"

cluster-worker: $(VENV)/cluster ## let this machine work for it: make cluster-worker SCHEDULER=tls://host:8786
	@exec $(BIN)/python -m whisper_service.cluster.worker $(if $(HOST),--host "$(HOST)") \
	  "$(or $(SCHEDULER),$(error Say for whom: make cluster-worker SCHEDULER=tls://host:8786))"

test: $(VENV)/test lint types ## run everything that decides whether the code is good
	@$(BIN)/pytest -n auto --dist loadfile

coverage: $(VENV)/test ## run the tests, and list the lines that none of them reaches
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -n auto --dist loadfile
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

test-models: $(VENV)/test ## also the tests that download some 280 MB of models
	@TEST_MODEL_DOWNLOADS=1 $(BIN)/pytest tests/models

test-native: $(VENV)/test ## also the test that builds the engine, which takes some minutes
	@TEST_NATIVE_BUILD=1 $(BIN)/pytest tests/commands/test_native.py

test-gpu: $(VENV)/test ## also the tests of GPUs, with Mesa's driver for processors; they take half an hour
	@TEST_GPU=1 $(BIN)/pytest -n 0 tests/commands/test_native_gpu.py

bench: $(VENV)/test benchmarks/.venv/installed benchmarks/models/base ## compare with faster-whisper: make bench [ONLY="dense clips"]
	@$(BIN)/python app.py get-model ggml-base
	@$(BIN)/python app.py native
	@$(BIN)/python -m benchmarks.bench $(ONLY)

torture: $(VENV)/test ## attack the service for half an hour, and print what it withstood
	@TORTURE=1 $(BIN)/pytest -m torture

lint: $(VENV)/test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/test
	@$(BIN)/mypy

format: $(VENV)/test ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/test ## write the requirements files anew, with hashes
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --upgrade --group pyproject.toml:service --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --upgrade --group pyproject.toml:dev --output-file requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --upgrade --group pyproject.toml:native --output-file requirements-native.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --upgrade --constraint requirements.txt \
	  --group pyproject.toml:cluster --output-file requirements-cluster.txt

clean: ## remove what the other targets made, but no recording and no model
	@rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, so that an install that was cut is done again.
$(VENV)/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "Installing the requirements into $(VENV), once"
	@$(PYTHON) -m venv $(VENV) || { echo "error: Python has no venv here; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/cluster: requirements-cluster.txt $(VENV)/run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-cluster.txt
	@touch $@

benchmarks/.venv/installed: benchmarks/requirements.txt
	@$(PYTHON) -m venv benchmarks/.venv
	@benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

benchmarks/models/base: | $(VENV)/run
	@$(BIN)/python -m benchmarks.weights base $@

$(VENV)/test: requirements-dev.txt $(VENV)/run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
