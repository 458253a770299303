package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.messaging.simp.SimpMessageHeaderAccessor;
import org.springframework.messaging.simp.SimpMessageType;
import org.springframework.messaging.simp.stomp.StompHeaders;

/** One Spring application between browsers and the broker. */
class RelayTest {

    private static Broker broker;
    private static Clients clients;
    private static Portal portal;

    /** A payload that travels as JSON. */
    record News(String title) {
    }

    /** A client of the broker itself, beside Spring. */
    private static Session outside;

    @BeforeAll
    static void start() {
        broker = Broker.start();
        clients = new Clients(broker);
        outside = clients.tcp(new StompHeaders());
        outside.connected();
        portal = Portal.startConnected(broker);
    }

    @AfterAll
    static void stop() {
        portal.close();
        outside.stomp().disconnect();
        clients.close();
        broker.close();
    }

    @Test
    void convertAndSendReachesBrowsersAndOtherClients() {
        var browser = portal.browser("ada");
        browser.subscribe("news", "/topic/news");
        var inbox = outside.subscribe("/topic/news");

        portal.template().convertAndSend("/topic/news", new News("Hangeul day"));

        var message = browser.message();
        assertThat(message.text()).isEqualTo("{\"title\":\"Hangeul day\"}");
        assertThat(message.header("subscription")).isEqualTo("news");
        assertThat(message.header("destination")).isEqualTo("/topic/news");
        assertThat(message.header("content-type")).isEqualTo("application/json");
        assertThat(inbox.next().text()).isEqualTo("{\"title\":\"Hangeul day\"}");
        browser.close();
    }

    @Test
    void messageMappingAnswersToEverySubscriber() {
        var asker = portal.browser("ada");
        var other = portal.browser("bob");
        asker.subscribe("g", "/topic/greetings");
        other.subscribe("g", "/topic/greetings");

        asker.frame("SEND", "Ada", "destination:/app/hello", "content-type:text/plain");

        assertThat(asker.message().text()).isEqualTo("{\"text\":\"Hello, Ada\"}");
        assertThat(other.message().text()).isEqualTo("{\"text\":\"Hello, Ada\"}");
        asker.close();
        other.close();
    }

    @Test
    void whatABrowserSendsReachesClientsBesideSpring() {
        var browser = portal.browser("ada");
        browser.subscribe("s", "/topic/prices.*");
        var inbox = outside.subscribe("/topic/prices/eur");

        browser.confirmed("SEND", "1.09", "destination:/topic/prices/eur", "source:page");
        var letter = inbox.next();
        assertThat(letter.text()).isEqualTo("1.09");
        assertThat(letter.headers().getDestination()).isEqualTo("/topic/prices/eur");
        assertThat(letter.headers().getFirst("source")).isEqualTo("page");
        assertThat(browser.message().header("destination")).isEqualTo("/topic/prices/eur");
        browser.close();
    }

    @Test
    void sendToUserAnswersTheSessionThatAsked() {
        var asker = portal.browser("ada-asks");
        var second = portal.browser("ada-asks");
        asker.subscribe("r", "/user/queue/replies");
        second.subscribe("r", "/user/queue/replies");

        asker.frame("SEND", "", "destination:/app/whoami");

        var reply = asker.message();
        assertThat(reply.text()).isEqualTo("ada-asks");
        assertThat(reply.header("destination")).isEqualTo("/user/queue/replies");
        second.frame("SEND", "", "destination:/app/whoami");
        second.message();
        second.assertNoMessage();
        asker.assertNoMessage();
        asker.close();
        second.close();
    }

    @Test
    void sendToUserReachesAnonymousSessionsAndComplaintsToo() {
        var anonymous = portal.browser("");
        anonymous.subscribe("r", "/user/queue/reminders");
        anonymous.subscribe("c", "/user/queue/complaints");
        anonymous.frame("SEND", "tea", "destination:/app/remind", "content-type:text/plain");
        assertThat(anonymous.message().text()).isEqualTo("tea");
        anonymous.frame("SEND", " ", "destination:/app/remind", "content-type:text/plain");
        var complaint = anonymous.message();
        assertThat(complaint.text()).isEqualTo("nothing to remind of");
        assertThat(complaint.header("subscription")).isEqualTo("c");
        anonymous.close();
    }

