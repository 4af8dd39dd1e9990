# husk: a short front for meson. `make help` lists what there is.
BUILD ?= build
RELEASE ?= build-release
PREFIX ?= /usr/local
DESTDIR ?=
MESON_FLAGS ?=

.PHONY: help build test unit system fuzz demo bench lint format install clean test-v2
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BUILD)/build.ninja: meson.build
	@scripts/install-packages build run
	@[ -f $@ ] || meson setup $(BUILD) --prefix $(PREFIX) $(MESON_FLAGS) >/dev/null

build: $(BUILD)/build.ninja ## the programs, in build/
	@ninja -C $(BUILD) --quiet

test: ## every test: unit (also under ASan and UBSan), system (also on cgroup v2 in a machine), fuzz corpora
	@scripts/install-packages build run test v2
	@scripts/run-tests.py

unit: build ## unit tests only
	@meson test -C $(BUILD) --print-errorlogs

system: build ## end-to-end tests only, on this machine's kernel
	@scripts/install-packages test
	@scripts/run-tests.py --only system

fuzz: ## each fuzz target for FUZZ_SECONDS (30) of processor time, from its kept corpus on
	@scripts/install-packages build test
	@scripts/run-tests.py --only fuzz --fuzz-seconds $${FUZZ_SECONDS:-30}

test-v2: build ## the system tests in a virtual machine with pure cgroup v2
	@scripts/install-packages test v2
	@scripts/test-v2

demo: build ## a pod of two containers: run, shown, removed
	@scripts/install-packages demo
	@scripts/demo

bench: build ## start, memory and many pods, peers in the same run
	@scripts/install-packages bench demo
	@bench/run

lint: build ## formatting, layers, clang-tidy, cppcheck
	@scripts/install-packages lint
	@scripts/lint

format: ## formats the C code in place
	@clang-format -i $$(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h')

install: ## to $(DESTDIR)$(PREFIX), without what only tests need
	@scripts/install-packages build run
	@[ -f $(RELEASE)/build.ninja ] || meson setup $(RELEASE) -Dtests=false -Dtest_hooks=no $(MESON_FLAGS) >/dev/null
	@meson configure $(RELEASE) --prefix $(PREFIX)
	@ninja -C $(RELEASE) --quiet
	@scripts/install-over $(RELEASE) "$(DESTDIR)/"

clean: ## removes what was built
	@rm -rf build build-asan build-clang build-fuzz build-release
