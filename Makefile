# Two commands: `make run` shows the product on the sandbox, `make test` runs every check.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
OWN := .venv-own
MAILER := .venv-mailer
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.cfg

.PHONY: run test coverage bench own lint format clean

run: $(VENV)/.sandbox
	$(BIN)/finops-policy run --customer acme --profile hipaa --sandbox --fail-on never --allow-incomplete
	$(BIN)/finops-policy report --customer acme

test: $(VENV)/.dev $(MAILER)/.installed lint
	$(BIN)/pytest -n auto

# Takes half as long again.
coverage: $(VENV)/.dev $(MAILER)/.installed
	$(BIN)/pytest -n auto --cov --cov-report=term

# Against Cloud Custodian and c7n-org, which are installed apart: see docs/performance.md.
bench: $(VENV)/.dev $(PEERS)/.installed own
	$(BIN)/python -m bench

# As users have it: an editable install takes 40 ms more to start.
own:
	$(PYTHON) -m venv $(OWN)
	$(OWN)/bin/python -m pip install --quiet .
	$(OWN)/bin/python -m pip install --quiet --force-reinstall --no-deps .

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/finops-policy lint

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PEERS) $(OWN) $(MAILER) build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sandbox: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sandbox]'
	touch $@

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.sandbox

$(PEERS)/.installed: bench/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement bench/peers.txt
	touch $@

# c7n-mailer pins libraries that the development environment has newer.
$(MAILER)/.installed: tests/notify/mailer.txt
	$(PYTHON) -m venv $(MAILER)
	$(MAILER)/bin/python -m pip install --quiet --requirement tests/notify/mailer.txt
	touch $@
