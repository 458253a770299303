package load_test

import (
	"net"
	"os"
	"testing"

	"github.com/gudokmq/gudok/cmd/broker/internal/load"
)

func TestOwnerOfAPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if pid, err := load.Owner(l.Addr().String()); err != nil || pid != os.Getpid() {
		t.Errorf("owner %d, %v", pid, err)
	}
	if _, err := load.Owner("192.0.2.1:80"); err == nil {
		t.Error("another machine's process found")
	}
}

func TestBrokerFigures(t *testing.T) {
	ws, _ := new(stub).serve(t)
	o := quick(ws, 5000)
	o.PID = os.Getpid()
	r, err := load.Fanout(t.Context(), o)
	if err != nil || r.BrokerCPU == nil || *r.BrokerCPU <= 0 || r.ClientCPU == nil || r.BrokerPeak <= 0 {
		t.Errorf("%v, %+v", err, r)
	}
}
