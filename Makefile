# What a person does with this checkout.  Every target may be run again.
PYTHON := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Boots run one at a time (tests/conftest.py puts them into one group); two workers suit two cores.
# One whose worker was killed ends there, as failed: xdist cannot give a group to another one, and would wait for ever.
PYTEST := $(PYTHON) -m pytest -n 2 --dist loadgroup --max-worker-restart 0

.PHONY: help setup setup-test demo demo-stop test lint bench docs coverage-page boot-matrix wire torture fuzz

help:
	@echo "make setup      install what is needed (Debian packages, .venv)"
	@echo "make demo       build images, import, bundle, share, launch, log in; GUEST=debian for a full Debian"
	@echo "make demo-stop  end the demo's server and its instances"
	@echo "make test       lint, types, contracts, tests, boots"
	@echo "make lint       lint, types, contracts, generated code up to date"
	@echo "make torture    many rounds of kill -9"
	@echo "make fuzz       hostile input by the million; SECONDS_EACH=60 for each reader"
	@echo "make bench      measure against the classic tools"
	@echo "make docs       generate the reference pages"
	@echo "make coverage-page  run the tests that prove operations, and write what they proved"
	@echo "make boot-matrix    boot every guest of the matrix, and write what booted"
	@echo "make wire       generate the wire types from botocore's model"

setup:
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh test

demo: setup
	@$(PYTHON) -m scripts.demo start $(if $(GUEST),--guest $(GUEST))

demo-stop:
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m scripts.demo stop; else echo "there is no demo"; fi

test: setup-test lint
	$(PYTEST) -m "not torture and not matrix" $(PYTEST_ARGUMENTS)

lint: setup
	ruff check .
	ruff format --check .
	mypy
	mypy -p guests -p scripts -p fuzz
	mypy bench
	mypy tests
	lint-imports
	$(PYTHON) -m amiable.wire.generate --check
	$(PYTHON) scripts/generate_docs.py --check

torture: setup-test
	$(PYTHON) -m pytest -s -m torture $(PYTEST_ARGUMENTS)

fuzz: setup
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	$(PYTHON) -m fuzz --seconds $(or $(SECONDS_EACH),60)

bench: setup-test
	@failed=0; for program in bench/*.py; do echo "== $$program"; $(PYTHON) $$program || failed=1; done; exit $$failed

docs: setup
	$(PYTHON) scripts/generate_docs.py

coverage-page: setup-test
	$(PYTEST) -m "proves and not torture" --record-proofs $(PYTEST_ARGUMENTS)
	$(PYTHON) scripts/generate_docs.py

boot-matrix: setup-test
	$(PYTEST) -m "(boot or slow) and not torture" --record-boots $(PYTEST_ARGUMENTS)
	$(PYTHON) scripts/generate_docs.py

wire: setup
	$(PYTHON) -m amiable.wire.generate
