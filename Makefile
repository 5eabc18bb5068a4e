# Two commands are enough: `make demo` and `make test`. Both set up all that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check lint unit bench lock clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(READY): requirements.lock pyproject.toml deploy/setup.sh
	@sh deploy/setup.sh $(PYTHON) $(VENV)
	@touch $@

demo: $(READY) ## the whole product at work on a small cluster of its own; ARGS="--seconds 30 --no-app -o json"
	@sh deploy/require.sh demo
	@exec $(BIN)/flowledger demo $(ARGS)

test: $(READY) ## all tests: real kernel, real browser
	@sh deploy/require.sh test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest

check: $(READY) lint unit ## the fast part: format, lint, types, layers, unit tests

lint: $(READY)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache

unit: $(READY)
	@$(BIN)/python -m pytest -q -m "not net and not e2e"

lock: $(READY) ## resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --upgrade --all-extras --generate-hashes --no-emit-index-url --universal \
	  --python-version 3.11 pyproject.toml --output-file requirements.lock

clean: ## remove what make has made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
