# Every target is a sentence in `make help`. CI runs .ci/run, which calls these
# targets and nothing else.

GO       ?= go
RACE     ?= -race
# 1 for the tests that take many seconds as well.
SLOW     ?=
# What is left out, as a pattern of names; nothing by default.
SKIP     ?= ^$$
TIMEOUT  ?= 20m
FUZZTIME ?= 60s
ROUNDS   ?= 1

# How long the chaos lasts, in seconds, with one Redis and with a cluster, and what
# happens in it; empty for anything.
CHAOS    ?= 60
SHARDS   ?= 20
SEED     ?=
# quick for a bench of one minute, judged for one of the routes that have targets.
BENCH    ?=
BIN      := bin

# A module file of their own keeps the tools' dependencies out of go.mod, and
# their checksums in .ci/tools.sum.
LINT := $(GO) tool -modfile=.ci/tools.mod golangci-lint
# Without what else may be on a machine: it would find more on one than on another.
ACTIONLINT := $(GO) tool -modfile=.ci/actionlint.mod actionlint -shellcheck= -pyflakes=

export GO FUZZTIME

.DEFAULT_GOAL := help
# What measures time is tested after the rest and alone: beside others it would
# measure them.
TIMED := ./cmd/parley ./store/redis

.PHONY: help run build test race suite test-jaeger alerts kql stand-observe stand stand-outage stand-down short contract chaos browser lint vuln fmt fuzz bench benchmarks client verify reproducible release-check sbom clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run the service with the emulated agent and the store in memory; needs nothing else.
	REDIS_URL= HOST=127.0.0.1 COPILOT_EMULATOR=true AUTH_REQUIRED=false $(GO) run ./cmd/parley

build: ## Build every command into bin/.
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/...

test: ## Run all tests but the slow, with Redis in a container that is set up if need be; REQUIRE_DOCKER=1 forbids skipping.
	@$(MAKE) --no-print-directory suite RACE=

race: ## Run all tests, the slow as well, with the race detector, but for what make contract and make chaos run as a whole.
	.ci/race.sh
	@$(MAKE) --no-print-directory suite SLOW=1 SKIP='^(TestMatrix|TestMatrixShards|TestCallers|TestRulesMutants|TestMutantsOnRedis|TestShardMutants|TestChaos|TestChaosShards)$$'

suite:
	export PARLEY_SLOW=$(SLOW); env=$$(contracttest/redistest/setup.sh) && eval "$$env" && \
	timed=$$($(GO) list $(TIMED)) && rest=$$($(GO) list ./... | grep -vxF "$$timed") && status=0 && \
	{ $(GO) test $(RACE) -skip='$(SKIP)' -shuffle=on -timeout=$(TIMEOUT) $$rest || status=1; \
	$(GO) test $(RACE) -skip='$(SKIP)' -shuffle=on -timeout=$(TIMEOUT) -p=1 $$timed || status=1; exit $$status; }

test-jaeger: ## Find provoked failures in a real Jaeger by the guide's query; the first run builds it, which takes minutes.
	CGO_ENABLED=0 $(GO) build -modfile=.ci/jaeger.mod -trimpath -ldflags='-s -w' -o $(BIN)/jaeger github.com/jaegertracing/jaeger/cmd/jaeger
	PARLEY_JAEGER=$(abspath $(BIN))/jaeger $(GO) test -count=1 -run=Jaeger ./cmd/parley

