"""Python's stomp.py, as it is published, against the broker."""

import os
import signal
import time
import unittest

import stomp

from subject import Broker, External, Session, unique

VERSIONS = ("1.0", "1.1", "1.2")
gudok = unittest.skipIf("STOMP_TCP" in os.environ, "what Gudok decided")


def setUpModule():
    global broker
    broker = External(os.environ["STOMP_TCP"]) if "STOMP_TCP" in os.environ else Broker()
    broker.start()


def tearDownModule():
    broker.stop()


class Case(unittest.TestCase):
    def open(self, version="1.2", **options):
        session = Session(broker, version, **options)
        self.addCleanup(session.close)
        return session

    def connect(self, version="1.2", **options):
        return self.open(version, **options).connect()

    def nothing_more(self, session, destination):
        """What comes next from a destination is what is sent next."""
        session.send(destination, "marker")
        self.assertEqual(session.next().body, "marker")


def for_each_version(cls):
    """Makes one test per version of each method check_x."""
    for name in [n for n in vars(cls) if n.startswith("check_")]:
        check = getattr(cls, name)
        for version in getattr(check, "versions", VERSIONS):
            def test(self, check=check, version=version):
                check(self, version)
            setattr(cls, f"test_{name[6:]}_{version.replace('.', '_')}", getattr(check, "wrap", lambda f: f)(test))
    return cls


def only(*versions):
    def mark(check):
        check.versions = versions
        return check
    return mark


def decided(check):
    check.wrap = gudok
    return check


@for_each_version
class Connecting(Case):
    @decided
    def check_connect(self, version):
        session = self.connect(version)
        headers = session.connected.headers
        self.assertEqual(headers.get("version"), version)
        self.assertTrue(headers["server"].startswith("gudok/"), headers["server"])
        self.assertRegex(headers["session"], r"^[A-Za-z0-9_.-]+$")
        self.assertEqual(headers["user-name"], "alice")

    def check_hello(self, version):
        destination = unique("/queue/hello-")
        session = self.connect(version)
        session.subscribe(destination)
        session.send(destination, "hello")
        frame = session.next()
        self.assertEqual(frame.body, "hello")
        self.assertEqual(frame.headers["destination"], destination)

    def check_disconnect_with_receipt(self, version):
        session = self.connect(version)
        session.receipt(lambda r: session.conn.disconnect(receipt=r))
        session.life.disconnects.get(timeout=10)
        self.assertFalse(session.conn.is_connected())

    @decided
    def check_wrong_password(self, version):
        session = self.open(version)
        with self.assertRaises(stomp.exception.ConnectFailedException):
            session.connect(passcode="not c4n4ry this time")
        error = session.life.errors.get(timeout=10)
        self.assertTrue(error.headers["message"])
        self.assertNotIn("not c4n4ry this time", f"{error.headers} {error.body}")
        self.connect(version)

    @gudok
    def test_no_login(self):
        session = self.open()
        with self.assertRaises(stomp.exception.ConnectFailedException):
            session.connect(login=None, passcode=None)
        self.assertTrue(session.life.errors.get(timeout=10).headers["message"])

    @gudok
    def test_refused_destination(self):
        session = self.connect()
        session.conn.send("nowhere", "x", receipt="failing")
        error = session.life.errors.get(timeout=10)
        self.assertEqual(error.headers["receipt-id"], "failing")
        self.assertIn("/queue/", error.headers["message"] + error.body)
        session.life.disconnects.get(timeout=10)


@for_each_version
class Acknowledging(Case):
    def fill(self, session, destination, count):
        for n in range(count):
            session.send(destination, str(n))

    def check_auto(self, version):
        destination = unique("/queue/auto-")
        one = self.connect(version)
        self.fill(one, destination, 3)
        one.subscribe(destination)
        self.assertEqual(one.bodies(3), ["0", "1", "2"])
        one.drop()
        two = self.connect(version)
        two.subscribe(destination)
        self.nothing_more(two, destination)

    def check_client(self, version):
        destination = unique("/queue/client-")
        one = self.connect(version)
        self.fill(one, destination, 5)
        one.subscribe(destination, ack="client")
        frames = [one.next() for _ in range(5)]
        one.settle(frames[2])
        one.drop()
        two = self.connect(version)
        two.subscribe(destination, ack="client")
        again = [two.next(), two.next()]
        self.assertEqual([frame.body for frame in again], ["3", "4"])
        self.assertEqual([frame.headers["redelivered"] for frame in again], ["true", "true"])
        two.settle(again[1])

    @only("1.1", "1.2")
    def check_client_individual(self, version):
        destination = unique("/queue/individual-")
        one = self.connect(version)
        self.fill(one, destination, 5)
        one.subscribe(destination, ack="client-individual")
        frames = [one.next() for _ in range(5)]
        one.settle(frames[1])
        one.settle(frames[3])
        one.drop()
        two = self.connect(version)
        two.subscribe(destination)
        self.assertEqual(two.bodies(3), ["0", "2", "4"])

    @only("1.1", "1.2")
    def check_nack(self, version):
        destination = unique("/queue/nack-")
        session = self.connect(version)
        session.subscribe(destination, ack="client-individual")
        session.send(destination, "again")
        session.settle(session.next(), "nack")
        frame = session.next()
        self.assertEqual((frame.body, frame.headers["redelivered"]), ("again", "true"))
        session.settle(frame)
        self.nothing_more(session, destination)

    def check_prefetch(self, version):
        destination = unique("/queue/prefetch-")
        one, two = self.connect(version), self.connect(version)
        self.fill(one, destination, 2)
        options = {"prefetch-count": "1"}
        one.subscribe(destination, ack="client", **options)
        first = one.next()
        two.subscribe(destination, ack="client", **options)
        self.assertEqual((first.body, two.next().body), ("0", "1"))

    def check_unsubscribe(self, version):
        destination = unique("/topic/unsubscribe.")
        session = self.connect(version)
        session.subscribe(destination, sub="a")
        session.receipt(lambda r: session.conn.unsubscribe(id="a", receipt=r))
        session.send(destination, "nobody hears")
        session.subscribe(destination, sub="b")
        self.nothing_more(session, destination)