    @Test
    void convertAndSendToUserReachesBothSessionsAndNobodyElse() {
        var desk = portal.browser("grace");
        var phone = portal.browser("grace");
        var stranger = portal.browser("mallory");
        for (var browser : List.of(desk, phone, stranger)) {
            browser.subscribe("m", "/user/queue/mail");
        }

        portal.template().convertAndSendToUser("grace", "/queue/mail", "for Grace");
        portal.template().convertAndSendToUser("mallory", "/queue/mail", "for Mallory");

        for (var browser : List.of(desk, phone)) {
            var mail = browser.message();
            assertThat(mail.text()).isEqualTo("for Grace");
            assertThat(mail.header("destination")).isEqualTo("/user/queue/mail");
        }
        assertThat(stranger.message().text()).isEqualTo("for Mallory");
        desk.assertNoMessage();
        phone.assertNoMessage();
        for (var browser : List.of(desk, phone, stranger)) {
            browser.close();
        }
    }

    @Test
    void nothingIsLeftOfAUserQueueAfterItsBrowserHasGone() {
        var browser = portal.browser("linus");
        browser.subscribe("i", "/user/queue/inbox", "ack:client-individual");
        String queue = "/queue/inbox-user" + sessionOf("linus");
        portal.template().convertAndSendToUser("linus", "/queue/inbox", "never acknowledged");
        assertThat(browser.message().text()).isEqualTo("never acknowledged");
        browser.confirmed("DISCONNECT", "");
        browser.closed();

        // What was under way when the browser left.
        sendToSession(queue, "came too late");
        assertNothingIn(queue);
    }

    @Test
    void nothingIsLeftOfAUserQueueAfterUnsubscribe() {
        var browser = portal.browser("ken");
        browser.subscribe("i", "/user/queue/inbox", "ack:client-individual");
        String queue = "/queue/inbox-user" + sessionOf("ken");
        portal.template().convertAndSendToUser("ken", "/queue/inbox", "never acknowledged");
        browser.message();
        browser.confirmed("UNSUBSCRIBE", "", "id:i", "destination:/user/queue/inbox");

        sendToSession(queue, "came too late");
        assertNothingIn(queue);
        browser.close();
    }

    @Test
    void nothingIsLeftOfAUserQueueThatNeverHadASubscriber() {
        sendToSession("/queue/inbox-user-nobody", "for nobody");
        assertNothingIn("/queue/inbox-user-nobody");
    }

    /** The plain queue keeps messages; only what Spring made for one session does not. */
    @Test
    void anOrdinaryQueueKeepsWhatTheApplicationSends() {
        portal.template().convertAndSend("/queue/jobs-user", "kept");
        assertThat(outside.subscribe("/queue/jobs-user").next().text()).isEqualTo("kept");
    }

    @Test
    void acknowledgementsPassTheRelay() {
        var first = portal.browser("ada");
        first.subscribe("w", "/queue/work", "ack:client-individual", "prefetch-count:10");
        for (String job : List.of("one", "two", "three")) {
            portal.template().convertAndSend("/queue/work", job);
        }
        var one = first.message();
        var two = first.message();
        var three = first.message();
        first.confirmed("ACK", "", "id:" + two.header("ack"));
        first.confirmed("NACK", "", "id:" + one.header("ack"));
        var again = first.message();
        assertThat(again.text()).isEqualTo("one");
        assertThat(again.header("redelivered")).isEqualTo("true");
        first.confirmed("ACK", "", "id:" + again.header("ack"));
        assertThat(three.text()).isEqualTo("three");
        first.confirmed("DISCONNECT", "");

        var second = portal.browser("bob");
        second.subscribe("w", "/queue/work");
        var rest = second.message();
        assertThat(rest.text()).isEqualTo("three");
        assertThat(rest.header("redelivered")).isEqualTo("true");
        second.close();
    }

    @Test
    void transactionsAndReceiptsPassTheRelay() {
        var browser = portal.browser("ada");
        var inbox = outside.subscribe("/topic/ledger");

        browser.confirmed("BEGIN", "", "transaction:undone");
        browser.confirmed("SEND", "lost", "destination:/topic/ledger", "transaction:undone");
        browser.confirmed("ABORT", "", "transaction:undone");
        browser.confirmed("BEGIN", "", "transaction:done");
        browser.confirmed("SEND", "debit", "destination:/topic/ledger", "transaction:done");
        browser.confirmed("SEND", "credit", "destination:/topic/ledger", "transaction:done");
        browser.confirmed("SEND", "beside", "destination:/topic/ledger");
        assertThat(inbox.next().text()).isEqualTo("beside");
        browser.confirmed("COMMIT", "", "transaction:done");

        assertThat(inbox.next().text()).isEqualTo("debit");
        assertThat(inbox.next().text()).isEqualTo("credit");
        browser.confirmed("SEND", "after", "destination:/topic/ledger");
        assertThat(inbox.next().text()).isEqualTo("after");
        browser.close();
    }

