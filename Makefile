# Portcullis: everything there is to do, one target each. `make help` lists them.
# Targets may run in parallel (-j) and in several makes at once: the set-up steps
# and cargo take their own locks.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.SUFFIXES:

# -- Variables ---------------------------------------------------------------

##= WASM_TOOLCHAIN=auto: what compiles the filter, auto, rustup or debian
WASM_TOOLCHAIN ?= auto
##= WASM_SIMD=on: off, the filter does without WebAssembly's vector instructions
WASM_SIMD ?= on
##= PORTCULLIS_CACHE=~/.cache/portcullis: what set-up installs, shared by all clones
PORTCULLIS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/portcullis
##= CARGO_FLAGS=: passed to every cargo, such as --locked
CARGO_FLAGS ?=
##= LISTEN=127.0.0.1:2525: run: where clients connect
LISTEN ?= 127.0.0.1:2525
##= UPSTREAM=: run: the mail server, host:port; empty starts a demo one
UPSTREAM ?=
##= ADMIN=127.0.0.1:9901: run: Envoy's admin page
ADMIN ?= 127.0.0.1:9901
##= STATUS=127.0.0.1:8025: run: the page that shows what happens, or off
STATUS ?= 127.0.0.1:8025
##= POLICY=: run: a policy file (envoy/policies/); empty is the default policy
POLICY ?=
##= WORKERS=2: run: worker threads
WORKERS ?= 2
##= PROXY_PROTOCOL=off: run: on, clients come through a PROXY v1/v2 front
PROXY_PROTOCOL ?= off
##= UPSTREAM_PROXY_PROTOCOL=off: run: v1 or v2, tell the mail server the client
UPSTREAM_PROXY_PROTOCOL ?= off
##= DNSBL=off: run: on asks demo blocklists, host:port your resolver (with POLICY)
DNSBL ?= off
##= FLEET=off: run: on shares what is known by Redis and Webdis, host:port is yours
FLEET ?= off
##= STARTTLS=off: run, image: on ends TLS here, a directory has tls.crt and tls.key to use
STARTTLS ?= off
##= HOST=envoy: run: envoy, or sim for machines without Envoy
HOST ?= envoy
##= DEMO_ARGS=: demo: flags of portcullis-demo, such as --bots 50 or --starttls
DEMO_ARGS ?=

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
SETUP := scripts/setup

PORTCULLIS_WASM := $(TARGET)/portcullis.wasm
PORTCULLIS_STARTTLS := $(TARGET)/libportcullis_starttls.so
PORTCULLIS_HOST_SIM := $(TARGET)/debug/host-sim
PORTCULLIS_STATUS := $(TARGET)/debug/portcullis-status
PORTCULLIS_ENVOY = $(shell $(SETUP)/envoy --path)
PORTCULLIS_EXIM = $(shell $(SETUP)/exim --path)
PORTCULLIS_PYTHON = $(shell $(SETUP)/python-clients --path)
PORTCULLIS_KUBERNETES = $(shell $(SETUP)/kubernetes --path)
PORTCULLIS_DASHBOARDS = $(shell $(SETUP)/dashboards --path)
export WASM_TOOLCHAIN WASM_SIMD PORTCULLIS_CACHE
# A failed expectation says what it is; where anyhow was called tells nothing more.
export RUST_LIB_BACKTRACE ?= 0

# What the launcher, the demo and the tests are told.
WHERE = PORTCULLIS_WASM='$(PORTCULLIS_WASM)' PORTCULLIS_STARTTLS='$(PORTCULLIS_STARTTLS)' \
	PORTCULLIS_HOST_SIM='$(PORTCULLIS_HOST_SIM)' PORTCULLIS_STATUS='$(PORTCULLIS_STATUS)' \
	PORTCULLIS_ENVOY='$(PORTCULLIS_ENVOY)' PORTCULLIS_EXIM='$(PORTCULLIS_EXIM)' \
	PORTCULLIS_PYTHON='$(PORTCULLIS_PYTHON)' PORTCULLIS_KUBERNETES='$(PORTCULLIS_KUBERNETES)' \
	PORTCULLIS_DASHBOARDS='$(PORTCULLIS_DASHBOARDS)'

