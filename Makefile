# Everything runs in an environment of its own, made on first use. `make demo` and `make test` need nothing but
# Python 3.11 to 3.13 and make. PYTHON chooses the interpreter (make demo PYTHON=python3.12); PIP_ARGS is passed on
# to pip, for instance to choose an index with the CPU build of torch.
PYTHON   ?= python3
PIP_ARGS ?=
VENV   := .venv
RUN    := $(VENV)/bin/python
PART   ?= tests

.PHONY: demo test check wheel docs fault slow browser gpu cpp cpp-units cpp-driven cpp-slow cpp-sanitized cpp-fuzz nightly coverage \
  pythons namesake sd21 default ablations clean

demo: $(VENV)/demo.ready
	$(RUN) -m export.build --codes all --out bundle
	$(RUN) -m runtime.generate --bundle bundle --prompts docs/prompts.txt --grid --overwrite --out demo
	@echo "The images are in demo/, all of them together in demo/grid.png."

# Tests share the cores among processes, whose threads had better sleep than spin while they wait for each other.
QUICK := not slow and not fault and not browser and not gpu and not cpp
TESTS := OMP_WAIT_POLICY=PASSIVE $(RUN) -m pytest -q --numprocesses logical --maxprocesses 4 --dist worksteal --durations 20

test: $(VENV)/dev.ready
	$(TESTS) -m "$(QUICK)"

check: $(VENV)/dev.ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -q -s tests/test_structure.py

# The source distribution and, made from it, the wheel, in dist/. What was there goes.
wheel: $(VENV)/dev.ready
	rm -rf dist
	$(RUN) -c "from setuptools import build_meta; build_meta.build_sdist('dist')"
	$(RUN) -m pip wheel $(PIP_ARGS) --no-deps --no-build-isolation --wheel-dir dist dist/aptp-*.tar.gz

# The site of docs/, in build/site. A dead link, or a page that no menu names, fails.
docs: $(VENV)/docs.ready
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

fault: $(VENV)/dev.ready
	$(RUN) -m pytest -q -m fault --timeout 3600

slow: $(VENV)/dev.ready
	$(RUN) -m pytest -q -m "slow and not cpp" --timeout 3600

# The page in a Chromium, which has to be there (CHROMIUM names it); screenshots go to out/page.
browser: $(VENV)/browser.ready
	SCREENSHOTS=out/page CHROMIUM="$(CHROMIUM)" $(RUN) -m pytest -q -m browser

gpu: $(VENV)/dev.ready
	$(RUN) -m tests.gpu.run $(PART)

# The runtime in C++, for which Debian's packages are installed (by sudo, unless they are there or this is root).
cpp: cpp-units cpp-driven cpp-slow

# Its unit tests, with every access checked: optimised less, for that is what compiling takes its time for.
cpp-units: TARGETS = units
cpp-units: build/cpp-units/built
	ctest --test-dir build/cpp-units --output-on-failure

# As it is released, driven by the tests in Python, which compare it with the runtime in Python. UNITY=ON compiles a
# room's files together, in half of the time.
UNITY ?= OFF
cpp-driven: build/cpp/built
	APTP_CPP_BUILD=build/cpp $(TESTS) -m "cpp and not slow" --timeout 3600 tests/cpp

# Compiled engines, which take minutes to build; docs/CPP.md followed word for word, with a build of its own.
cpp-slow: build/cpp/built
	APTP_CPP_BUILD=build/cpp $(RUN) -m pytest -q -m "cpp and slow" --timeout 3600 tests/cpp

# Both with every access checked, then with every race of the threads on engines that are made up.
cpp-sanitized: TARGETS = all units
cpp-sanitized: build/cpp-address/built build/cpp-thread/built
	ctest --test-dir build/cpp-address --output-on-failure
	APTP_CPP_BUILD=build/cpp-address $(TESTS) -m "cpp and not slow" --timeout 3600 tests/cpp
	ctest --test-dir build/cpp-thread --output-on-failure -R "scheduling|service|api"
	APTP_CPP_BUILD=build/cpp-thread $(RUN) -m pytest -q -m cpp --timeout 3600 tests/cpp/test_soak.py

# Fuzz the manifest reader and the tokenizer with libFuzzer, SECONDS each (clang).
SECONDS ?= 60
cpp-fuzz: TARGETS = fuzzers
cpp-fuzz: build/cpp-fuzz/built
	for fuzzer in build/cpp-fuzz/fuzz_*; do $$fuzzer -max_total_time=$(SECONDS) || exit 1; done

