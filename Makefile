# CORE-Seg: `make serve` starts the server with demo studies, `make test` runs the tests. Both install what they need.
# Research software, not a medical device.

VENV    ?= .venv
TOOLS   ?= .venv-tools
PORT    ?= 8000
HOST    ?= 127.0.0.1
STUDIES ?= studies/demo
VENV_SLICER ?= .venv-slicer
# The first Python on the PATH that fits; name another with `make PYTHON=/path/to/python3.12 ...`.
PYTHON  ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 \
	&& { command -v $$p; break; }; done)

BIN       := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
SLICER_BIN := $(abspath $(VENV_SLICER))/bin
SLICER_INSTALLED := $(VENV_SLICER)/.installed
PIP       := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install serve test test-slow tools install-slicer test-slicer lint bench

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(INSTALLED) ## make the environment in .venv (VENV=DIR, PYTHON=EXE)

# torch comes first so that sam2, a source distribution which MONAI Label asks for, is built against it
# (--no-build-isolation) and does not download torch a second time into an isolated environment.
$(INSTALLED): constraints.txt setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 was found on the PATH; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(PIP) torch torchvision setuptools
	SAM2_BUILD_CUDA=0 $(PIP) --no-build-isolation sam2
	$(PIP) --editable ".[app,train,dev]"
	@touch $@

# Written beside its place and then renamed, so that an interrupted run leaves nothing half done.
$(STUDIES): | $(INSTALLED)
	rm -rf $(STUDIES).partial
	$(BIN)/python -m coreseg_core.phantoms $(STUDIES).partial
	mv $(STUDIES).partial $(STUDIES)

serve: $(INSTALLED) | $(STUDIES) ## start the MONAI Label server on this machine (PORT=8000, STUDIES=DIR)
	PATH="$(BIN):$$PATH" monailabel start_server --app apps/coreseg --studies $(STUDIES) --host $(HOST) --port $(PORT)

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(INSTALLED) $(TOOLS)/.installed ## run the tests that take minutes (or hours; docs/testing.md)
	CORESEG_TOOLS="$(abspath $(TOOLS))" $(BIN)/python -m pytest -m slow --timeout 14400 $(ARGS)

tools: $(TOOLS)/.installed ## make the environment of the programs that slow tests use, in .venv-tools

# Apart from ours: tiny_pacs wants a pydicom that MONAI Label cannot use.
$(TOOLS)/.installed:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 was found on the PATH; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(TOOLS)/bin/python || "$(PYTHON)" -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check "schemathesis==4.32.5" "tiny-pacs[dicomweb]==0.4.1"
	@touch $@

install-slicer: $(SLICER_INSTALLED) ## make the environment with Slicer's libraries in .venv-slicer (VENV_SLICER=DIR)

# With `make install` done, the panel is also tried against a running server, the whole way from question to label.
# Slicer's libraries pin another numpy than the server, and the package `slicer` of another project must not lie beside.
$(SLICER_INSTALLED): slicer_extension/test-requirements.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 was found on the PATH; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(SLICER_BIN)/python || "$(PYTHON)" -m venv $(VENV_SLICER)
	$(SLICER_BIN)/python -m pip install --disable-pip-version-check --no-deps -r slicer_extension/test-requirements.txt
	@touch $@

test-slicer: $(SLICER_INSTALLED) ## test the extension on Slicer's own libraries, without its desktop
	QT_QPA_PLATFORM=offscreen VTK_DEFAULT_OPENGL_WINDOW=vtkEGLRenderWindow \
		$(if $(wildcard $(INSTALLED)),CORESEG_SERVER_PYTHON=$(BIN)/python) \
		$(SLICER_BIN)/python -m pytest tests/slicer_scene tests/slicer_client $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## measure every stage beside its floor and a plain baseline
	$(BIN)/python -m benchmarks $(ARGS)
