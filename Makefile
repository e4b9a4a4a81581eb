# The locks are complete, so pip looks no further (--no-deps).
# Needs Python 3.11 or newer, make and pip; everything else is installed into .venv, as locked.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Dozens of processes are started, and where this is set, each of them compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: audit fuzz test-floors test-newest demo test test-browser chaos lint pictures bench bench-kernel bench-scale lock clean

demo: $(VENV)/.run  ## environment, then the whole job on this machine
	$(BIN)/us8k demo demo

test: $(VENV)/.dev  ## environment, then all tests that pip can install the needs of
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests

test-browser: $(VENV)/.dev  ## the pages in Chromium, which it installs on Debian where it is missing
	command -v chromium >/dev/null || { $$(command -v sudo) apt-get update -qq && $$(command -v sudo) apt-get install -qq --yes chromium; }
	$(BIN)/python -m pytest -q tests/browser

chaos: $(VENV)/.dev  ## kills, poison, full disks and two of everything, for real; an hour; ONLY="R3 R4" is some of it
	tests/chaos/packages.sh
	US8K_EXPLORE=1 $(BIN)/python tests/chaos $(ONLY)

lint: $(VENV)/.dev  ## formatting, types, the direction of imports, and whether the lock is current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/lock.py --check

pictures: $(VENV)/.dev  ## the pictures of README.md, from a run of the demo and its page in Chromium
	$(BIN)/python docs/pictures.py

bench: $(VENV)/.bench  ## all that is claimed about speed, into benchmarks/results.md; half an hour
	$(BIN)/python -W ignore benchmarks/bench_kernel.py
	$(BIN)/python -W ignore benchmarks/bench_peers.py
	$(BIN)/python -W ignore benchmarks/bench_job.py
	$(BIN)/python -W ignore benchmarks/bench_train.py
	$(BIN)/python -W ignore benchmarks/bench_storage.py
	$(BIN)/python -W ignore benchmarks/bench_storage.py --bucket
	$(BIN)/python -W ignore benchmarks/bench_scaling.py
	$(BIN)/python benchmarks/results.py

bench-kernel: $(VENV)/.dev  ## the kernel against librosa on one core; under a minute
	$(BIN)/python -W ignore benchmarks/bench_kernel.py

audit: $(VENV)/.dev  ## the lock against published advisories; needs the network
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet 'pip-audit>=2.7'
	$(VENV)-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock
	$(VENV)-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements-dev.lock

SECONDS ?= 600
fuzz: $(VENV)/.fuzz  ## hostile input for each reader, for SECONDS each
	for reader in commit wav metadata; do \
		PYTHONPATH=tests:tests/fuzz:$(VENV)/.fuzz $(BIN)/python -W ignore tests/fuzz/fuzz_$$reader.py $(SECONDS) || exit 1; \
	done

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ 'atheris>=3.0,<4'

EXTRAS := .[train,report,dashboard,ssh,jobqueue,nn,tune,mlflow,tensorboard,comet,aws,build,test]
NEWEST ?= python3.13
test-newest: $(VENV)/.dev  ## all tests with the newest release of everything on a newer Python (NEWEST=python3.14); ONLY= some
	@$(NEWEST) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || \
		{ echo "$(NEWEST) is not there or older than 3.12, which the newest zarr needs; name one with NEWEST="; exit 1; }
	$(BIN)/uv venv --quiet --seed --allow-existing --python $(NEWEST) $(VENV)-newest
	$(BIN)/uv pip install --quiet --upgrade --python $(VENV)-newest/bin/python --editable '$(EXTRAS)'
	$(VENV)-newest/bin/python -m pytest -q -n 2 --dist worksteal $(or $(ONLY),tests)
	$(VENV)-newest/bin/python tests/read_plainly.py tests/golden/store

FLOORS ?= python3.11
test-floors: $(VENV)/.dev  ## all tests with the lowest releases that pyproject.toml allows, on Python 3.11; ONLY= some
	$(BIN)/uv venv --quiet --seed --clear --python $(FLOORS) $(VENV)-floors
	$(BIN)/uv pip install --quiet --resolution lowest-direct --python $(VENV)-floors/bin/python --editable '$(EXTRAS)'
	$(VENV)-floors/bin/python -m pytest -q -n 2 --dist worksteal $(or $(ONLY),tests)

bench-scale: $(VENV)/.dev  ## plan, submit, publish and read at 100,000 and a million clips, without audio; 15 minutes
	$(BIN)/python -W ignore benchmarks/bench_scale.py

lock: $(VENV)/.dev  ## write the lock anew after a change of dependencies
	$(BIN)/python .ci/lock.py

$(VENV)/.run: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "installing into $(VENV), once, what requirements.lock names: takes a minute or several"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements-bench.lock
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-bench.lock
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-* demo
