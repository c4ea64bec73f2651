# Two commands do everything on a fresh machine: `make demo` and `make test`. Both build .venv from the lock first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
DATA ?= diabetes
TORCH := 2.13.0
WORKERS ?= 2

# No library reports home; safeguards/_telemetry.py does the same for its users.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: demo loop test check bench wheel mutants lock

demo: $(VENV)/.ready
	$(RUN) -m pipelines.demo --data $(DATA)

loop: $(VENV)/.ready
	$(RUN) -m pipelines.loop

# Files go to workers in their order; a file stays whole, because its tests share what took long to make.
test: $(VENV)/.ready
	$(RUN) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.ready
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/hadolint Dockerfile
	$(RUN) -m pip check
	$(RUN) -m pytest -q tests/test_lock.py

bench: $(VENV)/.ready
	$(RUN) -m benchmarks.run

# Two minutes of processor time: pip fetches or unpacks everything again, into an empty environment of 2 GB.
wheel: $(VENV)/.ready
	SAFEGUARDS_INSTALL=1 $(RUN) -m pytest --no-skip=index -m index tests/test_wheel.py

mutants: $(VENV)/.ready
	$(RUN) -m tests.mutants

# Torch is pinned without its local label, so that the same lock serves the CPU and the CUDA build.
lock: $(VENV)/.ready
	CUSTOM_COMPILE_COMMAND="make lock" $(RUN) -m piptools compile --quiet --all-extras --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --upgrade-package torch==$(TORCH) \
		--output-file requirements.lock pyproject.toml
	sed -i -E 's/^(torch==[0-9.]+)\+[a-z0-9]+/\1/' requirements.lock

$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	PYTHONWARNINGS=ignore $(RUN) -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	touch $@

$(VENV)/.locked: requirements.lock
	@echo "Building $(VENV) from requirements.lock, about two minutes"
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --no-deps --requirement requirements.lock
	touch $@
