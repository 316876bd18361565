# Two commands do all set-up: `make demo` and `make test`. Both need python3 (3.11 or later) and a package index.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint lock clean

install: .venv/installed

# One pip call for all of it: torch and torchvision must be chosen together, as a matched pair.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	touch $@

demo: install
	$(BIN)/smoothvote demo

# One process more than there are cores: tests wait for workers a good part of their time. What is compiled is kept,
# also where the environment says otherwise: each of some hundred processes would compile this package anew.
test: export PYTHONDONTWRITEBYTECODE =
test: install
	$(BIN)/python -m pytest --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

# The exact versions, with hashes, that the images install: those of this environment, which the tests ran with.
LOCK = $(BIN)/uv pip compile pyproject.toml --constraints .venv/freeze.txt --python-version 3.11 \
	--python-platform x86_64-unknown-linux-gnu --generate-hashes --no-annotate --no-header --quiet

lock: install
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m pip freeze --exclude-editable | grep == > .venv/freeze.txt
	$(LOCK) --extra s3 --extra shards --extra frames --extra web --output-file deploy/locks/producer.txt
	$(LOCK) --extra s3 --extra shards --extra worker --extra embedded --extra openvino --output-file deploy/locks/worker.txt

clean:
	rm -rf .venv .smoothvote .mypy_cache .pytest_cache .ruff_cache *.egg-info demo.png
