# SPDX-License-Identifier: GPL-2.0-or-later
# Thin front: each target calls one program under scripts/.  "make help".

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.PHONY: all deps demo check check-unit check-qtest check-guest check-pair \
	check-gdb check-tools check-bench check-lint check-docs \
	check-stock-defects check-aarch64 soak fuzz coverage bench stock vm install clean distclean help fork-tree docs

all:            ## build build/qemu-system-x86_64 (configures when needed)
	@scripts/inner-build

deps:           ## install the Debian packages that are missing
	@scripts/install-deps

demo:           ## build, boot Debian's kernel, work every device, print a table
	@scripts/install-deps build guest
	@scripts/inner-build
	@scripts/demo

check:          ## all tests; ends with "N passed, N failed, N skipped"
	@scripts/install-deps build guest check bench docs
	@scripts/inner-build
	@scripts/check all

check-tools:    ## the build scripts, on a small stand-in for QEMU's tree
	@scripts/check tools

check-unit:     ## code that needs no QEMU, in seconds
	@scripts/check unit

check-qtest:    ## devices under qtest
	@scripts/check qtest

check-guest:    ## Debian kernels on the emulator
	@scripts/check guest

check-pair:     ## two virtual machines at once
	@scripts/check pair

check-gdb:      ## debugger commands
	@scripts/check gdb

check-bench:    ## the benchmark's deterministic part
	@scripts/check bench

check-lint:     ## overlay and patch rules, style
	@scripts/check lint

check-docs:     ## sphinx without warnings
	@scripts/check docs

check-stock-defects: ## upstream's ring defects, each still there with x-ring=stock
	@scripts/check stock-defects

check-aarch64:  ## a second emulator: its qtests, Debian's arm64 kernel (long)
	@scripts/install-deps
	@scripts/check aarch64

soak:           ## the full counts (long)
	@scripts/install-deps
	@scripts/inner-build
	@scripts/check --soak all fuzz aarch64

fuzz:           ## FUZZ_SECONDS (60) for each fuzzer; needs clang
	@scripts/install-deps build fuzz
	@scripts/inner-build
	@scripts/check fuzz

coverage:       ## lines and branches of the ring engine that unit tests reach
	@scripts/install-deps build check
	@scripts/ring-coverage

bench:          ## time and count rings; writes build/bench/report.html
	@scripts/install-deps build bench
	@scripts/inner-build
	@scripts/stock-build
	@scripts/bench

stock:          ## the unpatched base, with and without zeroed variables
	@scripts/stock-build

vm:             ## a shell in a guest; more by scripts/run-vm --help
	@scripts/inner-build
	@scripts/run-vm

install:        ## honours DESTDIR; the prefix is configure's, or PREFIX
	@scripts/install "$(PREFIX)" "$(DESTDIR)"

fork-tree:      ## build/fork-tree: a git repository of the composed tree
	@scripts/fork-tree

docs:           ## HTML of docs/ in build/docs
	@scripts/docs-build

clean:          ## remove builds, keep downloads
	@scripts/clean

distclean:      ## remove build/ altogether
	@scripts/clean --all

help:           ## this list
	@sed -n 's/^\([a-z-]*\): *## /\1\t/p' Makefile | expand -t 22