@for_each_version
class Transactions(Case):
    def check_commit(self, version):
        destination = unique("/queue/tx-")
        session = self.connect(version)
        session.subscribe(destination)
        tx = session.conn.begin()
        for n in range(3):
            session.conn.send(destination, str(n), transaction=tx)
        session.send(destination, "outside")
        self.assertEqual(session.next().body, "outside")
        session.receipt(lambda r: session.conn.commit(tx, receipt=r))
        self.assertEqual(session.bodies(3), ["0", "1", "2"])

    def check_abort(self, version):
        destination = unique("/queue/tx-")
        session = self.connect(version)
        session.subscribe(destination)
        tx = session.conn.begin()
        session.conn.send(destination, "never", transaction=tx)
        session.receipt(lambda r: session.conn.abort(tx, receipt=r))
        self.nothing_more(session, destination)

    @only("1.1", "1.2")
    def check_ack_in_abort(self, version):
        destination = unique("/queue/tx-")
        one = self.connect(version)
        one.subscribe(destination, ack="client-individual")
        one.send(destination, "kept")
        tx = one.conn.begin()
        frame = one.next()
        one.settle(frame, transaction=tx)
        one.receipt(lambda r: one.conn.abort(tx, receipt=r))
        one.drop()
        two = self.connect(version)
        two.subscribe(destination)
        self.assertEqual(two.next().body, "kept")

    @only("1.1", "1.2")
    def check_ack_in_commit(self, version):
        destination = unique("/queue/tx-")
        one = self.connect(version)
        one.subscribe(destination, ack="client-individual")
        one.send(destination, "done")
        tx = one.conn.begin()
        one.settle(one.next(), transaction=tx)
        one.receipt(lambda r: one.conn.commit(tx, receipt=r))
        one.drop()
        two = self.connect(version)
        two.subscribe(destination)
        self.nothing_more(two, destination)


@for_each_version
class Content(Case):
    def check_unicode(self, version):
        destination = unique("/topic/content.")
        session = self.connect(version)
        session.subscribe(destination)
        session.send(destination, "구독 📣 Гудок", 이름="값", plain="value")
        frame = session.next()
        self.assertEqual(frame.body, "구독 📣 Гудок")
        self.assertEqual((frame.headers["이름"], frame.headers["plain"]), ("값", "value"))

    @only("1.1", "1.2")
    def check_escapes(self, version):
        destination = unique("/queue/content-")
        session = self.connect(version)
        session.subscribe(destination)
        value = "a:b\nc\\d http://x:1/"
        session.send(destination, "x", special=value)
        self.assertEqual(session.next().headers["special"], value)

    def check_binary(self, version):
        for kind in ("/queue/binary-", "/topic/binary."):
            destination = unique(kind)
            session = self.connect(version, auto_decode=False)
            session.subscribe(destination)
            body = bytes(range(256)) * 64
            session.send(destination, body)
            self.assertEqual(session.next().body, body)

    def check_large(self, version):
        for kind in ("/queue/large-", "/topic/large."):
            destination = unique(kind)
            session = self.connect(version)
            session.subscribe(destination)
            body = "0123456789abcdef" * (1 << 16)
            session.send(destination, body)
            self.assertEqual(len(session.next().body), 1 << 20)

    @decided
    def check_too_large(self, version):
        session = self.connect(version)
        session.conn.send("/queue/never", "x" * ((1 << 20) + 1), receipt="big")
        error = session.life.errors.get(timeout=10)
        self.assertEqual(error.headers["receipt-id"], "big")

    def test_empty_body(self):
        destination = unique("/queue/content-")
        session = self.connect()
        session.subscribe(destination)
        session.send(destination, "")
        self.assertFalse(session.next().body)

    def test_without_content_length(self):
        destination = unique("/queue/content-")
        session = self.connect(auto_content_length=False)
        session.subscribe(destination)
        session.send(destination, "no length")
        self.assertEqual(session.next().body, "no length")


