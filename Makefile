# make demo: install, make one clip, print its path.   make check: everything that CI runs.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.up-to-date
PROCESSES ?= 2

.PHONY: demo check lint format types test test-long docs package wheel venv

demo: venv
	@mkdir -p out
	$(VENV)/bin/lumiere generate "a rocket moves up in space" --fast --seed 7 --preview -o out/demo.mp4

check: lint types test docs package

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: venv
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

types: venv
	$(VENV)/bin/mypy

# Tests of several training processes fork, which OpenMP survives only where no thread ran before:
# they get a process of their own.
test: venv
	$(VENV)/bin/python -m pytest tests/train
	$(VENV)/bin/python -m pytest -n $(PROCESSES) --dist loadgroup --ignore tests/train

test-long: venv
	$(VENV)/bin/python -m pytest -m long --timeout 3600

# The site, from docs/ and the code: a broken link is an error.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet

# The sdist, and the wheel that is built from it, by which a clip is made away from the sources.
package: venv
	rm -rf build/package
	$(VENV)/bin/python -m build --no-isolation --outdir build/package . > /dev/null
	$(VENV)/bin/python -m pip install --quiet --no-deps --target build/package/installed build/package/*.whl
	cd build/package && PYTHONPATH=installed ../../$(VENV)/bin/python -P -m openlumiere.apps.cli --version
	cd build/package && PYTHONPATH=installed ../../$(VENV)/bin/python -P -m openlumiere.apps.cli generate "a rocket stays still on a blue background" --steps 2 --frames 4 --size 0 -o clip.mp4

# The same wheel with all that it needs, installed into an empty environment.
wheel:
	rm -rf build/wheel
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	build/wheel/venv/bin/python -m pip install --quiet --constraint constraints.txt torch
	build/wheel/venv/bin/python -m pip install --quiet --constraint constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/lumiere generate "a rocket stays still on a blue background" --steps 2 --frames 4 --preview -o clip.mp4

venv: $(STAMP)

# torch first and alone: asked for by another package, the registry may answer with a CUDA build.
$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $(STAMP)
