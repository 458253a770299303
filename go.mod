module github.com/gudokmq/gudok

go 1.26.8

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/go-stomp/stomp/v3 v3.1.5 // indirect
	github.com/goccy/go-yaml v1.19.2 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
