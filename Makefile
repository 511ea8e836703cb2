# ptiffstore: build, run, test. Needs Go and Node; "make test" and "make bench" need
# more, which scripts/setup installs when it may.
#
#   make run         build everything, make demo slides, serve them and print the URL
#   make build       bin/ptiffstore: static, with libjpeg-turbo and OpenJPEG where they can be
#                    linked (scripts/build), else pure Go; NATIVE=no always builds in pure Go
#   make test        every test
#   make test-long   the same with the long ones: hours
#   make lint        gofumpt, vet, staticcheck, shellcheck, govulncheck
#   make fuzz        every fuzz target for FUZZTIME (30s)
#   make bench       measure beside nginx, iipsrv and OpenSlide; writes docs/benchmarks.md
#   make soak        more load than the servers can bear, for SOAK (2m); writes docs/benchmarks.md
#   make release     archives, Debian and RPM packages, images of containers, digests, list of parts;
#                    the same commit gives the same bytes
#   make clean

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

FUZZTIME ?= 30s

# From git, and from CHANGELOG.md where git has no tag.
VERSION := $(shell scripts/version)
MAKEFLAGS += --no-print-directory

# A clone that belongs to another user cannot be stamped by go. What is built to be
# tested is built as what is shipped, so that it is compiled once; only the race
# detector needs cgo. Both builds resolve names and users in Go, so that they share all
# packages that use none of the C libraries.
TAGS := netgo,osusergo
GOFLAGS += -buildvcs=false -trimpath -tags=$(TAGS)
export GOFLAGS
export CGO_ENABLED := 0

# -- build

export NATIVE
DIST := internal/webui/dist/index.html
NPMCI := npm ci --no-audit --no-fund --loglevel=error

.PHONY: build
build: web
	@[[ $$(go env GOOS) != linux ]] || scripts/setup build || echo "continuing: without these the program is pure Go: it renders more slowly, and does not read JPEG 2000"
	@scripts/timed 'building the program' scripts/build bin/ptiffstore '$(VERSION)'

.PHONY: web
web: $(DIST)

WEBFILES := $(shell find webapp \( -name node_modules -o -name test-results -o -name e2e \) -prune -o -type f -print)

$(DIST): webapp/node_modules/.package-lock.json $(WEBFILES)
	@echo "== building the web application"
	@cd webapp && ../scripts/timed 'building the web application' npm run --silent build
	@touch $@

webapp/node_modules/.package-lock.json: webapp/package.json webapp/package-lock.json
	@scripts/need
	@echo "== fetching what the web application is built of"
	@cd webapp && { ../scripts/timed 'npm ci' $(NPMCI) || { sleep 5 && $(NPMCI); }; }
	@touch $@

# -- run

.PHONY: run
run: build
	@exec bin/ptiffstore demo

# -- test

# Vet looks at everything once, and not again with each way of building the tests. The
# linker writes no tables for debuggers, which take half of its time; stack traces need none.
GOTEST = $(2) go test -vet=off -ldflags='-s -w' -json $(1) | go run ./scripts/gotest $(3)

# The race detector needs a C compiler. It does not look into SQLite and the C library below
# it, which are C translated to Go: they would take ten times as long, and none of our
# variables are there. Only these packages: generic functions that others share would lose
# their checks.
RACE = $(if $(shell command -v gcc),-race $(foreach p,sqlite/lib libc memory,-gcflags=modernc.org/$(p)=-race=false))

# What is raced needs cgo anyway, and so is built with the codecs in C; what is not raced is
# built in pure Go. Packages with code of both kinds are tested in both builds.
NATIVETAG = $(patsubst %,-tags=%$(COMMA)$(TAGS),$(shell NATIVE=$(NATIVE) scripts/build --native))
COMMA := ,
NATIVEONLY := ./internal/codec ./internal/resample ./internal/jpeg2000
CODECS := ./internal/codec ./internal/planes ./internal/resample ./internal/render ./internal/convert ./internal/cutout

# One suite after the other: each keeps all processors busy. What tests need is downloaded and
# unpacked while vet compiles.
.PHONY: test
test:
	@times=$$(mktemp); trap 'rm -f "$$times"' EXIT; export TEST_TIMES=$$times; status=0; \
	$(MAKE) --keep-going -j2 setup-test vet || status=$$?; $(MAKE) build; \
	go run ./scripts/testdb $(MAKE) --keep-going vet-native test-go test-codecs test-web || status=$$?; \
	echo "== seconds of each package, suite and step, slowest first"; \
	sort -rn "$$times"; \
	exit $$status

.PHONY: test-long
test-long: export PTIFFSTORE_LONG = 1
test-long: setup-test vet vet-native
	@$(call GOTEST,$(RACE) -timeout 6h ./...,CGO_ENABLED=$(if $(RACE),1))
	@$(TESTRELEASE)

.PHONY: setup-test
setup-test:
	@scripts/need
	@scripts/timed 'installing what tests need' scripts/setup test || echo "continuing: tests that need these are skipped and say so"

.PHONY: vet
vet: web
	@echo "== vet"
	@scripts/timed vet go vet ./...
	@go vet -C scripts/release ./...

# With -trimpath, vet would look for the C files of a cached package where it was built first.
.PHONY: vet-native
vet-native:
	@[[ -z "$(NATIVETAG)" ]] || GOFLAGS=-buildvcs=false CGO_ENABLED=1 go vet $(NATIVETAG) $(wildcard $(NATIVEONLY))