alerts: ## Have promtool try each rule of telemetry/alerts.yaml: it fires, ends, and does not fire for less; the first run builds promtool, which takes minutes.
	CGO_ENABLED=0 $(GO) build -modfile=.ci/prometheus.mod -tags remove_all_sd -trimpath -ldflags='-s -w' -o $(BIN)/promtool github.com/prometheus/prometheus/cmd/promtool
	$(BIN)/promtool test rules telemetry/testdata/alerts/*.yaml

stand-observe: ## Build a Collector, Jaeger and Prometheus from their modules, wire them with the files of telemetry/, provoke failures, and ask what the guide asks; the first run takes many minutes.
	cd .ci/collector && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $(abspath $(BIN))/collector .
	CGO_ENABLED=0 $(GO) build -modfile=.ci/prometheus.mod -tags remove_all_sd -trimpath -ldflags='-s -w' -o $(BIN)/prometheus github.com/prometheus/prometheus/cmd/prometheus
	CGO_ENABLED=0 $(GO) build -modfile=.ci/jaeger.mod -trimpath -ldflags='-s -w' -o $(BIN)/jaeger github.com/jaegertracing/jaeger/cmd/jaeger
	PARLEY_STAND=$(abspath $(BIN)) PARLEY_JAEGER=$(abspath $(BIN))/jaeger $(GO) test -count=1 -run='^TestStand' ./cmd/parley

stand: ## Start two instances behind a proxy with Redis, the emulated agent, Collector, Jaeger, Prometheus and Grafana, and say where they are; needs Docker Compose and a registry.
	telemetry/stand/start.sh

stand-outage: ## Take Redis away from the stand for 20 s while requests are made, and say where to look.
	telemetry/stand/outage.sh

stand-down: ## End the stand and remove what it stored.
	docker compose --profile stand down --volumes

kql: ## Have Microsoft's own parser read the queries for Azure Monitor; needs Node and npm.
	npm install --silent --no-audit --no-fund --no-save --prefix $(BIN)/kql @kusto/language-service-next@12.4.1
	NODE_PATH=$(BIN)/kql/node_modules node .ci/kql/check.js

short: ## Run the tests that need no container.
	.ci/race.sh
	$(GO) test $(RACE) -short -shuffle=on -timeout=$(TIMEOUT) ./...

contract: ## Try every fault of Redis and of the agent on every route, of a Redis of several nodes under load, a minute without Redis, what one caller can do to others, a server in another language, the client that is served, and that the tests find mutants; print the reports and write them to bin/contract. REQUIRE_NODE=1 forbids skipping what runs in Node.
	.ci/race.sh
	env=$$(contracttest/redistest/setup.sh && .ci/node.sh) && eval "$$env" && status=0 && \
	{ $(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run='^TestMutants$$' ./contracttest -args -contract.exact || status=1; \
	$(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run='^TestMatrix$$' ./cmd/parley -args -matrix.all -matrix.report=$(CURDIR)/$(BIN)/contract -matrix.rounds=$(ROUNDS) || status=1; \
	$(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run='^TestMatrix(Shards|Mutants)$$' ./cmd/parley -args -matrix.all -matrix.report=$(CURDIR)/$(BIN)/contract -matrix.rounds=$(ROUNDS) || status=1; \
	$(GO) test -count=1 -timeout=$(TIMEOUT) -run='^TestOnParley$$' ./cmd/parley-contract -args -contract.quick -contract.report=$(CURDIR)/$(BIN)/contract || status=1; \
	$(GO) test -count=1 -timeout=$(TIMEOUT) -run='^TestServerInAnotherLanguage$$' ./cmd/parley-contract || status=1; \
	$(GO) test -count=1 -timeout=$(TIMEOUT) -run='^TestClient$$' ./cmd/parley || status=1; \
	$(GO) run ./cmd/parley-contract self-test --report $(CURDIR)/$(BIN)/contract || status=1; \
	$(GO) test -count=1 -timeout=$(TIMEOUT) -run='^TestCallers' ./cmd/parley -args -matrix.all -matrix.report=$(CURDIR)/$(BIN)/contract || status=1; \
	{ $(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run='^TestBlackHole$$' ./store/redis -args -redis.blackhole=1m & } && blackhole=$$! && \
	PARLEY_SLOW=1 $(GO) test -count=1 -timeout=$(TIMEOUT) -run='^TestRulesMutants$$' ./cmd/parley || status=1; \
	PARLEY_SLOW=1 $(GO) test -count=1 -timeout=$(TIMEOUT) -run='^(TestShardMutants|TestMutantsOnRedis)$$' ./store/redis || status=1; \
	wait $$blackhole || status=1; \
	cat $(BIN)/contract/matrix.txt $(BIN)/contract/shards.txt $(BIN)/contract/callers.txt; exit $$status; }

chaos: ## Kill, stop and cut off two replicas for CHAOS (60) seconds, and the nodes of a cluster for SHARDS (20), by a SEED, and see that nothing is lost.
	.ci/race.sh
	env=$$(contracttest/redistest/setup.sh) && eval "$$env" && PARLEY_SLOW=1 PARLEY_CHAOS_SECONDS=$(CHAOS) PARLEY_CHAOS_SHARDS_SECONDS=$(SHARDS) PARLEY_CHAOS_SEED=$(SEED) \
		$(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run '^TestChaos' -v ./cmd/parley

browser: ## Have a real Chromium talk to two instances through resets, kills and a Redis that stands still, and use the page /try, of which bin/browser has pictures; REQUIRE_BROWSER=1 forbids skipping.
	.ci/race.sh
	env=$$(contracttest/redistest/setup.sh && .ci/browser.sh) && eval "$$env" && PARLEY_SCREENSHOTS=$(CURDIR)/$(BIN)/browser \
		$(GO) test $(RACE) -count=1 -timeout=$(TIMEOUT) -run '^TestBrowser' -v ./cmd/parley

lint: ## Run go vet, the pinned golangci-lint, and actionlint on the workflows; the first run builds them, which takes minutes.
	$(GO) vet ./...
	$(LINT) run ./...
	$(ACTIONLINT) .github/workflows/*.yml

vuln: ## Look for known faults in what the code calls; REQUIRE_VULNDB=1 fails where the database cannot be reached.
	.ci/vuln

fmt: ## Format the code the way lint wants it.
	$(LINT) fmt ./...

fuzz: ## Run every fuzz target for FUZZTIME (60s).
	.ci/fuzz

bench: build ## Measure the service beside a bare one, each a process with a real Redis: ten minutes, BENCH=quick one, BENCH=judged three with only the routes that have targets; the results are in bin/bench.json as well.
	env=$$(contracttest/redistest/setup.sh) && eval "$$env" && $(BIN)/parley-bench -programs $(BIN) -json $(BIN)/bench.json $(addprefix -,$(BENCH))

benchmarks: ## Run the Go benchmarks; those on Redis need what `make test` sets up.
	env=$$(contracttest/redistest/setup.sh) && eval "$$env" && $(GO) test -run='^$$' -bench=. -benchmem ./...

client: ## Make the types of the client from openapi.yaml, and check the client; needs Node, npm and its registry.
	.ci/client

verify: ## Check that formatting, generated files, golden files and go.mod are up to date. REQUIRE_NODE=1 forbids skipping the types of the client.
	.ci/verify

reproducible: ## Build the service in two directories, as a release does, and compare the bytes.
	.ci/reproducible

release-check: ## Make all that a release publishes and publish nothing: programs for all systems, archives, checksums, SBOMs; see that the programs are reproducible; the first run builds goreleaser, which takes many minutes.
	.ci/release-check

sbom: ## Write to bin/sbom what each command is linked from, as CycloneDX.
	.ci/sbom

clean: ## Remove what was built and end Redis containers that a killed test run left.
	rm -rf $(BIN)
	ids=$$(docker ps -aq --filter label=parley.redistest 2>/dev/null); [ -z "$$ids" ] || docker rm -f $$ids
	ids=$$(docker network ls -q --filter label=parley.redistest 2>/dev/null); [ -z "$$ids" ] || docker network rm $$ids
