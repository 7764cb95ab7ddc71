# Everything runs in .venv, made on first use from the exact versions in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Container images often set it; each process would then compile PyTorch anew, which takes 4 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint docs test-slow chaos cluster-test browser-test bench gpu-check clean

demo: $(STAMP)           ## sweep on real text → fit → report; says where the report is
	$(BIN)/python -m experiments.demo

test: lint               ## ruff, mypy, import contracts, tests: 7 to 15 minutes on 2 cores
	$(BIN)/python -m pytest -q -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)           ## the site: site/index.html; references are generated from the code first, warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]' -c constraints.txt
	$(BIN)/python -m experiments.docs
	$(BIN)/python -m sphinx -q -E -W --keep-going -c docs -d site/.doctrees . site

test-slow: $(STAMP)      ## minutes: coverage by simulation, real servers that never answer
	$(BIN)/python -m pytest -q -n auto -m slow

chaos: $(STAMP)          ## kills, power loss, full disks: 30 to 40 minutes on 2 cores; ends with a table
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m chaos -p tests.chaos.table

cluster-test: $(STAMP)   ## a Slurm cluster of one node and a Ray cluster of two, workers killed midway: the bits of one machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,ray]' -c constraints.txt
	$(BIN)/python -m pytest -q -m cluster tests/cluster

browser-test: $(STAMP)   ## the report in Chromium (the system's): pointer, keys, phone, dark, print, accessibility
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,browser]' -c constraints.txt
	$(BIN)/python -m pytest -q -m browser tests/analysis/report

bench: $(STAMP)          ## training, studies, harness, growth and fits against commonly used tools: more than an hour on an idle machine
	-$(BIN)/python -m experiments.benchmarks.training
	-$(BIN)/python -m experiments.benchmarks.shares
	-$(BIN)/python -m experiments.benchmarks.tiny
	-$(BIN)/python -m experiments.benchmarks.harness
	-$(BIN)/python -m experiments.benchmarks.growth
	-$(BIN)/python -m experiments.benchmarks.fitting
	-$(BIN)/python -m experiments.benchmarks.precision

gpu-check:               ## on a machine with a GPU; PyTorch is enough
	$(PYTHON) -m experiments.benchmarks.gpu

# --no-compile: Python compiles what it imports, a tenth of what is installed; set-up takes half the time.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@date +%s > .venv/.started
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]' -c constraints.txt
	@echo $$(( $$(date +%s) - $$(cat .venv/.started) )) > $@

clean:                   ## the environment and caches; never runs/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