TARGETS ?= all
CPP_BUILDS := build/cpp/built build/cpp-units/built build/cpp-address/built build/cpp-thread/built build/cpp-fuzz/built
.PHONY: $(CPP_BUILDS)
# No OpenVINO where addresses are checked: its TBB opens a library in a way (RTLD_DEEPBIND) that sanitizers refuse.
OPENVINO = -DAPTP_WITH_OPENVINO=ON -DOpenVINO_DIR="$$(sh cpp/openvino.sh $(RUN))"
build/cpp/built: CPP = -DAPTP_TESTS=ON -DAPTP_BUNDLE_ENGINES=ON -DCMAKE_UNITY_BUILD=$(UNITY) $(OPENVINO)
build/cpp-units/built: CPP = -DAPTP_TESTS=ON -DCMAKE_UNITY_BUILD=ON -DAPTP_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g1"
build/cpp-address/built: CPP = -DAPTP_TESTS=ON -DAPTP_BUNDLE_ENGINES=ON -DAPTP_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo
build/cpp-thread/built: CPP = -DAPTP_TESTS=ON -DAPTP_SANITIZE=thread -DCMAKE_BUILD_TYPE=RelWithDebInfo
build/cpp-fuzz/built: CPP = -DAPTP_FUZZ=ON -DAPTP_SANITIZE=address,undefined -DCMAKE_CXX_COMPILER=clang++
build/cpp-fuzz/built: PACKAGES = clang libclang-rt-dev
$(CPP_BUILDS): build/%/built: $(VENV)/dev.ready
	sh cpp/packages.sh $(PACKAGES)
	sh cpp/onnxruntime.sh build/onnxruntime $(RUN)
	cmake -S cpp -B $(@D) -DONNXRUNTIME_ROOT=$(CURDIR)/build/onnxruntime $(CPP)
	cmake --build $(@D) --parallel $$(nproc) --target $(TARGETS)

# All that continuous integration leaves out, each with its seconds; docs/GUARANTEES.md has the figures of the last run.
nightly: $(VENV)/dev.ready
	sh .ci/stages coverage cpp-sanitized cpp-slow "cpp-fuzz SECONDS=300" fault slow pythons namesake

# How much of each package the tests of `make test` run through, line by line and branch by branch.
coverage: $(VENV)/nightly.ready
	$(TESTS) -m "$(QUICK)" --cov --cov-report=term:skip-covered --cov-report=json:build/coverage.json

# `make test` under the other versions of Python that are here.
PYTHONS ?= python3.11 python3.12 python3.13
pythons:
	for python in $(PYTHONS); do \
	  command -v $$python || { echo "$$python is not here"; continue; }; \
	  $(MAKE) test PYTHON=$$python VENV=.venv.$$python || exit 1; \
	done

# Hugging Face's own `kernels` beside ours, from a package index.
namesake: $(VENV)/dev.ready
	NAMESAKE=kernels $(RUN) -m pytest -q tests/test_namesake.py

# The whole path on SD 2.1's true geometry with random weights, 4 experts and dense, on OpenVINO and ONNX Runtime:
# about 15 GB of disk. Nothing may run beside its last two commands.
sd21: $(VENV)/dev.ready
	test -f sd21/checkpoint/aptp.json || $(RUN) -m aptp.new --preset sd21 --size 512x512 --out sd21/checkpoint
	$(RUN) -m export.build --checkpoint sd21/checkpoint --codes all,dense --out sd21/bundle
	$(RUN) -m runtime.bench --bundle sd21/bundle --engines openvino,cpu --levels opening,step --rounds 8 --out sd21/bench --overwrite
	$(RUN) -m bench.account --bundle sd21/bundle --codes dense,0,1,2,3 --rounds 6

# The default from nothing but the renderer, below runs/: seven hours on two cores. TRAIN is passed on to every
# training command (make default TRAIN="--minutes 120"); the same command goes on where the last one stopped.
default ablations: export MALLOC_MMAP_MAX_ = 0
default ablations: export MALLOC_TRIM_THRESHOLD_ = 17179869184
default ablations: export MALLOC_TOP_PAD_ = 67108864
default: $(VENV)/dev.ready
	test -d runs/dense || $(RUN) -m aptp.pretrain --out runs/dense $(TRAIN)
	test -d runs/routed || $(RUN) -m aptp.train --from runs/dense --preset tiny --data scenes --guidance 2 \
	  --out runs/routed $(TRAIN)
	test -d runs/tuned || $(RUN) -m aptp.finetune --checkpoint runs/routed --data scenes --out runs/tuned $(TRAIN)
	$(RUN) -m aptp.evaluate --checkpoint runs/tuned --out runs/report

# The method with one choice undone at a time, from the default's dense pipeline: hours, resumable like training.
ablations: $(VENV)/dev.ready
	$(RUN) -m bench.ablations --folder runs/ablations $(TRAIN)

clean:
	rm -rf $(VENV) build demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/demo.ready: pyproject.toml constraints.txt
	$(call install,cpu$(comma)build)
	touch $@

$(VENV)/dev.ready: pyproject.toml constraints.txt
	$(call install,cpu$(comma)build$(comma)dev)
	touch $@ $(VENV)/demo.ready

$(VENV)/browser.ready: pyproject.toml constraints.txt
	$(call install,cpu$(comma)build$(comma)dev$(comma)browser)
	touch $@ $(VENV)/dev.ready $(VENV)/demo.ready

$(VENV)/nightly.ready: pyproject.toml constraints.txt
	$(call install,cpu$(comma)build$(comma)dev$(comma)nightly)
	touch $@ $(VENV)/dev.ready $(VENV)/demo.ready

$(VENV)/docs.ready: pyproject.toml constraints.txt
	$(call install,docs)
	touch $@

comma := ,
define install
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "$(PYTHON) is not Python 3.11 to 3.13; choose one: make PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); torch is the large part."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --progress-bar on $(PIP_ARGS) --constraint constraints.txt --editable '.[$(1)]'
endef