# Packages that only compute take ten times as long under the race detector; test-long
# runs them under it. Others have no goroutines at all, and so no races.
UNRACED := tiff slide internal/barcode internal/codec internal/convert internal/cutout internal/dicom internal/icc internal/jpeg internal/planes internal/render internal/resample internal/synth
ALONE := internal/byterange internal/config internal/deploy internal/etag internal/fsx internal/iiif internal/instance internal/slideatlas internal/storeroot internal/strictjson internal/webui scripts/gotest scripts/licenses

# Nor are synthetic slides checked in the tests of other packages, nor what handles pixels and
# their codecs, nor what parses flags, which most tests of commands do many times: they took more than
# half of the processor time. These packages share no data
# with others through sync.Once, sync/atomic and sync.Map, and use no generic function that
# others use on shared data: their effects would be hidden from the detector.
UNCHECKED := $(if $(RACE),$(foreach p,image image/color image/draw image/jpeg image/png image/internal/imageutil compress/flate github.com/klauspost/compress/flate \
	github.com/alecthomas/kong \
	$(addprefix github.com/slideatlas/ptiffstore/,internal/synth internal/jpeg internal/planes internal/resample internal/icc internal/region test/picture),-gcflags=$(p)=-race=false))

# Many tests wait for servers, processes and databases: others use the processors meanwhile.
WAITING := -p 3 -parallel 6

# Tests of the command line run under the race detector only if they run a server in their
# process (PTIFFSTORE_PART, see cmd/ptiffstore/part_test.go). The others run a command, whose
# packages have raced tests of their own, or processes, which the detector does not reach.
# Both builds are tested side by side: one uses the processors while tests of the other wait.
.PHONY: test-go test-unraced test-raced test-release
test-go: web
	@echo "== tests"
	@$(if $(RACE),,echo "no gcc: without the race detector")
	@$(MAKE) --keep-going -j2 test-raced test-unraced test-release

# The longest come first.
test-unraced:
	@$(call GOTEST,-parallel 6 -timeout 40m $(if $(RACE),./cmd/ptiffstore) $(addprefix ./,$(wildcard $(UNRACED) $(ALONE))) .,$(if $(RACE),PTIFFSTORE_PART=others))

test-raced:
	@$(call GOTEST,$(RACE) $(if $(RACE),$(NATIVETAG)) $(UNCHECKED) $(WAITING) -timeout 40m $$(go list ./... | grep -vxE "$$(go list -m)(/($(subst $() ,|,$(UNRACED) $(ALONE))))?"),$(if $(RACE),CGO_ENABLED=1 PTIFFSTORE_PART=servers),$(if $(RACE),-race))

test-release:
	@$(TESTRELEASE)

# The release tool is a module of its own.
TESTRELEASE := go test -C scripts/release -vet=off -json ./... | go run ./scripts/gotest

# The packages with codecs in the build that test-go does not test them in.
.PHONY: test-codecs
test-codecs: web
	@echo "== tests of the codecs in the other build"
	@failed=0; pure=() native=(); \
	for p in $(wildcard $(CODECS)); do \
		if [[ " $(UNRACED:%=./%) " == *" $$p "* ]]; then native+=("$$p"); else pure+=("$$p"); fi; \
	done; \
	if [[ $${#pure[@]} -gt 0 ]]; then \
		$(call GOTEST,-timeout 15m "$${pure[@]}",,pure) || failed=1; \
	fi; \
	if [[ -n "$(NATIVETAG)" && $${#native[@]} -gt 0 ]]; then \
		$(call GOTEST,$(NATIVETAG) -timeout 15m "$${native[@]}",CGO_ENABLED=1,native) || failed=1; \
	fi; \
	exit $$failed

.PHONY: test-web
test-web: build
	@echo "== tests of the web application"
	@began=$$SECONDS; status=0; \
	if command -v chromium-headless-shell chromium >/dev/null; then \
		(cd webapp && npm test --silent) || status=$$?; \
	else \
		(cd webapp && npm run test:unit --silent) || status=$$?; \
		echo "browser tests not run: chromium is not installed"; \
	fi; \
	if [[ -n $${TEST_TIMES:-} ]]; then printf '%7.1f  webapp\n' $$((SECONDS - began)) >>"$$TEST_TIMES"; fi; \
	exit $$status

# -- maintain

.PHONY: lint
lint: web
	@scripts/setup lint || true
	@scripts/lint

.PHONY: fuzz
fuzz: web
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: build
	@scripts/setup bench || echo "continuing: servers that are not installed are not measured"
	@go run ./test/bench $(BENCH)

SOAK ?= 2m

.PHONY: soak
soak: build
	@go run ./test/bench -only soak -soak $(SOAK)

# -- release

DISTDIR ?= dist

.PHONY: release
release: web
	@scripts/setup release || echo "continuing: programs whose compiler or libraries are missing are pure Go"
	@go run -C scripts/release . -version '$(VERSION)' -revision "$$(git rev-parse HEAD 2>/dev/null)" \
		-time "$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}" -out '$(abspath $(DISTDIR))'

# What the program is made of, with its licences; to be run when that changes.
.PHONY: licenses
licenses: web
	@go run ./scripts/licenses > internal/licenses/licenses.txt.new
	@mv internal/licenses/licenses.txt.new internal/licenses/licenses.txt

.PHONY: clean
clean:
	rm -rf bin webapp/node_modules webapp/test-results
	find internal/webui/dist -mindepth 1 ! -name .keep -delete
