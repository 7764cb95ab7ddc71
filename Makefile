# Everything runs in .venv, made on first use from the exact versions in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint test-slow chaos clean

demo: $(STAMP)           ## sweep on real text → fit → report; says where the report is
	$(BIN)/python -m experiments.demo

test: lint               ## ruff, mypy, import contracts, tests: under 6 minutes on 2 cores
	$(BIN)/python -m pytest -q -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-slow: $(STAMP)      ## minutes: coverage by simulation, real servers that never answer
	$(BIN)/python -m pytest -q -n auto -m slow

chaos: $(STAMP)          ## kills, power loss and full disks
	$(BIN)/python -m pytest -q -n auto -m chaos

# --no-compile: Python compiles what it imports, a tenth of what is installed; set-up takes half the time.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@date +%s > .venv/.started
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]' -c constraints.txt
	@echo $$(( $$(date +%s) - $$(cat .venv/.started) )) > $@

clean:                   ## the environment and caches; never runs/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
