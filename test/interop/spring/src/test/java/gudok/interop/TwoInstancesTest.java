package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Two instances of one application, which know of one another through the broker alone. */
class TwoInstancesTest {

    private static final String UNRESOLVED = "gudok.user-destination-broadcast=/topic/unresolved-user-dest";
    private static final String REGISTRY = "gudok.user-registry-broadcast=/topic/user-registry";

    private static Broker broker;
    private static Portal a;
    private static Portal b;

    @BeforeAll
    static void start() {
        broker = Broker.start();
        a = Portal.startConnected(broker, UNRESOLVED, REGISTRY);
        b = Portal.startConnected(broker, UNRESOLVED, REGISTRY);
    }

    @AfterAll
    static void stop() {
        a.close();
        b.close();
        broker.close();
    }

    @Test
    void aTopicSpansBoth() {
        var onA = a.browser("ada");
        var onB = b.browser("bob");
        onA.subscribe("t", "/topic/both");
        onB.subscribe("t", "/topic/both");
        a.template().convertAndSend("/topic/both", "from A");
        assertThat(onA.message().text()).isEqualTo("from A");
        assertThat(onB.message().text()).isEqualTo("from A");
        onB.confirmed("SEND", "from B's browser", "destination:/topic/both");
        assertThat(onA.message().text()).isEqualTo("from B's browser");
        onA.close();
        onB.close();
    }

    @Test
    void aUserKnownThroughTheRegistryIsReachedFromEitherInstance() {
        var onA = a.browser("grace");
        var onB = b.browser("grace");
        onA.subscribe("m", "/user/queue/mail");
        onB.subscribe("m", "/user/queue/mail");
        for (var portal : List.of(a, b)) {
            await().atMost(Waiting.PATIENCE)
                    .until(() -> portal.user("grace") != null && portal.user("grace").getSessions().size() == 2);
        }

        // Each reaches each session once: a second copy would come before what is sent next.
        for (int i = 0; i < 5; i++) {
            for (var portal : List.of(a, b)) {
                String mail = "mail " + i + " of " + (portal == a ? "A" : "B");
                portal.template().convertAndSendToUser("grace", "/queue/mail", mail);
                for (var browser : List.of(onA, onB)) {
                    var message = browser.message();
                    assertThat(message.text()).isEqualTo(mail);
                    assertThat(message.header("destination")).isEqualTo("/user/queue/mail");
                }
            }
        }
        onB.subscribe("r", "/user/queue/reminders");
        onA.subscribe("r", "/user/queue/reminders");
        onA.frame("SEND", "tea", "destination:/app/remind", "content-type:text/plain");
        assertThat(onA.message().text()).isEqualTo("tea");
        assertThat(onB.message().text()).isEqualTo("tea");
        onA.close();
        onB.close();
    }

    /** Without a registry an instance asks the others by broadcasting what it cannot resolve. */
    @Test
    void aUserKnownToTheOtherInstanceAloneIsReachedByBroadcast() {
        String elsewhere = "gudok.user-destination-broadcast=/topic/unresolved-without-registry";
        try (var first = Portal.startConnected(broker, elsewhere);
                var second = Portal.startConnected(broker, elsewhere)) {
            var browser = second.browser("linus");
            browser.subscribe("m", "/user/queue/mail");
            assertThat(first.user("linus")).isNull();

            for (int i = 0; i < 5; i++) {
                first.template().convertAndSendToUser("linus", "/queue/mail", Map.of("number", i));
                var message = browser.message();
                assertThat(message.text()).isEqualTo("{\"number\":" + i + "}");
                assertThat(message.header("destination")).isEqualTo("/user/queue/mail");
                assertThat(message.header("content-type")).isEqualTo("application/json");
            }
            browser.confirmed("DISCONNECT", "");
        }
    }

    /** The registry is one message with all users, sessions and subscriptions: over 64 KiB here. */
    @Test
    void aLargeRegistryReachesTheOtherInstance() {
        var browsers = new ArrayList<Browser>();
        for (int i = 0; i < 50; i++) {
            var browser = a.browser("crowd-" + i);
            for (int s = 0; s < 12; s++) {
                browser.frame("SUBSCRIBE", "", "id:s-" + s, "destination:/topic/" + "long-name.".repeat(10) + s);
            }
            browsers.add(browser);
        }
        await().atMost(Waiting.PATIENCE).until(() -> b.user("crowd-0") != null && b.user("crowd-49") != null
                && b.user("crowd-49").getSessions().iterator().next().getSubscriptions().size() == 12);
        assertThat(b.userCount()).isGreaterThanOrEqualTo(50);
        browsers.forEach(browser -> browser.confirmed("DISCONNECT", ""));
        await().atMost(Waiting.PATIENCE).until(() -> b.user("crowd-0") == null);
    }
}
