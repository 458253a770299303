package gudok.portal;

import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.messaging.simp.config.ChannelRegistration;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.util.StringUtils;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.config.annotation.WebSocketTransportRegistration;
import org.springframework.web.socket.server.standard.ServletServerContainerFactoryBean;

/** The relay: what a browser sends to /topic and /queue goes to the broker, and back. */
@Configuration
@EnableWebSocketMessageBroker
@EnableConfigurationProperties(GudokProperties.class)
class RelayConfiguration implements WebSocketMessageBrokerConfigurer {

    private static final int MESSAGE_SIZE = 512 * 1024;

    private final GudokProperties gudok;

    RelayConfiguration(GudokProperties gudok) {
        this.gudok = gudok;
    }

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
        registry.setApplicationDestinationPrefixes("/app");
        // Without it Spring's thread pools may overtake one another.
        registry.setPreservePublishOrder(true);
        var relay = registry.enableStompBrokerRelay("/topic", "/queue")
                .setRelayHost(gudok.host())
                .setRelayPort(gudok.port())
                .setSystemLogin(gudok.systemLogin())
                .setSystemPasscode(gudok.systemPasscode())
                .setClientLogin(gudok.clientLogin())
                .setClientPasscode(gudok.clientPasscode());
        if (StringUtils.hasText(gudok.userDestinationBroadcast())) {
            relay.setUserDestinationBroadcast(gudok.userDestinationBroadcast());
        }
        if (StringUtils.hasText(gudok.userRegistryBroadcast())) {
            relay.setUserRegistryBroadcast(gudok.userRegistryBroadcast());
        }
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
        registry.addEndpoint("/portal-ws").setHandshakeHandler(new NamedUserHandshake());
    }

    @Override
    public void configureWebSocketTransport(WebSocketTransportRegistration transport) {
        transport.setMessageSizeLimit(MESSAGE_SIZE).setSendBufferSizeLimit(4 * MESSAGE_SIZE);
    }

    /**
     * With more threads Spring may close a session while another thread is about to write the RECEIPT
     * or ERROR that came just before the broker closed, and the browser never sees it.
     */
    @Override
    public void configureClientOutboundChannel(ChannelRegistration registration) {
        registration.taskExecutor().corePoolSize(1).maxPoolSize(1);
    }

    /** Tomcat's own limit of 8 KiB would come before Spring's. */
    @Bean
    ServletServerContainerFactoryBean webSocketContainer() {
        var container = new ServletServerContainerFactoryBean();
        container.setMaxTextMessageBufferSize(MESSAGE_SIZE);
        container.setMaxBinaryMessageBufferSize(MESSAGE_SIZE);
        return container;
    }
}
