# Two commands matter: `make run` and `make test`. The rest is for those who work on Gudok.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: run build test unit race e2e lint fuzz bench bench-peers figures clean

run: ## start the broker with no configuration
	$(GO) run ./cmd/broker

build: ## build ./gudok
	$(GO) build -o gudok ./cmd/broker

test: lint unit race e2e ## everything; what is missing on this machine is skipped and named

lint:
	test -z "$$(gofmt -l broker cmd conf store stompframe test transport)"
	$(GO) vet ./...
	cd test/bench/plot && $(GO) vet .
	$(GO) run $(STATICCHECK) ./...

unit: ## packages from inside and outside
	$(GO) test ./broker/... ./cmd/... ./conf/... ./store/... ./stompframe/... ./transport/... ./test

race: ## the same under the race detector
	$(GO) test -race ./broker/... ./cmd/... ./conf/... ./store/... ./stompframe/... ./transport/...

e2e: ## the real binary: conformance, stomp.js, Chromium, Spring, go-stomp, stomp.py
	$(GO) test -count=1 $$($(GO) list ./test/... | grep -v -e /durability -e /overload)
	$(GO) test -count=1 -timeout 15m -v ./test/durability
	$(GO) test -count=1 -timeout 15m -v ./test/overload
	$(GO) test -count=1 -v -run '^TestDamage$$' ./store/bolt -harmed 2000

fuzz: ## a minute for each target of the codec, of logins, of rules, of what proxies say and of WebSocket
	for f in FuzzChunking FuzzRoundTrip FuzzDiffGoStomp; do \
	  $(GO) test ./stompframe -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 1x || exit 1; done
	for f in FuzzCredentials FuzzClaims FuzzKeys; do \
	  $(GO) test ./broker/auth -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 1x || exit 1; done
	for f in FuzzOffer FuzzFront FuzzProxyHeader FuzzForwarded FuzzWebSocket; do \
	  $(GO) test ./transport -run '^$$' -fuzz "^$$f$$" -fuzztime 60s -fuzzminimizetime 1x || exit 1; done
	$(GO) test ./broker/rules -run '^$$' -fuzz '^FuzzPolicy$$' -fuzztime 60s -fuzzminimizetime 1x

bench: BENCHED = gudok,bare,disk,polling
bench: figures ## figures of this machine in ten minutes: a table and plots in test/bench/out

bench-peers: BENCHED = gudok,rabbitmq,nats,centrifugo,bare,disk,polling
bench-peers: figures ## the same beside other brokers; one that is not installed is skipped by name

BENCH_OUT = $(CURDIR)/test/bench/out
figures:
	rm -f $(BENCH_OUT)/reports.jsonl
	$(GO) run ./test/bench/peers -peers $(BENCHED) -out $(BENCH_OUT)
	cd test/bench/plot && $(GO) run . -in $(BENCH_OUT)/reports.jsonl -out $(BENCH_OUT)

clean:
	rm -rf gudok data test/interop/stompjs/node_modules test/interop/spring/target test/interop/stomppy/.venv