# Always the same selection: cargo unites features over what is selected, tests'
# dependencies included once any test is, and another one would compile wasmtime
# once more. That is why programs are built together with one small test.
NATIVE := --workspace --exclude portcullis-filter --features portcullis-core/schema
PROGRAMS := --bins --test wasm_artifact
E2E = $(patsubst tests/tests/%.rs,--test %,$(wildcard tests/tests/*.rs)) \
	$(patsubst tests/tests/%/main.rs,--test %,$(wildcard tests/tests/*/main.rs))

# -- Everyday ----------------------------------------------------------------

.PHONY: help
help: ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-24s %s\n", $$1, $$2 }'
	@echo 'Variables (make TARGET NAME=value), with their defaults:'
	@sed -n 's/^##= \([^:]*\(:[0-9]*\)\{0,1\}\): \(.*\)/  \1|\3/p' Makefile | awk -F'|' '{ printf "%-40s %s\n", $$1, $$2 }'

.PHONY: run
run: wasm build $(if $(filter off,$(STARTTLS)),,starttls setup-tls) $(if $(filter sim,$(HOST)),,setup-envoy) $(if $(filter on,$(DNSBL)),setup-dnsbl) $(if $(filter on,$(FLEET)),setup-fleet) ## start the guard before a mail server; Ctrl-C ends it
	@exec env $(WHERE) '$(TARGET)/debug/portcullis-run' \
		--listen '$(LISTEN)' --admin '$(ADMIN)' --workers '$(WORKERS)' --host '$(HOST)' \
		--proxy-protocol '$(PROXY_PROTOCOL)' --upstream-proxy-protocol '$(UPSTREAM_PROXY_PROTOCOL)' \
		--dnsbl '$(DNSBL)' --fleet '$(FLEET)' \
		--starttls '$(STARTTLS)' --status '$(STATUS)' \
		$(if $(UPSTREAM),--upstream '$(UPSTREAM)') $(if $(POLICY),--policy '$(POLICY)')

.PHONY: demo
demo: wasm build setup-envoy $(if $(findstring --starttls,$(DEMO_ARGS)),starttls setup-tls) $(if $(findstring --dnsbl on,$(DEMO_ARGS)),setup-dnsbl) ## play the attack without and with the guard
	@exec env $(WHERE) '$(TARGET)/debug/portcullis-demo' $(DEMO_ARGS)

##= BENCH_ARGS=: bench: its flags, such as --quick, --only wire, --contestants bare,portcullis
.PHONY: bench
bench: wasm build setup-envoy setup-packages setup-bench ## what the guard costs, beside others; target/bench/report.html
	@exec env $(WHERE) PORTCULLIS_HARAKA='$(shell $(SETUP)/bench --path)' \
		'$(TARGET)/debug/portcullis-bench' --output '$(TARGET)/bench' $(BENCH_ARGS)

##= BENCH_CORE_ARGS=: bench-core: which benches, and criterion's flags, such as tracker --quick
.PHONY: bench-core
bench-core: setup-rust ## what the core costs, native and without Envoy: commands/s and bytes/s
	@cargo bench --quiet $(CARGO_FLAGS) -p portcullis-core --bench core -- $(BENCH_CORE_ARGS)

.PHONY: bar-attack
bar-attack: wasm build ## a million simulated attack sessions: in 5 minutes, in 2 GB, the same twice
	@scripts/bar-attack '$(PORTCULLIS_HOST_SIM)' '$(PORTCULLIS_WASM)'

.PHONY: test
test: wasm starttls setup-envoy setup-packages setup-exim setup-python-clients setup-node setup-wasm-bindgen-runner setup-kubernetes setup-dashboards ## every test: native, wasm32 in Node, real Envoy and Postfix
	@$(WHERE) CARGO_FLAGS='$(CARGO_FLAGS)' scripts/test-all $(NATIVE)