class Destinations(Case):
    def test_topic_fan_out(self):
        destination = unique("/topic/fan.")
        sessions = [self.connect(version) for version in VERSIONS]
        for session in sessions:
            session.subscribe(destination)
        for n in range(50):
            sessions[0].conn.send(destination, str(n))
        for session in sessions:
            self.assertEqual(session.bodies(50), [str(n) for n in range(50)])

    def test_wildcard(self):
        base = unique("/topic/wild")
        session = self.connect()
        session.subscribe(f"{base}.*.end")
        session.send(f"{base}.a.b.end", "no")
        session.send(f"{base}.a.end", "yes")
        frame = session.next()
        self.assertEqual((frame.body, frame.headers["destination"]), ("yes", f"{base}.a.end"))

    def test_reply_to_temp_queue(self):
        destination = unique("/queue/rpc-")
        server, caller = self.connect(), self.connect()
        server.subscribe(destination)
        headers = {"reply-to": "/temp-queue/answers", "correlation-id": "7"}
        caller.send(destination, "ping", **headers)
        call = server.next()
        server.send(call.headers["reply-to"], "pong", **{"correlation-id": call.headers["correlation-id"]})
        answer = caller.next()
        self.assertEqual((answer.body, answer.headers["correlation-id"]), ("pong", "7"))

    def test_two_subscriptions(self):
        destination = unique("/topic/two.")
        session = self.connect()
        session.subscribe(destination, sub="a")
        session.subscribe(destination, sub="b")
        session.send(destination, "x")
        frames = [session.next(), session.next()]
        self.assertEqual(sorted(frame.headers["subscription"] for frame in frames), ["a", "b"])

    def test_order(self):
        destination = unique("/queue/order-")
        session = self.connect()
        session.subscribe(destination, ack="client")
        for n in range(1000):
            session.conn.send(destination, str(n))
        for n in range(1000):
            frame = session.next()
            self.assertEqual(frame.body, str(n))
            if n % 20 == 19:
                session.conn.ack(frame.headers["ack"])


class HeartBeats(Case):
    @gudok
    def test_both_ways(self):
        session = self.connect(heartbeats=(1000, 1000))
        time.sleep(7)  # longer than the broker's patience with a silent client
        self.assertTrue(session.conn.is_connected())
        self.assertGreaterEqual(session.life.heartbeats.qsize(), 6)
        destination = unique("/topic/beat.")
        session.subscribe(destination)
        self.nothing_more(session, destination)

    @gudok
    def test_clamped(self):
        session = self.connect(heartbeats=(10, 10))
        sends, wants = map(int, session.connected.headers["heart-beat"].split(","))
        self.assertGreaterEqual(min(sends, wants), 1000)

    def test_none_on_1_0(self):
        session = self.connect("1.0")
        self.assertNotIn("\n", session.connected.headers.get("heart-beat", ""))
        self.assertEqual(session.life.heartbeats.qsize(), 0)


@unittest.skipIf("STOMP_TCP" in os.environ and "STOMP_HTTP" not in os.environ, "no WebSocket")
class WebSocket(Case):
    @gudok
    def test_round_trip(self):
        for binary in (False, True):
            session = self.connect(websocket=True, binary_mode=binary)
            destination = unique("/queue/ws-")
            session.subscribe(destination, ack="client-individual")
            session.send(destination, "구독 " + "x" * 200_000)
            frame = session.next()
            self.assertEqual(len(frame.body), 200_003)
            session.settle(frame)
            session.receipt(lambda r, s=session: s.conn.disconnect(receipt=r))

    @gudok
    def test_with_tcp(self):
        destination = unique("/topic/ws.")
        web, tcp = self.connect(websocket=True), self.connect("1.1")
        web.subscribe(destination)
        tcp.subscribe(destination)
        web.send(destination, "from the web")
        tcp.send(destination, "from TCP")
        for session in (web, tcp):
            self.assertEqual(session.bodies(2), ["from the web", "from TCP"])


@gudok
class Restart(Case):
    def survive(self, how):
        destination = unique("/topic/restart.")
        session = self.connect()
        session.subscribe(destination)
        code = broker.end(how)
        session.life.disconnects.get(timeout=10)
        broker.start()
        session.connect()  # the same connection object, as stomp.py's documentation has it
        session.subscribe(destination)
        session.send(destination, "after")
        self.assertEqual(session.next().body, "after")
        return code

    def test_killed(self):
        self.survive(signal.SIGKILL)

    def test_told_to_end(self):
        self.assertEqual(self.survive(signal.SIGTERM), 0)


if __name__ == "__main__":
    unittest.main()