    @Test
    void messagesOf200KilobytesPassTheRelay() {
        String text = "0123456789abcdefghij구독".repeat(200_000 / 26);
        var browser = portal.browser("ada");
        browser.subscribe("l", "/topic/large");
        portal.template().convertAndSend("/topic/large", text);
        assertThat(browser.message().text()).isEqualTo(text);
        browser.confirmed("SEND", text, "destination:/topic/large", "content-type:text/plain");
        assertThat(browser.message().text()).isEqualTo(text);
        browser.close();
    }

    @Test
    void heartBeatsReachTheBrowserThroughTheRelay() {
        var browser = Browser.open(portal.url("ada"));
        browser.frame("CONNECT", "", "accept-version:1.2,1.1,1.0", "heart-beat:1000,1000");
        var connected = browser.connected();
        assertThat(connected.header("heart-beat")).matches("[1-9]\\d*,[1-9]\\d*");
        assertThat(connected.header("user-name")).isEqualTo("ada");
        await().atMost(Waiting.PATIENCE).until(() -> browser.heartBeats() >= 3);
        browser.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "SEND|destination:/topic/x|transaction:unheard-of",
        "COMMIT|transaction:unheard-of",
        "SUBSCRIBE|id:twice|destination:/topic/again",
        "SUBSCRIBE|id:odd|destination:/topic/x|ack:perhaps",
        "ACK|note:without an id",
        "UNSUBSCRIBE|id:unheard-of",
    })
    void aBadFrameIsAnsweredWithErrorAndEndsOnlyItsOwnSession(String bad) {
        var browser = portal.browser("mallory");
        var neighbour = portal.browser("ada");
        neighbour.subscribe("n", "/topic/neighbours");
        browser.subscribe("twice", "/topic/once");
        String[] parts = (bad + "|receipt:bad-1").split("\\|");
        String[] headers = new String[parts.length - 1];
        System.arraycopy(parts, 1, headers, 0, headers.length);

        browser.frame(parts[0], "", headers);

        var error = browser.error();
        assertThat(error.header("message")).isNotBlank();
        assertThat(error.header("receipt-id")).isEqualTo("bad-1");
        assertThat(error.text()).isNotBlank();
        assertThat(browser.closed()).isEqualTo(1002);
        browser.assertNoReceipt();
        portal.template().convertAndSend("/topic/neighbours", "unharmed");
        assertThat(neighbour.message().text()).isEqualTo("unharmed");
        neighbour.close();
    }

    @Test
    void fiftySessionsAtOnce() {
        var browsers = new ArrayList<Browser>();
        for (int i = 0; i < 50; i++) {
            browsers.add(Browser.open(portal.url("user-" + i)));
        }
        browsers.forEach(b -> b.frame("CONNECT", "", "accept-version:1.2", "heart-beat:10000,10000"));
        browsers.forEach(Browser::connected);
        browsers.forEach(b -> b.subscribe("all", "/topic/everyone"));
        browsers.forEach(b -> b.subscribe("own", "/user/queue/own"));

        portal.template().convertAndSend("/topic/everyone", "to all");
        for (int i = 0; i < 50; i++) {
            portal.template().convertAndSendToUser("user-" + i, "/queue/own", "to " + i);
        }

        for (int i = 0; i < 50; i++) {
            var first = browsers.get(i).message();
            var second = browsers.get(i).message();
            assertThat(List.of(first.text(), second.text())).containsExactly("to all", "to " + i);
        }
        browsers.get(49).confirmed("SEND", "from the last", "destination:/topic/everyone");
        browsers.forEach(b -> assertThat(b.message().text()).isEqualTo("from the last"));
        browsers.forEach(b -> b.confirmed("DISCONNECT", ""));
    }

    private static String sessionOf(String user) {
        return portal.user(user).getSessions().iterator().next().getId();
    }

    /** Sends what Spring sends for convertAndSendToUser, and waits until the broker has taken it. */
    private static void sendToSession(String queue, String body) {
        var headers = SimpMessageHeaderAccessor.create(SimpMessageType.MESSAGE);
        headers.setNativeHeader(SimpMessageHeaderAccessor.ORIGINAL_DESTINATION, "/user/queue/inbox");
        headers.setLeaveMutable(true);
        var fence = outside.subscribe("/topic/fence");
        portal.template().convertAndSend(queue, body, headers.getMessageHeaders());
        portal.template().convertAndSend("/topic/fence", "taken");
        fence.next();
        outside.receipt(fence.subscription().unsubscribe());
    }

    private static void assertNothingIn(String queue) {
        var inbox = outside.subscribe(queue);
        outside.send(queue, "new");
        assertThat(inbox.next().text()).isEqualTo("new");
        inbox.assertEmpty();
        outside.receipt(inbox.subscription().unsubscribe());
    }
}
