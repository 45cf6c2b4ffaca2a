# The Python of the virtual environment; without one, the newest from 3.11 to 3.13 that works.
PYTHON ?=
BIN := .venv/bin
STAMP := .venv/installed
# What make book and make test run at a time; each needs some 2 GiB.
JOBS ?= 2
BEGAN := $(shell date +%s)
# The variable of that name as one word of the shell, whatever is in it; and make is not to expand it
# for the environment of what it starts.
unexport CHAPTER P RECORD
quoted = '$(subst ','\'',$(value $(1)))'
# Modules are compiled once, where they are first imported, and not once in each process.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv book pdf neurolibre test run publish reproduce release bench lint lock clean

help:  ## List what make can do
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(STAMP)  ## Make the virtual environment from the lock file

$(STAMP): requirements.lock pyproject.toml book/tools/install.sh
	sh book/tools/install.sh .venv $(PYTHON)
	touch $@

book: venv  ## Execute every chapter and build the HTML book in _build/html
	$(BIN)/python book/tools/run.py --defaults --quickly --output _build/book --build \
		--jobs $(call quoted,JOBS) --since $(BEGAN)

pdf: venv  ## Print the committed notebooks as one PDF in _build/pdf (needs Chromium)
	$(BIN)/python book/tools/run.py --pdf

neurolibre: venv  ## Write the layout that NeuroLibre reads into _build/neurolibre
	$(BIN)/python book/tools/run.py --neurolibre

test: venv lint  ## Unit tests, chapters at quick parameters, committed outputs, strict build, pages
	$(BIN)/python book/tools/check.py --jobs $(call quoted,JOBS) --since $(BEGAN)

run: venv  ## Execute chapters: make run, or CHAPTER=10 P="n_units=50 tasks=integration;long delay"
	$(BIN)/python book/tools/run.py $(if $(DEFAULTS),--defaults,--quick) --output _build/run \
		--jobs $(call quoted,JOBS) $(if $(value CHAPTER),--chapter=$(call quoted,CHAPTER)) \
		$(if $(value P),--parameters=$(call quoted,P))

publish: venv  ## Execute the default parameters and replace the committed notebooks
	$(BIN)/python book/tools/run.py --defaults --publish --jobs $(call quoted,JOBS) \
		$(if $(value CHAPTER),--chapter=$(call quoted,CHAPTER))

reproduce: venv  ## Recompute the recorded results: make reproduce, or RECORD=miconi
	$(BIN)/python book/tools/reproduce.py $(foreach name,$(value RECORD),$(call quoted,name))
	$(BIN)/python book/tools/metadata.py

release: venv  ## Check, build the PDF and an archive with the records, tag, say what is left to do
	$(BIN)/python book/tools/release.py

bench: venv  ## Time learning and tangents against plain code and the matrix-product rate
	PYTHONPATH=.:book $(BIN)/python -m benchmarks.run

lint: venv  ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: venv  ## Resolve pyproject.toml into requirements.lock, for every Python that it allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras \
		--no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:  ## Remove what was built, but for parts of unfinished recordings
	rm -rf .venv _build/book _build/cache _build/html _build/neurolibre _build/pdf _build/quick \
		_build/python _build/run _build/staging _build/staging-pdf tests/browser/node_modules
