package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.ConnectionLostException;
import org.springframework.messaging.simp.stomp.StompHeaders;

/** What either of Spring's STOMP clients does with the broker itself. */
abstract class StompClientScenarios {

    static Broker broker;
    static Clients clients;

    Session session;

    abstract Session open(StompHeaders connect);

    Session connect() {
        var session = open(new StompHeaders());
        session.connected();
        return session;
    }

    @BeforeAll
    static void startBroker() {
        broker = Broker.start();
        clients = new Clients(broker);
    }

    @AfterAll
    static void stopBroker() {
        clients.close();
        broker.close();
    }

    @BeforeEach
    void openSession() {
        session = connect();
    }

    @AfterEach
    void closeSession() {
        if (session.stomp().isConnected()) {
            session.stomp().disconnect();
        }
    }

    @Test
    void connectedTellsVersionServerSessionAndHeartBeat() {
        StompHeaders connected = session.connected();
        assertThat(connected.getFirst("version")).isEqualTo("1.2");
        assertThat(connected.getFirst("server")).startsWith("gudok/");
        assertThat(connected.getSession()).matches("[A-Za-z0-9_.-]+");
        assertThat(connected.getHeartbeat()).hasSize(2);
        assertThat(connected).doesNotContainKey("content-type");
    }

    @Test
    void aTopicReachesEverySubscriberAsItWasSent() {
        var other = connect();
        var mine = session.subscribe("/topic/weather.seoul");
        var theirs = other.subscribe("/topic/weather.seoul");
        String awkward = "a:b\\c\nd\re ü 구독";

        session.send("/topic/weather.seoul", "비 rain", "content-type", "text/plain;charset=UTF-8", "note", awkward);

        for (Inbox.Letter letter : List.of(mine.next(), theirs.next())) {
            assertThat(letter.text()).isEqualTo("비 rain");
            assertThat(letter.headers().getDestination()).isEqualTo("/topic/weather.seoul");
            assertThat(letter.headers().getContentType()).hasToString("text/plain;charset=UTF-8");
            assertThat(letter.headers().getContentLength())
                    .isEqualTo("비 rain".getBytes(StandardCharsets.UTF_8).length);
            assertThat(letter.headers().getFirst("note")).isEqualTo(awkward);
            assertThat(letter.headers().getMessageId()).matches("[A-Za-z0-9_.-]+");
            assertThat(letter.headers().getAck()).isNull();
        }
        other.stomp().disconnect();
    }

    @Test
    void everyFrameThatAsksGetsItsOwnReceipt() {
        var subscribe = Session.headers("/topic/receipts", "receipt", "mine-1");
        var inbox = new Inbox();
        inbox.of(session.stomp().subscribe(subscribe, inbox));
        assertThat(session.receipt(inbox.subscription()).getReceiptId()).isEqualTo("mine-1");
        assertThat(session.send("/topic/receipts", "x", "receipt", "mine:2 \\").getReceiptId())
                .isEqualTo("mine:2 \\");
        assertThat(inbox.next().text()).isEqualTo("x");

        session.receipt(inbox.subscription().unsubscribe());
        var fence = session.subscribe("/topic/receipts");
        session.send("/topic/receipts", "y");
        assertThat(fence.next().text()).isEqualTo("y");
        inbox.assertEmpty();
    }

    @Test
    void heartBeatsKeepAnIdleConnection() {
        var headers = new StompHeaders();
        headers.setHeartbeat(new long[] {1000, 1000});
        var idle = open(headers);
        assertThat(idle.connected().getHeartbeat()).doesNotContain(0);
        var inbox = idle.subscribe("/topic/idle");

        // Spring gives up after three times the interval without a byte.
        await().during(Duration.ofMillis(3500)).atMost(Duration.ofSeconds(10)).until(() -> !idle.isLost());

        session.send("/topic/idle", "still there");
        assertThat(inbox.next().text()).isEqualTo("still there");
        idle.stomp().disconnect();
    }

