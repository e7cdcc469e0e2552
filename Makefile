# One command each; every target makes .venv first if it is not there.
# `make demo KEEP=1` leaves the three parties running.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test check bench million peers beside soak oracle lock

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@echo "installing into .venv: some 30 seconds, longer where nothing is cached"
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@$(BIN)/python -m compileall -q app
	@touch $@

demo: install
	@$(BIN)/kinbridge demo $(if $(KEEP),--keep,)

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# What Python compiles is kept, also where the environment says otherwise: tests start many processes.
test: check
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2

soak: install
	@KINBRIDGE_SOAK=1 $(BIN)/pytest tests/stories/test_demo.py tests/stories/test_mutations.py tests/stories/test_lossless.py tests/faults tests/test_any_days.py tests/test_days_at_once.py tests/test_event_orders.py

lock:
	@uv export --quiet --all-extras --all-groups --no-emit-project --no-annotate --no-header -o requirements.lock
	@uv export --quiet --no-dev --no-emit-project --no-annotate --no-header -o requirements.runtime.lock

# HL7's validator needs Java and Maven; its first run fetches it, about a minute. Each part says how far it is.
SHARED ?= ../shared
oracle: install
	@$(BIN)/python scripts/oracle.py $(SHARED)/oracle/validate --planted $(SHARED)/packages/hl7.fhir.us.core-7.0.0.tgz
	@$(BIN)/python scripts/oracle.py $(SHARED)/oracle/validate --planted $(SHARED)/examples/sdohcc-3.0.0
	@$(BIN)/python scripts/oracle_variants.py $(SHARED)/oracle/validate
	@$(BIN)/python scripts/guide_oracle.py $(SHARED)/oracle/validate
	@$(BIN)/python scripts/oracle_screenings.py $(SHARED)/oracle/validate

bench: install
	@for each in benchmarks/fhirpath.py benchmarks/conformance.py benchmarks/second_wall.py benchmarks/search.py benchmarks/screening.py benchmarks/server.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

# A shelf with a million Tasks on either database: 6 GB on the disk, some three minutes each.
million: install
	@for each in sqlite postgres; do $(BIN)/python benchmarks/search.py --tasks 1000000 --database $$each || exit 1; done

# HAPI's server needs Java and Maven; its first start fetches 300 MiB. Some twenty minutes;
# with fewer clients it is quicker: `make peers CLIENTS=8`.
CLIENTS ?= 1,8,32
peers: install
	@$(BIN)/python benchmarks/peers.py --shared $(SHARED) --connections $(CLIENTS)

# What HAPI's server and ours answer differently that nobody knows yet; the same needs, a minute or two.
beside: install
	@$(BIN)/python benchmarks/beside.py --shared $(SHARED)
