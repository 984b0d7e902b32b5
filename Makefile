# Every routine action by name; `make help` lists them. CI calls only these.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Another command may stand before the compiler: make SWIFT="nice swift" build
SWIFT ?= swift
RELEASE := .build/release/ftpsgate
SWIFT_FILES := Package.swift Sources Tests

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-24s %s\n", $$1, $$2 } /^## / { print "\n" substr($$0, 4) }' $(MAKEFILE_LIST)

## Use it

.PHONY: demo run
demo: ## ftpsgate before a real FTP server, with a client session; ONCE=1 ends it after that
	@Tests/dependencies.sh demo
	@$(MAKE) --no-print-directory build
	@deploy/demo.sh

run: ## ftpsgate before your own server: make run BACKEND=host:21
	@test -n "$(BACKEND)" || { echo "Name your FTP server: make run BACKEND=host:21"; exit 64; }
	@$(MAKE) --no-print-directory build
	@deploy/run.sh "$(BACKEND)"

## Build

.PHONY: build debug deps clean
build: ## a release build at .build/release/ftpsgate
	@Tests/dependencies.sh build
	@$(SWIFT) build -c release --static-swift-stdlib --product ftpsgate

debug: ## a debug build at .build/debug/ftpsgate
	@Tests/dependencies.sh build
	@$(SWIFT) build --product ftpsgate

deps: ## install what the tests need (Debian 12)
	@Tests/dependencies.sh test

clean: ## remove all that was made
	rm -rf .build demo-files

## Ship it

.PHONY: image image-test deb deb-test man
image: ## the container images ftpsgate and ftpsgate-vsftpd, with a Docker engine or without one
	@docker info >/dev/null 2>&1 || Tests/dependencies.sh image
	@deploy/image/build.sh ftpsgate vsftpd

image-test: image ## run the image and compose.yaml: real clients, read-only, unprivileged, drained on stop
	@Tests/dependencies.sh image
	@deploy/image/test.py

deb: ## the Debian package in .build/deb
	@Tests/dependencies.sh build
	@Tests/dependencies.sh deb
	@SWIFT="$(SWIFT)" deploy/debian/build.sh

deb-test: deb ## its life in a Debian of its own: install, start, use, reload, watchdog, upgrade, remove, purge
	@FTPSGATE_BINARY=.build/static/release/ftpsgate FTPSGATE_DEB_VERSION=999 deploy/debian/build.sh
	@deploy/debian/test.py

man: debug ## the manual pages in .build/man
	@deploy/manual.py .build/debug/ftpsgate .build/man

## Test

.PHONY: test unit interop fuzz test-ktls transitions check
test: deps ## install what is needed, build, run all tests
	@$(MAKE) --no-print-directory -k build unit interop

unit: ## unit tests; of one module: make unit M=FTPSession
	@Tests/dependencies.sh build
	@$(SWIFT) test --parallel $(if $(M),--filter '^$(M)Tests\.')

interop: deps ## real clients and servers through a release build; one file: make interop T=test_passive
	@test -x "$${FTPSGATE:-$(RELEASE)}" || $(MAKE) --no-print-directory build
	@Tests/Interop/run.sh $(T)

fuzz: ## parsers, session and relay against random input for SECONDS_EACH=10; one: make fuzz T=Replies
	@Tests/dependencies.sh build
	@$(MAKE) --no-print-directory -f Tests/Fuzz/Makefile -k -j $$(nproc) --output-sync=target

test-ktls: ## --ktls on a kernel that has it: Debian's, in qemu, with real clients and servers; five minutes
	@Tests/dependencies.sh kernel
	@test -x "$${FTPSGATE:-$(RELEASE)}" || $(MAKE) --no-print-directory build
	@Tests/Kernel/run.py

transitions: ## rewrite the golden table of the session machine; review it as a diff
	@FTPSGATE_WRITE_TRANSITIONS=1 $(SWIFT) test --filter '^FTPSessionTests\.' && git diff --stat -- Tests/FTPSessionTests/Transitions.txt

check: lint test ## most of what CI runs

## Measure

.PHONY: bench bench-gate
bench: ## the gateway beside its peers; QUICK=1 for two minutes; ONLY=bulk,files for some scenarios
	@Tests/dependencies.sh bench
	@test -x "$${FTPSGATE:-$(RELEASE)}" || $(MAKE) --no-print-directory build
	@Tests/Bench/bench.py $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

bench-gate: ## fails when system calls, instructions or memory for a GiB, a file, a command or an idle session have grown
	@Tests/dependencies.sh gate
	@test -x "$${FTPSGATE:-$(RELEASE)}" || $(MAKE) --no-print-directory build
	@Tests/Bench/gate.py

## Tidy

.PHONY: format lint imports docs
docs: debug ## rewrite the README's table of flags from the parser
	@deploy/flags-table.py .build/debug/ftpsgate README.md

format: ## format all Swift
	@$(SWIFT) format -i -r $(SWIFT_FILES)

lint: deps imports ## format, imports, shell, Python
	@$(SWIFT) format lint --strict -p -r $(SWIFT_FILES)
	@git ls-files '*.sh' .ci/run | xargs -r shellcheck
	@.build/venv/bin/ruff check --quiet --config Tests/Interop/ruff.toml Tests deploy
	@echo "lint: clean"

imports: ## the import graph: nothing points up, C stays behind its wrapper
	@Tests/imports.sh
