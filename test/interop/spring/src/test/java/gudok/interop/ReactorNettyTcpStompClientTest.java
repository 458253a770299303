package gudok.interop;

import org.springframework.messaging.simp.stomp.StompHeaders;

/** Spring's ReactorNettyTcpStompClient. */
class ReactorNettyTcpStompClientTest extends StompClientScenarios {

    @Override
    Session open(StompHeaders connect) {
        return clients.tcp(connect);
    }
}
