# make demo: install, make one clip, print its path.   make test: everything that CI runs.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.up-to-date

.PHONY: demo test test-long venv

demo: venv
	@mkdir -p out
	$(VENV)/bin/lumiere generate "a rocket stays still on a blue background" --seed 7 --preview -o out/demo.mp4

test: venv
	$(VENV)/bin/python -m pytest

test-long: venv
	$(VENV)/bin/python -m pytest -m long

venv: $(STAMP)

# torch first and alone: asked for by another package, the registry may answer with a CUDA build.
$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $(STAMP)
