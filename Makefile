# The two commands of this project are `make tune` and `make test`; README.md says what they show.
#
#   make tune [ARCH=gfx950] [ROCM=7.2|6.4] [SHAPES=configs/shapes/quick.yaml] [ARGS="--budget 10m"]
#   make release-matrix [ARCHS="gfx950 gfx942"] [RELEASES="6.4 7.2"] [MATRIX_DB=FILE] [MATRIX_SHAPES=F] [MATRIX_CODE_OBJECTS=N]
#   make page                                    rebuilds reports/page/dist/page.html; needs node and npm
#   make test | asan | bench | lint | format | install [PREFIX=/usr/local] [DESTDIR=] | clean

ARCH   ?= gfx950
ROCM   ?= 7.2
SHAPES ?= configs/shapes/quick.yaml
ARGS   ?=
JOBS   ?= $(shell nproc)
PREFIX ?= /usr/local

ARCHS    ?= gfx950 gfx942
RELEASES ?= 6.4 7.2
MATRIX_DB           ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/mla-tune/release-matrix.db
MATRIX_SHAPES       ?= configs/shapes/release.yaml
MATRIX_CODE_OBJECTS ?= 150

SOURCES = $(shell git ls-files '*.cpp' '*.hpp' '*.h')
SCRIPTS = $(shell git ls-files '*.sh' '*.sbatch' .ci/run)

.PHONY: tune release-matrix test asan bench lint format install packages style-packages rocm build page clean

tune: build rocm
	build/mla-tune tune --arch $(ARCH) --rocm $(ROCM) --shapes $(SHAPES) $(ARGS)

# Every arch by every release, in one database, and the report of the first release against the last.
release-matrix: build
	scripts/release_matrix.sh build/mla-tune "$(MATRIX_DB)" $(MATRIX_SHAPES) $(MATRIX_CODE_OBJECTS) "$(ARCHS)" "$(RELEASES)"

build: packages
	@cmake --preset release > build-log.txt 2>&1 || { cat build-log.txt; exit 1; }
	@rm -f build-log.txt
	cmake --build build --parallel $(JOBS) --target tools

# The whole suite; CTest closes with the number of tests. hipRTC is fetched so that the tests that compile for gfx950
# run; where it cannot be had they skip and say so.
test: packages
	-@$(MAKE) --no-print-directory rocm
	cmake --preset release
	cmake --build build --parallel $(JOBS)
	ctest --test-dir build --output-on-failure --parallel $(JOBS)

asan: packages
	-@$(MAKE) --no-print-directory rocm
	cmake --preset asan
	cmake --build build-asan --parallel $(JOBS)
	ctest --test-dir build-asan --output-on-failure --parallel $(JOBS)

bench: packages
	cmake --preset bench
	cmake --build build-bench --parallel $(JOBS) --target mla_benchmarks mla_bundle_bench mla_dispatch_bench mla_regret_bench model_ranking
	build-bench/mla_benchmarks
	build-bench/mla_bundle_bench
	build-bench/mla_dispatch_bench
	build-bench/mla_regret_bench

install: build
	DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

format: style-packages
	clang-format -i $(SOURCES)

lint: style-packages
	clang-format --dry-run --Werror $(SOURCES)
	shellcheck --severity warning $(SCRIPTS)
	cmake --preset release
	@printf '%s\n' $(filter db/%.cpp kernels/%.cpp reports/%.cpp tuner/%.cpp,$(SOURCES)) \
	  | xargs -P $(JOBS) -n 1 sh -c 'found=$$(clang-tidy --quiet -p build "$$0" 2>&1) || { echo "$$found"; exit 1; }'

page:
	cd reports/page && npm ci --silent && npm run --silent build

packages:
	@scripts/install_packages.sh

style-packages:
	@scripts/install_packages.sh style

rocm:
	@scripts/ensure_rocm.sh $(ROCM)

clean:
	rm -rf build build-asan build-bench
