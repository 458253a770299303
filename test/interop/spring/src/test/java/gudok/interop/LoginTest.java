package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.StompHeaders;

/** A broker with users. */
class LoginTest {

    // In the passwords is the word that the harness searches for in what the broker prints.
    private static Broker broker;
    private static Clients clients;

    @BeforeAll
    static void start() {
        broker = Broker.start("[{name: portal, password_hash: '%s'}, {name: pages, password_hash: '%s'}]"
                .formatted(Broker.hash("bcrypt", "system c4n4ry"), Broker.hash("argon2id", "client:c4n4ry\\")));
        clients = new Clients(broker);
    }

    @AfterAll
    static void stop() {
        clients.close();
        broker.close();
    }

    private static Portal portal(String systemPasscode, String clientPasscode) {
        return Portal.start(broker,
                "gudok.system-login=portal", "gudok.system-passcode=" + systemPasscode,
                "gudok.client-login=pages", "gudok.client-passcode=" + clientPasscode);
    }

    private static List<Function<StompHeaders, Session>> bothClients() {
        return List.of(clients::webSocket, clients::tcp);
    }

    private static StompHeaders login(String login, String passcode) {
        var headers = new StompHeaders();
        headers.setLogin(login);
        headers.setPasscode(passcode);
        return headers;
    }

    @Test
    void theRightPasswordsOpenTheRelay() {
        try (var portal = portal("system c4n4ry", "client:c4n4ry\\")) {
            assertThat(portal.nextAvailability()).isTrue();
            var browser = portal.browser("ada");
            browser.subscribe("n", "/topic/news");
            portal.template().convertAndSend("/topic/news", "hello");
            assertThat(browser.message().text()).isEqualTo("hello");
            browser.confirmed("DISCONNECT", "");
        }
    }

    @Test
    void aWrongSystemPasswordNeverMakesTheBrokerAvailable() {
        try (var portal = portal("wrong c4n4ry", "client:c4n4ry\\")) {
            // Spring tries again after five seconds, so two attempts fall into this.
            await().during(Duration.ofSeconds(6)).atMost(Duration.ofSeconds(12))
                    .until(() -> !portal.availability().contains(true));
            var browser = Browser.open(portal.url("ada"));
            browser.frame("CONNECT", "", "accept-version:1.2");
            assertThat(browser.error().header("message")).isEqualTo("Broker not available.");
        }
    }

    @Test
    void aWrongClientPasswordRefusesBrowsersAlone() {
        try (var portal = portal("system c4n4ry", "wrong c4n4ry")) {
            assertThat(portal.nextAvailability()).isTrue();
            var browser = Browser.open(portal.url("ada"));
            browser.frame("CONNECT", "", "accept-version:1.2");
            assertThat(browser.error().header("message")).isNotBlank();
            browser.closed();
            portal.template().convertAndSend("/topic/news", "the system session lives");
            assertThat(portal.availability()).isEmpty();
        }
    }

    @Test
    void springClientsLogIn() {
        for (var open : bothClients()) {
            var session = open.apply(login("pages", "client:c4n4ry\\"));
            assertThat(session.connected().getFirst("user-name")).isEqualTo("pages");
            var inbox = session.subscribe("/topic/in");
            session.send("/topic/in", "x");
            assertThat(inbox.next().text()).isEqualTo("x");
            session.stomp().disconnect();
        }
    }

    @Test
    void springClientsWithAWrongOrNoLoginGetErrorAndTheConnectionEnds() {
        for (var open : bothClients()) {
            for (var headers : List.of(login("pages", "wrong c4n4ry"), login("nobody", "client:c4n4ry\\"),
                    login("pages", ""), new StompHeaders())) {
                var session = open.apply(headers);
                assertThat(session.error().headers().getFirst("message")).isNotBlank();
                session.lost();
                assertThatThrownBy(session::stomp).isInstanceOf(AssertionError.class);
            }
        }
    }
}
