# make demo: a first answer print from nothing.  make test: everything that is asked of a change.  make docs: the site.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test bench nightly fuzz docs env env-dev env-docs lint clean

demo: env
	$(BIN)/python -m answerprint demo -o demo

test: env-dev lint
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not nightly"

# make bench NAME=look ARGS="--data ../shared/data/video": Answerprint beside its peers, all in one run.
bench: env-dev
	$(BIN)/python -m benchmarks $(NAME) $(ARGS)

nightly: env-dev
	$(BIN)/python -m pytest -q -n auto --dist worksteal

# make fuzz SECONDS=3600 SEED=7: damaged input of every kind for a bounded time; CASE=exr:12 runs one case again.
SECONDS ?= 300
SEED ?= 0
fuzz: env-dev
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) FUZZ_CASE=$(CASE) $(BIN)/python -m pytest -q -m fuzz tests/test_fuzz.py

docs: env-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html; for the search: $(BIN)/mkdocs serve"

lint: env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

env: $(VENV)/.env
env-dev: $(VENV)/.env-dev
env-docs: $(VENV)/.env-docs

# torch comes first and alone: resolved together with the rest, pip may pick a build with gigabytes of CUDA.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." && exit 2)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python tools/install_torch.py constraints.txt
	touch $@

$(VENV)/.env: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e '.[demo,fast]'
	touch $@

$(VENV)/.env-dev: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.env

$(VENV)/.env-docs: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) demo site build src/*.egg-info
