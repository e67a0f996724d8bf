# Everything needs only Python 3.11 or newer, make and git. `make` alone prints the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The variable, unlike the option, also pins what builds the package.
PIP := PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip --disable-pip-version-check install --quiet --editable
DEMO := configs/quickstart.json
SWEEP ?= configs/sweeps/sma_crossover.json
WALK ?= configs/sweeps/walk_forward.json
RUNS ?= 5
CASES ?= 3000
WORKERS ?= 2
BASELINES ?= tests/baselines
THREADS ?= 1,2
PREFETCH ?= 1,7
REASON ?=
CROSS ?=

.PHONY: help demo sweep walkforward test lint types imports regress accept bench bench-short cluster differential properties faults nightly lock clean

help: ## print every target with its sentence
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A stamp file says what is installed, so that a second call installs nothing again.
$(VENV)/core.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) .
	@touch $@

$(VENV)/test.stamp: $(VENV)/core.stamp
	@echo "installing what the tests need ..."
	@$(PIP) '.[test]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp
	@echo "installing ruff, mypy and import-linter ..."
	@$(PIP) '.[dev]'
	@touch $@

demo: $(VENV)/core.stamp ## simulate a sample market, run configs/quickstart.json over it and say where the result is
	@$(BIN)/bt data simulate --lake data/lake --symbols AAA,BBB,CCC,DDD --start 2024-10-01 --end 2024-12-31 --seed 7 --missing 0.001
	@$(BIN)/bt run $(DEMO) --force

sweep: $(VENV)/core.stamp ## try the variants of SWEEP, a config of configs/sweeps, and print the best
	@$(BIN)/bt sweep $(SWEEP) --force

walkforward: $(VENV)/core.stamp ## walk WALK, a config of configs/sweeps with windows, forward
	@$(BIN)/bt walkforward $(WALK)

test: $(VENV)/test.stamp ## run the tests on two processes; those that take long or need other programs have targets of their own below
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m 'not deep and not differential and not cluster'

lint: $(VENV)/dev.stamp ## look for errors and style with ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## check types with mypy
	@$(BIN)/mypy

imports: $(VENV)/dev.stamp ## check with import-linter that imports point one way
	@$(BIN)/lint-imports

properties: $(VENV)/test.stamp ## look for new counterexamples with CASES=3000 cases of engine against simulator, and many more of the rest
	@BT_CASES=$(CASES) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --hypothesis-profile=deep tests/properties

faults: $(VENV)/test.stamp ## kill runs at every step of their writing and at 50 random moments, and go on with them
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m deep tests/test_resume.py

nightly: CASES := 5000
nightly: CROSS := --cross
nightly: properties faults differential regress ## compare the engine with the slow simulator on 5,000 new random cases, and with other programs; kill runs; all baselines under every setting

differential: $(VENV)/test.stamp ## compare fills, trades and statistics with vectorbt, backtesting.py, skfolio and arch, installed below .bench/
	@$(BIN)/python -m pytest -q -m differential tests/differential

regress: $(VENV)/core.stamp ## run the baselines of BASELINES again, with THREADS=1,2 and PREFETCH=1,7, and compare what comes out
	@$(BIN)/python -m tests.baselines.market build/baselines
	@$(BIN)/python -m backtester regress check $(BASELINES) --threads $(THREADS) --prefetch $(PREFETCH) --hash-seeds 0,random --zones UTC,Asia/Tokyo $(CROSS) --junit build/regress.xml

accept: $(VENV)/core.stamp ## accept what the project's baselines give now, with REASON="why"; look at the difference before it is committed
	@$(BIN)/python -m tests.baselines.market build/baselines
	@$(BIN)/python -m backtester regress accept tests/baselines/configs/*.json --into tests/baselines --reason "$(REASON)"
	@$(BIN)/python -m backtester regress accept configs/*.json --lake build/baselines/demo --into tests/baselines --reason "$(REASON)"

cluster: ## sweep on Ray clusters of two machines, simulated on this one; Ray is installed below .bench/
	@test -x .bench/ray/bin/ray || ($(PYTHON) -m venv .bench/ray && PIP_CONSTRAINT=constraints.txt .bench/ray/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[test,ray]')
	@.bench/ray/bin/python -m pytest -q -m cluster tests/cluster

bench: $(VENV)/core.stamp ## measure speed and memory beside other backtesters and print the tables of docs/performance.md
	@$(BIN)/python -m tests.bench --runs $(RUNS)

bench-short: $(VENV)/core.stamp ## measure small cases once, without other backtesters, and check what must hold on any machine
	@$(BIN)/python -m tests.bench --short

lock: ## choose the newest versions that pyproject.toml allows and write constraints.txt
	@$(PYTHON) .ci/lock > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove the environment, caches and bench data; the lake under data/ and results under runs/ stay
	@rm -rf $(VENV) .bench build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find backtester tests -name __pycache__ -type d -prune -exec rm -rf {} +