.PHONY: test-counts
test-counts: ## the counts of the last `make test`, once more
	@cat '$(TARGET)/test-counts'

.PHONY: ci
ci: ## what continuous integration runs
	@bash .ci/run

.PHONY: clean
clean: ## remove what was built here (not what set-up installed)
	rm -rf '$(TARGET)' .run

# -- Building ----------------------------------------------------------------

.PHONY: wasm
wasm: setup-wasm-toolchain setup-wasm-opt ## build target/portcullis.wasm
	@scripts/wasm-build '$(PORTCULLIS_WASM)' $(CARGO_FLAGS)

.PHONY: starttls
starttls: setup-rust ## build target/libportcullis_starttls.so, the native module for STARTTLS
	@echo 'build: module for STARTTLS'
	@cargo build --quiet $(CARGO_FLAGS) --profile native -p portcullis-starttls
	@cmp -s '$(TARGET)/native/libportcullis_starttls.so' '$(PORTCULLIS_STARTTLS)' || { \
		cp '$(TARGET)/native/libportcullis_starttls.so' '$(PORTCULLIS_STARTTLS).new' && \
		mv '$(PORTCULLIS_STARTTLS).new' '$(PORTCULLIS_STARTTLS)'; }

.PHONY: certificate
certificate: setup-tls ## make a self-signed certificate to try, in target/tls
	@scripts/certificate '$(TARGET)/tls'

.PHONY: build
build: setup-rust ## build the native programs: host-sim, status page, launcher, demo
	@echo 'build: native programs'
	@cargo build --quiet $(CARGO_FLAGS) $(NATIVE) $(PROGRAMS)

.PHONY: schema
schema: setup-rust ## write envoy/policy.schema.json and docs/settings.md from the policy's types
	@scripts/schema --write $(CARGO_FLAGS) $(NATIVE)

.PHONY: image
image: wasm setup-image $(if $(filter off,$(STARTTLS)),,starttls) ## an OCI image of the filter in target/image, and its digest (STARTTLS=on: with the module)
	@scripts/image $(if $(filter off,$(STARTTLS)),,--module '$(PORTCULLIS_STARTTLS)') \
		'$(PORTCULLIS_WASM)' '$(TARGET)/image$(if $(filter off,$(STARTTLS)),,-starttls)' $(CARGO_FLAGS)

.PHONY: manifests
manifests: build ## write the generated files of envoy/kubernetes, the dashboard and the rules among them
	@'$(TARGET)/debug/portcullis-manifests'

# -- Checking ----------------------------------------------------------------

.PHONY: lint
lint: setup-rust setup-wasm-toolchain ## formatting and clippy, native and wasm32
	@echo 'lint: cargo fmt'
	@cargo fmt --all --check
	@echo 'lint: cargo clippy, native'
	@cargo clippy --quiet $(CARGO_FLAGS) $(NATIVE) --all-targets -- -D warnings
	@echo 'lint: cargo clippy, wasm32'
	@scripts/wasm-cargo clippy --quiet -p portcullis-filter $(CARGO_FLAGS) -- -D warnings

.PHONY: doc
doc: setup-rust ## the libraries' documentation, without a warning (target/doc)
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --lib $(CARGO_FLAGS) $(NATIVE)

.PHONY: deny
deny: setup-rust ## licences, bans and sources of dependencies (needs cargo-deny)
	@cargo deny --offline check licenses bans sources

.PHONY: test-core
test-core: setup-rust ## the core's tests, native: the quick loop
	@cargo test $(CARGO_FLAGS) -p portcullis-core

.PHONY: test-wasm-node
test-wasm-node: setup-wasm-toolchain setup-node setup-wasm-bindgen-runner ## the core's unit tests as WebAssembly in Node
	@scripts/test-wasm-node $(CARGO_FLAGS)

.PHONY: test-e2e
test-e2e: wasm starttls build setup-envoy setup-packages setup-exim setup-python-clients setup-kubernetes setup-dashboards ## only the tests on real Envoy and real servers
	@$(WHERE) cargo test $(CARGO_FLAGS) $(NATIVE) $(E2E) --no-fail-fast

