# Two commands matter: `make run` and `make test`. The rest is for those who work on Gudok.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC = github.com/securego/gosec/v2/cmd/gosec@v2.22.4

.PHONY: run build test unit race e2e lint fuzz bench bench-peers figures clean

run: ## start the broker with no configuration
	$(GO) run ./cmd/broker

build: ## build ./gudok
	$(GO) build -o gudok ./cmd/broker

test: lint unit race e2e ## everything; what is missing on this machine is skipped and named
ifeq ($(CI),true)
test: fuzz
endif

lint:
	test -z "$$(gofmt -l broker cmd conf store stompframe test transport)"
	$(GO) vet ./...
	cd test/bench/plot && $(GO) vet .
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOSEC) -quiet -exclude=G104,G304 -exclude-dir=internal/load ./broker/... ./cmd/... ./conf/... ./stompframe/... ./transport/...
	$(GO) run $(GOSEC) -quiet -exclude=G104,G304,G115 -exclude-dir=storetest ./store/...
	$(GO) run $(GOSEC) -quiet -exclude=G104,G304,G115,G401,G404,G505 ./cmd/broker/internal/load/...

# What gosec is not asked, and why; all else has its reason beside the line.
# G104, an error that is not looked at: those of Close and of deadlines show at the next read or write, those
#   of a last word to a peer have nobody to be told to; others staticcheck finds.
# G304, a file named by a variable: files are named by the configuration and the command line alone; that
#   no word of a client's becomes a file's name is TestV25DestinationsAreNames.
# G115, a conversion of integers, in the store and the load generator: lengths and positions of what is in
#   memory or in a file of less than 2^63 bytes; what is read from a file is checked where it is read
#   (FuzzParse, TestDamage). storetest is tests.
# G401, G404, G505, SHA-1 and random numbers, in the load generator: the WebSocket handshake, and load.

unit: ## packages from inside and outside
	$(GO) test ./broker/... ./cmd/... ./conf/... ./store/... ./stompframe/... ./transport/... ./test

race: ## the same under the race detector
	$(GO) test -race ./broker/... ./cmd/... ./conf/... ./store/... ./stompframe/... ./transport/...

e2e: ## the real binary: conformance, stomp.js, Chromium, Spring, go-stomp, stomp.py
	$(GO) test -count=1 $$($(GO) list ./test/... | grep -v -e /durability -e /overload)
	$(GO) test -count=1 -timeout 15m -v ./test/durability
	$(GO) test -count=1 -timeout 15m -v ./test/overload
	$(GO) test -count=1 -v -run '^TestDamage$$' ./store/bolt -harmed 2000

FUZZTIME ?= 60s
fuzz: ## a minute for each fuzz target there is, two at a time; FUZZTIME=10m for longer
	$(GO) run ./test/fuzz -time $(FUZZTIME)

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
