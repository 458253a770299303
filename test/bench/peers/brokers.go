package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// missing says why a peer cannot be loaded; empty if it can.
func missing(key string) string {
	switch key {
	case "rabbitmq":
		if _, err := os.Stat(rabbitServer); err != nil {
			return "rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server)"
		}
	case "nats", "centrifugo":
		if _, err := built(key); err != nil {
			return err.Error()
		}
	}
	return ""
}

// module is what a peer's binary is built from, and version how it is told its version, in a module
// of its own beside this file.
var module = map[string]struct{ path, flags string }{
	"nats":       {"github.com/nats-io/nats-server/v2", ""},
	"centrifugo": {"github.com/centrifugal/centrifugo/v5", "-X github.com/centrifugal/centrifugo/v5/internal/build.Version=5.4.9"},
}

// built builds a peer into the user's cache, which costs nothing once it is there.
func built(key string) (binary string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	binary = filepath.Join(cache, "gudok-bench", key)
	m := module[key]
	list, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/gudokmq/gudok/test/bench/peers").Output()
	if err != nil {
		return "", fmt.Errorf("find its module: %w", err)
	}
	cmd := exec.Command("go", "build", "-ldflags", m.flags, "-o", binary, m.path)
	cmd.Dir = filepath.Join(strings.TrimSpace(string(list)), key)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("go build %s: %w: %s", m.path, err, lines[len(lines)-1])
	}
	return binary, nil
}

// startBuilt starts a peer that was built, with a configuration file.
func startBuilt(ctx context.Context, dir, key, config, text string, args []string, addrs ...string) (*process, error) {
	binary, err := built(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, config), []byte(text), 0o644); err != nil {
		return nil, err
	}
	proc := &process{}
	if err := proc.spawn(dir, nil, binary, args...); err != nil {
		return nil, err
	}
	if err := listening(ctx, addrs...); err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// startGudok starts the broker that was built, with its defaults but for how many may connect and
// subscribe.
func startGudok(ctx context.Context, dir string, p *peer) (*process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "gudok.yaml")
	text := fmt.Sprintf("http: { listen: 127.0.0.1:%s }\ntcp: { listen: 127.0.0.1:%s }\nstore: { path: %q }\n"+
		"limits: { connections: 19000, subscriptions: 20000 }\n", ports[0], ports[1], filepath.Join(dir, "data"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	proc := &process{}
	if err := proc.spawn(dir, nil, filepath.Join(filepath.Dir(dir), "broker"), "-config", config); err != nil {
		return nil, err
	}
	p.ws, p.tcp = "ws://127.0.0.1:"+ports[0]+"/ws", "stomp://127.0.0.1:"+ports[1]
	p.flags = []string{"-log", filepath.Join(dir, "broker.out")}
	if err := listening(ctx, "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]); err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// startPolling starts the server of test/bench/polling.
func startPolling(ctx context.Context, dir string, p *peer) (*process, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	proc := &process{}
	if err := proc.spawn(dir, nil, filepath.Join(filepath.Dir(dir), "polling"), "-listen", "127.0.0.1:"+ports[0]); err != nil {
		return nil, err
	}
	p.ws = "http://127.0.0.1:" + ports[0] + "/"
	if err := listening(ctx, "127.0.0.1:"+ports[0]); err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// startNATS starts nats-server with its defaults; its PINGs come as often as the heart-beats of the
// others.
func startNATS(ctx context.Context, dir string, p *peer) (*process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	ws, tcp := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	p.ws, p.tcp = "nats+ws://"+ws+"/", "nats://"+tcp
	text := fmt.Sprintf("listen: %q\nwebsocket { listen: %q, no_tls: true }\nping_interval: \"10s\"\n", tcp, ws)
	return startBuilt(ctx, dir, "nats", "nats.conf", text, []string{"-c", "nats.conf"}, ws, tcp)
}

// startCentrifugo starts Centrifugo with its defaults, but lets everybody in, takes WebSocket messages
// of 16 publications of 16 KiB, and pings as often as the others.
func startCentrifugo(ctx context.Context, dir string, p *peer) (*process, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p.ws = "centrifugo+ws://127.0.0.1:" + ports[0] + "/connection/websocket"
	text := fmt.Sprintf(`{"client_insecure": true, "address": "127.0.0.1", "port": %q, "log_level": "error", "ping_interval": "10s",
"pong_timeout": "8s", "websocket_write_timeout": "10s", "client_channel_limit": 20000, "websocket_message_size_limit": 1048576, "websocket_use_write_buffer_pool": true}`, ports[0])
	return startBuilt(ctx, dir, "centrifugo", "config.json", text, []string{"-c", "config.json"}, "127.0.0.1:"+ports[0])
}

// rabbitServer is Debian's start script without its change of user.
const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// startRabbit starts RabbitMQ with STOMP and Web-STOMP alone, on free ports of loopback, beside
// any other that may run.
func startRabbit(ctx context.Context, dir string, p *peer) (*process, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	ws, tcp, dist, epmd := ports[0], ports[1], ports[2], ports[3]
	files := map[string]string{
		"rabbitmq.conf": strings.Join([]string{
			"listeners.tcp = none",
			"stomp.listeners.tcp.1 = 127.0.0.1:" + tcp,
			"web_stomp.tcp.ip = 127.0.0.1",
			"web_stomp.tcp.port = " + ws,
			"log.console = false", ""}, "\n"),
		"plugins": "[rabbitmq_stomp,rabbitmq_web_stomp].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	env := []string{
		"HOME=" + dir, "ERL_EPMD_PORT=" + epmd, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=bench" + ws + "@localhost", "RABBITMQ_DIST_PORT=" + dist,
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	}
	proc := &process{}
	if err := proc.spawn(dir, env, "epmd", "-port", epmd); err != nil {
		return nil, err
	}
	err = listening(ctx, "127.0.0.1:"+epmd)
	if err == nil {
		err = proc.spawn(dir, env, rabbitServer)
	}
	if err == nil {
		err = listening(ctx, "127.0.0.1:"+ws, "127.0.0.1:"+tcp)
	}
	if err != nil {
		proc.stop()
		return nil, err
	}
	p.ws, p.tcp = "ws://127.0.0.1:"+ws+"/ws", "stomp://127.0.0.1:"+tcp
	return proc, nil
}
