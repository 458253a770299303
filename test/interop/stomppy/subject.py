"""A Gudok of the test's own, and stomp.py connections whose events can be waited for."""

import itertools
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading

import stomp
from stomp.adapter.ws import WSStompConnection

PATIENCE = 10  # seconds a test waits for something that must come
LOGIN = "alice"
# The word that the harness searches for in what the broker prints is in it.
PASSCODE = "correct horse c4n4ry staple"

_names = itertools.count()


def unique(prefix):
    """A destination nobody else uses."""
    return f"{prefix}{os.getpid()}-{next(_names)}"


class Broker:
    """The binary that GUDOK_BINARY names, on ports of the system's choice."""

    def __init__(self):
        self.binary = os.path.abspath(os.environ["GUDOK_BINARY"])
        self.directory = tempfile.TemporaryDirectory(prefix="gudok-stomppy-")
        made = subprocess.run(
            [self.binary, "passwd"], input=PASSCODE + "\n", capture_output=True, text=True, check=True
        )
        self.hash = made.stdout.strip()
        self.http = self.tcp = None
        self.process = None

    def start(self):
        config = os.path.join(self.directory.name, "gudok.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f'http: {{ listen: "127.0.0.1:{self.http or 0}" }}\n'
                f'tcp: {{ listen: "127.0.0.1:{self.tcp or 0}" }}\n'
                "heartbeat: { send: 1s, receive: 1s, min: 1s }\n"
                f"users:\n  - {{ name: {LOGIN}, password_hash: '{self.hash}' }}\n"
            )
        self.process = subprocess.Popen(
            [self.binary, "-config", config],
            cwd=self.directory.name,
            # The broker takes GUDOK_ variables for settings; this test's are none.
            env={name: value for name, value in os.environ.items() if not name.startswith("GUDOK_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log = []
        started = threading.Event()
        threading.Thread(target=self._read, args=(self.process.stdout, started), daemon=True).start()
        if not started.wait(PATIENCE) or not self.tcp:
            self.process.kill()
            raise RuntimeError("the broker did not start:\n" + "".join(self.log))

    def _read(self, output, started):
        for line in output:
            self.log.append(line)
            if found := re.match(r" +WebSocket +ws://[^:]+:(\d+)/ws", line):
                self.http = int(found[1])
            if found := re.match(r" +TCP +stomp://[^:]+:(\d+)", line):
                self.tcp = int(found[1])
                started.set()
        started.set()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def stop(self):
        code = self.end()
        self.directory.cleanup()
        if code != 0 or "DATA RACE" in "".join(self.log):
            raise AssertionError(f"the broker ended with {code}:\n" + "".join(self.log[-200:]))


class External:
    """A broker somebody else started: STOMP_TCP=host:port, login guest."""

    def __init__(self, address):
        self.tcp = int(address.rpartition(":")[2])
        self.http = int(os.environ.get("STOMP_HTTP", 0))

    def start(self):
        pass

    stop = start


class Life(stomp.ConnectionListener):
    """Keeps every event of a connection until a test asks for it."""

    def __init__(self):
        self.messages = queue.Queue()
        self.errors = queue.Queue()
        self.connects = queue.Queue()
        self.disconnects = queue.Queue()
        self.receipts = queue.Queue()
        self.heartbeats = queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_error(self, frame):
        self.errors.put(frame)

    def on_connected(self, frame):
        self.connects.put(frame)

    def on_disconnected(self):
        self.disconnects.put(True)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_heartbeat(self):
        self.heartbeats.put(True)


class Session:
    """One connection of stomp.py with its Life."""

    kinds = {
        "1.0": stomp.StompConnection10,
        "1.1": stomp.StompConnection11,
        "1.2": stomp.StompConnection12,
    }

    def __init__(self, broker, version="1.2", websocket=False, **options):
        self.version = version
        if isinstance(broker, External) and version != "1.0":
            options["vhost"] = "/"
        if websocket:
            self.conn = WSStompConnection([("127.0.0.1", broker.http)], ws_path="/ws", **options)
        else:
            self.conn = self.kinds[version]([("127.0.0.1", broker.tcp)], **options)
        self.life = Life()
        self.conn.set_listener("life", self.life)

    def connect(self, login=LOGIN, passcode=PASSCODE):
        if isinstance(login, str) and "STOMP_TCP" in os.environ:
            login = passcode = "guest"
        self.conn.connect(login, passcode, wait=True)
        self.connected = self.life.connects.get(timeout=PATIENCE)
        return self

    def receipt(self, act):
        """Calls act with a receipt id and waits for that receipt."""
        name = unique("receipt-")
        act(name)
        got = self.life.receipts.get(timeout=PATIENCE)
        if got != name:
            raise AssertionError(f"receipt {got} instead of {name}")

    def subscribe(self, destination, ack="auto", sub="1", **headers):
        self.receipt(
            lambda r: self.conn.subscribe(destination, id=sub, ack=ack, headers=headers or None, receipt=r)
        )

    def send(self, destination, body, **headers):
        self.receipt(lambda r: self.conn.send(destination, body, headers=headers or None, receipt=r))

    def settle(self, frame, verb="ack", transaction=None):
        """ACK or NACK in the words of this version, with a receipt."""
        if self.version == "1.2":
            ids = (frame.headers["ack"],)
        elif self.version == "1.1":
            ids = (frame.headers["message-id"], frame.headers["subscription"])
        else:
            ids = (frame.headers["message-id"],)
        self.receipt(lambda r: getattr(self.conn, verb)(*ids, transaction=transaction, receipt=r))

    def next(self, timeout=PATIENCE):
        return self.life.messages.get(timeout=timeout)

    def bodies(self, count):
        return [self.next().body for _ in range(count)]

    def drop(self):
        """Ends the connection as a network would."""
        self.conn.transport.disconnect_socket()

    def close(self):
        if self.conn.is_connected():
            try:
                self.conn.disconnect()
            except stomp.exception.StompException:
                pass
