# One venv in .venv; `make demo` and `make test` set it up themselves.
PYTHON ?= python3
SEED ?= 1
# Processes that `make test` runs side by side; whole files go to one of them.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Seed 1 runs in outputs/demo, seed N in outputs/demo-seedN; they share the corpus and features.
RUN := outputs/demo$(if $(filter-out 1,$(SEED)),-seed$(SEED))
EVAL := checkpoint=$(RUN)/train/instruct/final run_dir=$(RUN)

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-reinforce people readme docs test soak bench dist lock sbom audit gpu-check docker-check check lint types layers clean

help:
	@echo "make demo    train, evaluate and report on a synthetic corpus (SEED=$(SEED))"
	@echo "make demo-reinforce  after it: cold start, rewards, a control of equal cost; answers of each (SEEDS=\"1 2 3\")"
	@echo "make people  words of MELD, acted voices of emodb, texts of AEB, learnt and asked (DIR=FOLDER that has them)"
	@echo "make readme  the commands of README and first pages, run on the demo's outputs"
	@echo "make docs    the documentation site, in outputs/site; a warning is an error"
	@echo "make test    the tests, in $(JOBS) processes"
	@echo "make soak    kills and resumes of training and evaluation, memory of 2,000 clips, fuzzed answers, every experiment with every launch, every part that trains under every strategy, overfitting"
	@echo "make bench   ratios to named alternatives, written to docs/performance.md"
	@echo "make dist    sdist and wheel in dist/; their version is git's tag"
	@echo "make lock    docker/constraints.txt anew: the versions that the image installs"
	@echo "make sbom    those versions as a CycloneDX bill of materials, dist/sbom.cdx.json"
	@echo "make audit   known vulnerabilities of those versions, asked of PyPI"
	@echo "make gpu-check  what a machine with CUDA GPUs has to show"
	@echo "make docker-check  build the image without a Docker engine and train in it (root, buildah, debootstrap)"
	@echo "make check   the tests, ruff, pyright, import layers, hadolint, shellcheck"
	@echo "make clean   remove caches and build products (.venv and outputs/ stay)"

venv: $(STAMP)

# The stamp is written last, so that a killed installation is taken up again.
$(STAMP): pyproject.toml setup.py
	@echo "installing into $(VENV): minutes and several GB the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[dev]'
	@touch $@

# Every line says what it re-uses, so that a killed demo goes on where it was.
demo: $(STAMP)
	@echo "== 1/6 assets: pretrained parts, fetched and converted once"
	$(BIN)/affect-mllm assets
	@echo "== 2/6 corpus: synthetic clips"
	$(BIN)/python data_recipes/synthetic.py --out outputs/demo/corpus
	@echo "== 3/6 training: align, emotion, instruct (seed $(SEED))"
	$(BIN)/python train.py experiment=demo seed=$(SEED) run_dir=$(RUN)/train
	@echo "== 4/6 evaluation: held-out clips, every subset of modalities, the untrained model"
	$(BIN)/python eval.py benchmark=synthetic $(EVAL) subsets=[all] untrained=true
	@echo "== 5/6 evaluation: clips whose face and voice disagree"
	$(BIN)/python eval.py benchmark=synthetic_conflict $(EVAL) subsets=[face+audio+text,face,audio,text]
	@echo "== 6/6 report"
	$(BIN)/affect-mllm report $(RUN)

# DIR has the publishers' folders, which we do not fetch; SEEDS="1 2 3" trains each so often.
people: $(STAMP)
	@test -d "$(DIR)" || { echo "give DIR=FOLDER with meld, emodb and aeb, or some of them, as their publishers ship them"; exit 2; }
	$(BIN)/affect-mllm assets
	BIN=$(BIN) SEEDS="$(or $(SEEDS),$(SEED))" scripts/people.sh "$(DIR)"

# The control is more of the cold start's lessons, from where the rewards began, at their cost.
demo-reinforce: demo
	$(BIN)/python scripts/demo_reinforce.py $(RUN)/train/instruct/final --seeds "$(or $(SEEDS),1 2 3)" --out outputs/demo_reinforce$(RUN:outputs/demo%=%)

readme: $(STAMP)
	$(BIN)/python scripts/readme.py

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

soak: $(STAMP)
	AFFECT_SOAK=1 $(BIN)/python -m pytest tests/train/test_kill_ranks.py tests/train/test_kill_rollouts.py tests/train/test_reinforce.py tests/train/test_reinforce_grid.py tests/train/test_resume.py tests/train/test_moving.py tests/train/test_sharding.py tests/train/test_omni.py tests/contracts/test_pairs.py tests/eval/metrics/test_simulation.py
	AFFECT_FUZZED=20000 $(BIN)/python -m pytest tests/eval/read/test_engine.py -k no_text
	AFFECT_KILLS=10 $(BIN)/python -m pytest tests/eval/test_killed.py
	AFFECT_CLIPS=2000 $(BIN)/python -m pytest tests/eval/test_memory.py
	$(BIN)/python benchmarks/overfit.py

bench: $(STAMP)
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python benchmarks/suite.py

dist: $(STAMP)
	$(BIN)/python -m build --no-isolation

lock: $(STAMP)
	$(BIN)/python scripts/lock.py

sbom: $(STAMP)
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements docker/constraints.txt --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json

audit: $(STAMP)
	$(BIN)/python scripts/audit.py

gpu-check: $(STAMP)
	$(BIN)/affect-mllm gpu-check

docker-check:
	docker/check.sh

check: test lint types layers

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/shellcheck docker/check.sh scripts/train.sbatch scripts/people.sh scripts/people/*.sh scripts/picture.sh .ci/run

types: $(STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(STAMP)
	$(BIN)/lint-imports

clean:
	rm -rf build dist ./*.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find affect_mllm data_recipes tests -name __pycache__ -type d -prune -exec rm -rf {} +
