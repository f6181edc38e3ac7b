# Everything a newcomer needs: Python >= 3.11 and make. The environment lives in .venv and is made on first use.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
CONSTRAINTS := .ci/constraints.txt
# The set-up is complete when this file exists; its name changes with what is to be installed, so an interrupted or an
# outdated set-up is simply made again.
READY := $(VENV)/.ready-$(shell cat pyproject.toml $(CONSTRAINTS) 2>/dev/null | cksum | cut -d' ' -f1)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test lab notebooks lint clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST)

run: $(READY)  ## run the whole notebook series on the synthetic samples, report in runs/<stamp>/report.html
	@$(PY) -m d24fad_lite.runner

test: $(READY)  ## lint, unit tests, a real browser (where there is one), and every notebook: lessons against their stored outputs
	@$(PY) -m ruff check .
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile tests --ignore tests/browser
	@$(PY) -m pytest -q tests/browser || { echo "the browser tests failed; once more, in a fresh browser"; \
	  $(PY) -m pytest -q tests/browser; }
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile -p no:cacheprovider --nbval-lax --nbval-current-env \
	  --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg --nbval-cell-timeout=600 --timeout=0 \
	  notebooks/*.ipynb notebooks/exercises/*.ipynb

lab: $(READY)  ## open the series in JupyterLab
	@$(VENV)/bin/jupyter lab notebooks/ --LabApp.default_url='/lab/tree/index.md?factory=Markdown%20Preview'

notebooks: $(READY)  ## rebuild the notebooks from notebooks/py (executes them) and what is generated from them
	@$(PY) -m d24fad_lite.runner build

lint: $(READY)  ## ruff
	@$(PY) -m ruff check .

clean:  ## remove runs, caches and the environment
	rm -rf runs $(VENV) .pytest_cache .ruff_cache .hypothesis dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml $(CONSTRAINTS)
	@sh .ci/setup.sh "$(VENV)" "$(READY)" "$(CONSTRAINTS)"
