# make run    set up what is needed and start the app            (PORT=8501 HOST=127.0.0.1 GPU=1)
# make test   set up what is needed and run every check and test
# make setup  only prepare .venv                                 (GPU=1 for TensorFlow with CUDA)
# make bench  measure the figures of the README                  make record  measure the recorded comparisons again
# make docs   the engine's reference, in docs/api              make screenshots   pictures of every page
# make drawings   pictures of the recorded figures, which pages show before Plotly is loaded: after every `make record`

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q

.PHONY: setup run test check unit pages bench record docs screenshots drawings format clean

setup: $(VENV)/.ready$(if $(GPU),-gpu)

$(VENV)/.ready: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.ready-gpu: $(VENV)/.ready
	$(PIP) "tensorflow[and-cuda]>=2.21"
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	touch $@

run: setup
	@echo "The app is at http://$(HOST):$(PORT)"
	$(BIN)/streamlit run app.py --server.address $(HOST) --server.port $(PORT) --server.headless true

test: check unit pages

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Apart from the pages' tests: Streamlit's AppTest clears Keras's state wherever Keras is loaded. A file stays in one
# process, for its tests share what they trained.
unit: $(VENV)/.ready-dev
	$(BIN)/python -m pytest --ignore=tests/pages --ignore=tests/browser -n auto --maxprocesses 4 --dist loadfile

pages: $(VENV)/.ready-dev
	sh tests/browser/install_chromium.sh
	$(BIN)/python -m pytest tests/pages tests/browser

$(VENV)/.ready-bench: $(VENV)/.ready-dev requirements-bench.txt
	$(PIP) -r requirements-bench.txt
	touch $@

bench: $(VENV)/.ready-bench
	$(BIN)/python -m benchmarks $(ARGS)

record: $(VENV)/.ready
	$(BIN)/python -m tlcore pretrain
	$(BIN)/python -m tlcore record
	$(BIN)/python -m tlcore atlas --again
	$(BIN)/python -m tlcore recipe --json data/records/recipe.json
	for task in segmentation localisation; do \
	  $(BIN)/python -m tlcore beyond $$task --steps 200 --json data/records/beyond_$$task.json || exit 1; done
	$(BIN)/python -m tlcore beyond verification --seeds 5 --json data/records/beyond_verification.json

docs: $(VENV)/.ready-dev
	PYTHONPATH=. $(BIN)/python docs/build.py

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

screenshots: $(VENV)/.ready-dev
	sh tests/browser/install_chromium.sh
	$(BIN)/python -m docs.screenshots $(ARGS)

drawings: $(VENV)/.ready-dev
	sh tests/browser/install_chromium.sh
	$(BIN)/python -m docs.drawings $(ARGS)
