# The ways to build, try and check claude-bottle. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The Go that go.mod names builds, also where a host's default is to take its own.
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),help)),)
export GOTOOLCHAIN := $(shell hack/toolchain.sh)
endif

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PREFIX ?= /usr/local
SYSTEMD ?= $(PREFIX)/lib/systemd/system
OPENRC ?= /etc/init.d
FUZZTIME ?= 20
FUZZ ?= .
BENCH ?= .
PAIRS ?= 11
SOAK_COUNT ?= 1000

# Another architecture's programs, ARCH=arm64 say, lie apart: in bin/ARCH and libexec/ARCH.
HOST := $(shell go env GOHOSTARCH)
ARCH ?= $(HOST)
BIN := bin$(if $(filter-out $(HOST),$(ARCH)),/$(ARCH))

GO_BUILD := CGO_ENABLED=0 GOARCH=$(ARCH) go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# What reads a bottle's own bytes, and the files of policy: `make test` fuzzes it each time.
HOSTILE := ^Fuzz(Message|Frames|Listing|Question|Check|Decode|Hello|Requests|Rules|Load|Extract|Wish)$$

# The main packages, by the name of their binary.
claude-bottle := ./cmd/claude-bottle
bottle-init := ./cmd/bottle-init
fake-anthropic := ./test/anthropic/cmd/fake-anthropic
PROGRAMS := $(foreach program,claude-bottle bottle-init fake-anthropic,$(if $(wildcard $($(program))),$(program)))

##@ Every day

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: $(PROGRAMS:%=$(BIN)/%) ## Build the programs into bin/

# Go knows best what is out of date, so its build is always asked.
.PHONY: $(PROGRAMS:%=$(BIN)/%)
$(PROGRAMS:%=$(BIN)/%): $(BIN)/%:
	@$(GO_BUILD) -o $@ $($*)

.PHONY: run
run: ## Set up, start the engine if need be, and try an agent in a bottle
	@hack/run.sh

.PHONY: test
test: root ## Set up, build, lint and run all tests (as root)
	@hack/setup.sh
	@$(MAKE) build
	@$(MAKE) lint
	@$(MAKE) unit
	@$(MAKE) fuzz FUZZTIME=4 FUZZ='$(HOSTILE)'
	@hack/test.sh bottles

##@ One stage at a time

.PHONY: setup
setup: ## Install packages, build tools and make images, where missing
	@hack/setup.sh

.PHONY: lint
lint: ## Check format, vet, golangci-lint and shellcheck
	@hack/lint.sh

.PHONY: unit
unit: ## Run the tests that need no daemon, with the race detector
	@hack/test.sh unit

.PHONY: integration
integration: root build ## Run the tests against a containerd of their own
	@hack/test.sh integration

.PHONY: e2e
e2e: root build ## Run whole stories with the built programs
	@hack/test.sh e2e

##@ Now and then

.PHONY: chaos
chaos: root build ## Strike at every step, and swap names while trees are copied (CHAOS_POINTS=1008 CHAOS_SEED=number)
	@hack/test.sh chaos
	@CLAUDE_BOTTLE_RACE=10000000 go test -count=1 -timeout 0 -v -run '^TestT14_NothingIsReadOrWritten' ./archive

.PHONY: dockerfile
dockerfile: root build ## Have BuildKit itself build images for bottles; the first time builds it, which takes minutes
	@hack/setup.sh buildkit
	@hack/test.sh dockerfile

.PHONY: audit
audit: ## Look for known vulnerabilities in what is called, here and in the programs of libexec/
	@hack/setup.sh tools audit
	@hack/audit.sh calls

.PHONY: soak
soak: root build ## Start and end bottles many times (SOAK_COUNT=1000)
	@SOAK_COUNT=$(SOAK_COUNT) hack/test.sh soak

.PHONY: recipe
recipe: root build ## Make an image of Debian's packages, from the mirror that apt of this host uses
	@hack/test.sh recipe

.PHONY: services
services: root release ## Boot machines with systemd and OpenRC, and run the release's package there as a service
	@hack/setup.sh services
	@hack/test.sh services

.PHONY: bench
bench: root build ## Compare with ctr, runsc, runc, tar, cp, git and veth, in pairs (BENCH=regular expression, PAIRS=11)
	@BENCH_PAIRS=$(PAIRS) hack/test.sh bench -run '$(BENCH)'

.PHONY: fuzz
fuzz: ## Run fuzz targets, each for a while (FUZZTIME=seconds, FUZZ=regular expression)
	@hack/fuzz.sh $(FUZZTIME) '$(FUZZ)'

.PHONY: install
install: build ## Copy the programs, the engine and the runtimes below PREFIX (/usr/local), the services where systemd and OpenRC look
	@ARCH=$(ARCH) hack/setup.sh tools
	@ARCH=$(ARCH) hack/release/release.sh programs "$(DESTDIR)$(PREFIX)"
	@install -D -m 0644 hack/systemd/claude-bottle-controller.service "$(DESTDIR)$(SYSTEMD)/claude-bottle-controller.service"
	@install -D -m 0755 hack/openrc/claude-bottle-controller "$(DESTDIR)$(OPENRC)/claude-bottle-controller"
	@sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' "$(DESTDIR)$(SYSTEMD)/claude-bottle-controller.service" "$(DESTDIR)$(OPENRC)/claude-bottle-controller"

.PHONY: release
release: build ## Make archive, .deb, .rpm, bill of materials and checksums in dist/ (ARCH=arm64 for that)
	@ARCH=$(ARCH) hack/setup.sh tools release
	@ARCH=$(ARCH) VERSION=$(VERSION) hack/release/release.sh all dist

.PHONY: emulated
emulated: root ## Run the release for arm64 in an emulated machine, with bottles under gVisor and runc (CPU=cortex-a72)
	@$(MAKE) release ARCH=arm64
	@ARCH=arm64 hack/setup.sh image emulator
	@hack/emulated.sh

.PHONY: clean
clean: ## Remove bin/ and dist/ (libexec/ stays: it takes minutes to make again)
	@rm -rf bin dist

.PHONY: root
root:
	@[[ $$EUID -eq 0 ]] || { echo "make: be root for this: it starts containerd and containers" >&2; exit 1; }
