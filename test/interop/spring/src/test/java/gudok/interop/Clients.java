package gudok.interop;

import jakarta.websocket.ContainerProvider;
import java.net.URI;
import org.springframework.messaging.simp.stomp.ReactorNettyTcpStompClient;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** Spring's two STOMP clients, for one broker. */
final class Clients implements AutoCloseable {

    static final int MESSAGE_SIZE = 512 * 1024;

    private final Broker broker;
    private final ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();
    private final WebSocketStompClient webSocket;
    private final ReactorNettyTcpStompClient tcp;

    Clients(Broker broker) {
        this.broker = broker;
        scheduler.initialize();
        var container = ContainerProvider.getWebSocketContainer();
        container.setDefaultMaxTextMessageBufferSize(MESSAGE_SIZE);
        container.setDefaultMaxBinaryMessageBufferSize(MESSAGE_SIZE);
        webSocket = new WebSocketStompClient(new StandardWebSocketClient(container));
        webSocket.setInboundMessageSizeLimit(MESSAGE_SIZE);
        webSocket.setTaskScheduler(scheduler);
        tcp = new ReactorNettyTcpStompClient("127.0.0.1", broker.tcpPort());
        tcp.setTaskScheduler(scheduler);
    }

    /** The WebSocket client itself, for options of a test; they hold for later connections. */
    WebSocketStompClient webSocketClient() {
        return webSocket;
    }

    Session webSocket(StompHeaders connect) {
        var session = new Session();
        webSocket.connectAsync(URI.create(broker.webSocketUrl()), new WebSocketHttpHeaders(), connect, session);
        return session;
    }

    Session tcp(StompHeaders connect) {
        var session = new Session();
        tcp.connectAsync(connect, session);
        return session;
    }

    @Override
    public void close() {
        webSocket.stop();
        tcp.shutdown();
        scheduler.shutdown();
    }
}
