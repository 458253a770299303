package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.springframework.messaging.simp.stomp.StompHeaders;

/** Spring's WebSocketStompClient on the standard WebSocket client (Tomcat's). */
class WebSocketStompClientTest extends StompClientScenarios {

    @Override
    Session open(StompHeaders connect) {
        return clients.webSocket(connect);
    }

    @Test
    void aFrameMaySpanManyWebSocketMessages() {
        var client = clients.webSocketClient();
        client.setOutboundMessageSizeLimit(8 * 1024);
        try {
            var splitting = connect();
            String text = "0123456789abcdefghij".repeat(10_000);
            var inbox = splitting.subscribe("/topic/split");
            splitting.send("/topic/split", text, "content-type", "text/plain");
            assertThat(inbox.next().text()).isEqualTo(text);
            splitting.stomp().disconnect();
        } finally {
            client.setOutboundMessageSizeLimit(null);
        }
    }

    @Test
    void disconnectIsConfirmedBeforeTheSocketCloses() {
        var browser = Browser.connect(broker.webSocketUrl());
        browser.subscribe("s", "/queue/farewell");
        browser.confirmed("DISCONNECT", "");
        assertThat(browser.closed()).isEqualTo(1000);

        session.send("/queue/farewell", "too late for it");
        assertThat(session.subscribe("/queue/farewell").next().text()).isEqualTo("too late for it");
    }
}
