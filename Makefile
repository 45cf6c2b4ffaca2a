PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed
# What make test runs at a time; each needs some 2 GiB.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv book pdf neurolibre test run publish reproduce bench lint lock clean

help:  ## List what make can do
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(STAMP)  ## Make the virtual environment from the lock file

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

book: venv  ## Execute every chapter and build the HTML book in _build/html
	$(BIN)/python book/run.py --defaults --output _build/book --build

pdf: venv  ## Print the committed notebooks as one PDF in _build/pdf (needs Chromium)
	$(BIN)/python book/run.py --pdf

neurolibre: venv  ## Write the layout that NeuroLibre reads into _build/neurolibre
	$(BIN)/python book/run.py --neurolibre

test: venv lint  ## Unit tests, chapters at quick parameters, committed outputs, strict build, pages
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile
	$(BIN)/python book/run.py --quick --jobs $(JOBS) --output _build/quick
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -c tests/nbval.cfg --rootdir=. --nbval \
		--nbval-cell-timeout=300 book/*.ipynb
	$(BIN)/python book/run.py --build
	sh tests/browser/install.sh
	$(BIN)/python -m pytest -q -rs tests/browser

run: venv  ## Execute chapters: make run, or make run CHAPTER=02 P="n_units=50 n_trials=200"
	$(BIN)/python book/run.py $(if $(DEFAULTS),--defaults,--quick) --output _build/run \
		$(if $(CHAPTER),--chapter $(CHAPTER)) $(foreach p,$(P),-p $(p))

publish: venv  ## Execute the default parameters and replace the committed notebooks
	$(BIN)/python book/run.py --defaults --publish $(if $(CHAPTER),--chapter $(CHAPTER))

reproduce: venv  ## Recompute the recorded results: make reproduce, or RECORD=miconi
	$(BIN)/python book/reproduce.py $(RECORD)

bench: venv  ## Time learning and tangents against plain code and the matrix-product rate
	$(BIN)/python -m benchmarks.run

lint: venv  ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: venv  ## Resolve pyproject.toml into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --python-version 3.11 --extra book --extra test \
		--no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:  ## Remove what was built, but for parts of unfinished recordings
	rm -rf .venv _build/book _build/html _build/neurolibre _build/pdf _build/quick _build/run \
		_build/staging _build/staging-pdf tests/browser/node_modules
