# Everything a newcomer needs: Python >= 3.11 and make. The environment lives in .venv and is made on first use.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
CONSTRAINTS := .ci/constraints.txt
LINKS :=
# The set-up is complete when this file exists; its name changes with what is to be installed, so an interrupted or an
# outdated set-up is simply made again.
READY := $(VENV)/.ready-$(shell cat pyproject.toml $(CONSTRAINTS) 2>/dev/null | cksum | cut -d' ' -f1)
# Two workers with one thread each: as fast as two cores are, and never the fourfold load of threads times workers.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run test quicktest torture coverage lint lab notebooks docs clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv and nothing else (the others do so by themselves)

run: $(READY)  ## run the whole notebook series on the synthetic samples, report in runs/<stamp>/report.html
	@$(PY) -m d24fad_lite.runs

test: lint  ## lint, unit tests, a real browser (where there is one), and every notebook against its stored outputs
	@$(PYTEST) tests --ignore tests/browser
	@$(PY) -m pytest -q tests/browser
	@$(PYTEST) -p no:cacheprovider --nbval-lax --nbval-current-env --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg \
	  --nbval-cell-timeout=600 --timeout=0 notebooks/*.ipynb notebooks/exercises/*.ipynb

quicktest: $(READY)  ## the units that take under a minute
	@$(PYTEST) -m "not slow" tests/test_files.py tests/test_import.py tests/model tests/evaluation tests/supports tests/lessons

torture: $(READY)  ## kill, damage and mislead it, minutes of it; the counts go into RELIABILITY.md
	@D24FAD_TORTURE=1 OMP_NUM_THREADS=1 $(PY) -m pytest -q tests/torture

coverage: $(READY)  ## lines and branches of the package that the tests in one process run, minutes
	@OMP_NUM_THREADS=1 $(PY) -m coverage run --branch --source d24fad_lite -m pytest -q tests --ignore tests/browser; status=$$?; \
	  $(PY) -m coverage report --skip-covered --sort=cover; exit $$status

lint: $(READY)  ## rules, format, types, layers, notebooks against their texts
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check -q . || { echo "run: $(PY) -m ruff format ."; exit 1; }
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo 2>/dev/null || $(VENV)/bin/lint-imports
	@$(PY) notebooks/build --check

lab: $(READY)  ## open the series in JupyterLab
	@$(VENV)/bin/jupyter lab notebooks/ --LabApp.default_url=/lab/tree/start_here.ipynb

notebooks: $(READY)  ## rebuild the notebooks from notebooks/build/texts (executes them) and what is generated from them
	@$(PY) notebooks/build

docs: $(READY)  ## the site, lessons and reference, in build/site/html (LINKS=--links: ask outside addresses too)
	@$(PY) -c "import sphinx, myst_nb, furo" 2>/dev/null || $(PY) -m pip install --quiet -c $(CONSTRAINTS) -e ".[docs]"
	@$(PY) notebooks/build/site_pages.py build/site $(LINKS)

clean:  ## remove runs, caches and the environment
	rm -rf runs build $(VENV) .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(CONSTRAINTS)
	@sh .ci/setup.sh "$(VENV)" "$(READY)" "$(CONSTRAINTS)"