    @Test
    void bytesArriveAsTheyWereSent() {
        byte[] bytes = new byte[512];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) i;
        }
        var inbox = session.subscribe("/topic/bytes");

        session.send("/topic/bytes", bytes, "content-type", "application/octet-stream");
        session.send("/topic/bytes", new byte[0], "content-type", "application/octet-stream");
        session.send("/topic/bytes", "text".getBytes(), "content-type", "application/octet-stream");

        assertThat(inbox.next().body()).isEqualTo(bytes);
        assertThat(inbox.next().body()).isEmpty();
        assertThat(inbox.next().text()).isEqualTo("text");
    }

    @Test
    void messagesOf200KilobytesPassBothWays() {
        String text = "0123456789abcdefghij구독".repeat(200_000 / 26);
        byte[] bytes = new byte[200_000];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * 31);
        }
        var inbox = session.subscribe("/queue/large", "ack", "client");

        session.send("/queue/large", text, "content-type", "text/plain");
        session.send("/queue/large", bytes, "content-type", "application/octet-stream");

        assertThat(inbox.next().text()).isEqualTo(text);
        var second = inbox.next();
        assertThat(second.body()).isEqualTo(bytes);
        session.ack(second);
    }

    @Test
    void aRefusedMessageComesAgain() {
        var inbox = session.subscribe("/queue/refused", "ack", "client-individual");
        session.send("/queue/refused", "one");
        session.send("/queue/refused", "two");
        var one = inbox.next();
        var two = inbox.next();
        assertThat(one.text()).isEqualTo("one");
        assertThat(one.headers().getFirst("redelivered")).isNotEqualTo("true");

        session.ack(two);
        session.nack(one);

        var again = inbox.next();
        assertThat(again.text()).isEqualTo("one");
        assertThat(again.headers().getFirst("redelivered")).isEqualTo("true");
        assertThat(again.headers().getFirst("delivery-count")).isEqualTo("2");
        session.ack(again);

        session.receipt(inbox.subscription().unsubscribe());
        var rest = session.subscribe("/queue/refused");
        session.send("/queue/refused", "three");
        assertThat(rest.next().text()).isEqualTo("three");
    }

    @Test
    void whatWasNotAcknowledgedGoesToTheNextConsumerInOrder() {
        var first = connect();
        var held = first.subscribe("/queue/held", "ack", "client-individual");
        for (String text : List.of("one", "two", "three")) {
            session.send("/queue/held", text);
        }
        held.next();
        first.ack(held.next());
        held.next();
        first.stomp().disconnect();

        var inbox = session.subscribe("/queue/held");
        var one = inbox.next();
        var three = inbox.next();
        assertThat(List.of(one.text(), three.text())).containsExactly("one", "three");
        assertThat(one.headers().getFirst("redelivered")).isEqualTo("true");
        session.send("/queue/held", "four");
        assertThat(inbox.next().text()).isEqualTo("four");
    }

    @Test
    void anErrorReachesTheHandlerBeforeTheConnectionEnds() {
        var inbox = new Inbox();
        var headers = Session.headers("nowhere", "receipt", "asked-1");
        inbox.of(session.stomp().subscribe(headers, inbox));

        var error = session.error();
        assertThat(error.headers().getFirst("message")).isNotBlank();
        assertThat(error.headers().getReceiptId()).isEqualTo("asked-1");
        assertThat(error.text()).contains("/topic", "/queue");
        assertThat(session.lost()).isInstanceOf(ConnectionLostException.class);
        assertThat(session.stomp().isConnected()).isFalse();
    }

    @Test
    void anErrorOfOneIsNobodyElses() {
        var other = connect();
        var inbox = other.subscribe("/topic/neighbour");
        session.stomp().acknowledge(new StompHeaders(), true);
        session.error();
        session.lost();

        other.send("/topic/neighbour", "unharmed");
        assertThat(inbox.next().text()).isEqualTo("unharmed");
        other.stomp().disconnect();
    }

    @Test
    void disconnectEndsTheSessionForTheBrokerToo() {
        var leaving = connect();
        leaving.subscribe("/queue/left", "ack", "client-individual", "prefetch-count", "1");
        leaving.stomp().disconnect();
        assertThat(leaving.stomp().isConnected()).isFalse();

        session.send("/queue/left", "for who remains");

        assertThat(session.subscribe("/queue/left").next().text()).isEqualTo("for who remains");
        assertThat(leaving.isLost()).isFalse();
    }
}
