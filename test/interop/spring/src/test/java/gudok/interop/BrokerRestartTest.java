package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.messaging.MessageDeliveryException;

/** The broker goes away and comes back while the application runs. */
class BrokerRestartTest {

    @ParameterizedTest
    @ValueSource(strings = {"killed", "stopped"})
    void theApplicationLearnsOfItAndTrafficResumes(String how) {
        try (var broker = Broker.start(); var portal = Portal.startConnected(broker)) {
            var before = portal.browser("ada");
            before.subscribe("n", "/topic/news");
            before.subscribe("m", "/user/queue/mail");
            portal.template().convertAndSend("/topic/news", "before");
            assertThat(before.message().text()).isEqualTo("before");

            if (how.equals("killed")) {
                broker.kill();
            } else {
                broker.stop();
            }
            assertThat(portal.nextAvailability()).isFalse();
            assertThat(before.error().header("message")).isNotBlank();
            before.closed();
            assertThatThrownBy(() -> portal.template().convertAndSend("/topic/news", "meanwhile"))
                    .isInstanceOf(MessageDeliveryException.class);
            var meanwhile = Browser.open(portal.url("ada"));
            meanwhile.frame("CONNECT", "", "accept-version:1.2");
            assertThat(meanwhile.error().header("message")).isEqualTo("Broker not available.");

            broker.restart();
            assertThat(portal.nextAvailability()).isTrue();
            var after = portal.browser("ada");
            after.subscribe("n", "/topic/news");
            after.subscribe("m", "/user/queue/mail");
            portal.template().convertAndSend("/topic/news", "after");
            assertThat(after.message().text()).isEqualTo("after");
            portal.template().convertAndSendToUser("ada", "/queue/mail", "mail");
            assertThat(after.message().text()).isEqualTo("mail");
            after.confirmed("DISCONNECT", "");
            assertThat(portal.availability()).isEmpty();
        }
    }
}