.PHONY: kubernetes-check
kubernetes-check: setup-rust setup-kubernetes ## the manifests: built, valid for three versions, secure
	@$(WHERE) cargo test --quiet $(CARGO_FLAGS) $(NATIVE) --test kubernetes

.PHONY: rules-check
rules-check: setup-rust setup-prometheus setup-dashboards ## dashboard and rules: valid, and alerts fire when they should
	@$(WHERE) cargo test --quiet $(CARGO_FLAGS) $(NATIVE) --test dashboards

.PHONY: sizing
sizing: wasm build setup-envoy setup-packages setup-kubernetes ## what a pod of the guard takes, measured here
	@exec env $(WHERE) '$(TARGET)/debug/portcullis-sizing'

.PHONY: fleet-soak
fleet-soak: wasm build setup-envoy setup-packages setup-kubernetes ## the fleet test for longer, with a message of 100 MB
	@PORTCULLIS_FLEET=soak $(WHERE) cargo test $(CARGO_FLAGS) $(NATIVE) --test kubernetes_fleet -- --nocapture

##= SOAK_ARGS=: soak-starttls: its flags, such as --sessions 2000
.PHONY: soak-starttls
soak-starttls: wasm starttls build setup-envoy setup-tls ## 10,000 sessions by STARTTLS: failures, CPU, memory
	@$(WHERE) '$(TARGET)/debug/portcullis-soak-starttls' $(SOAK_ARGS)

.PHONY: instructions
instructions: wasm ## what the filter costs: wasm instructions, octets of a session
	@$(WHERE) cargo test --quiet $(CARGO_FLAGS) $(NATIVE) --test instructions -- --nocapture

##= BAR_RECORDS_ARGS=: bar-records: its flags, such as --rounds 15
.PHONY: bar-records
bar-records: wasm build setup-envoy ## records and transcripts of all sessions: 10 % of Envoy's CPU at most
	@$(WHERE) '$(TARGET)/debug/portcullis-bar-records' $(BAR_RECORDS_ARGS)

.PHONY: wasm-check
wasm-check: wasm ## size, imports, exports and freshness of the .wasm
	@PORTCULLIS_WASM='$(PORTCULLIS_WASM)' cargo test --quiet $(CARGO_FLAGS) $(NATIVE) --test wasm_artifact

.PHONY: schema-check
schema-check: setup-rust ## fails when envoy/policy.schema.json or docs/settings.md is stale
	@scripts/schema --check $(CARGO_FLAGS) $(NATIVE)

# -- Set-up ------------------------------------------------------------------

STEPS := rust wasm-toolchain wasm-opt envoy packages exim python-clients node wasm-bindgen-runner kubernetes dashboards

.PHONY: setup
setup: $(STEPS:%=setup-%) ## install all that the targets above need (they do it themselves, too)
	@echo 'setup: complete'

.PHONY: $(STEPS:%=setup-%)
$(STEPS:%=setup-%): setup-%:
	@$(SETUP)/$*
setup-wasm-toolchain setup-wasm-bindgen-runner: setup-rust
# The package lists are fetched by the other one.
setup-exim: setup-packages

# What `make run DNSBL=on` needs of the packages.
.PHONY: setup-dnsbl
setup-dnsbl:
	@$(SETUP)/packages rbldnsd dnsdist

# What a certificate to try needs of the packages.
.PHONY: setup-tls
setup-tls:
	@$(SETUP)/packages openssl

# What `make rules-check` needs of the packages.
.PHONY: setup-prometheus
setup-prometheus:
	@$(SETUP)/packages prometheus

# What `make run FLEET=on` needs of the packages.
.PHONY: setup-fleet
setup-fleet:
	@$(SETUP)/packages redis-server webdis

# Whom `make bench` measures the guard against; one that cannot be installed is left out.
.PHONY: setup-bench
setup-bench: setup-packages
	@$(SETUP)/bench

# What `make image` needs of the packages.
.PHONY: setup-image
setup-image:
	@$(SETUP)/packages buildah
