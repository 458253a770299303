package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;

import gudok.portal.PortalApplication;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.beans.factory.config.BeanPostProcessor;
import org.springframework.context.ApplicationListener;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.user.SimpUser;
import org.springframework.messaging.simp.user.SimpUserRegistry;
import org.springframework.messaging.simp.user.UserRegistryMessageHandler;

/** One running instance of the application. */
final class Portal implements AutoCloseable {

    private final BlockingQueue<Boolean> availability = new LinkedBlockingQueue<>();
    private final ConfigurableApplicationContext context;

    private Portal(Broker broker, String... properties) {
        var arguments = new ArrayList<>(List.of(
                "--server.port=0", "--logging.level.root=off", "--gudok.port=" + broker.tcpPort()));
        for (String property : properties) {
            arguments.add("--" + property);
        }
        ApplicationListener<BrokerAvailabilityEvent> listener = e -> availability.add(e.isBrokerAvailable());
        context = new SpringApplicationBuilder(PortalApplication.class)
                .listeners(listener)
                .initializers(c -> c.getBeanFactory().addBeanPostProcessor(new QuickRegistry()))
                .run(arguments.toArray(String[]::new));
    }

    /** Instances tell one another of their users each second instead of every ten. */
    private static final class QuickRegistry implements BeanPostProcessor {

        @Override
        public Object postProcessAfterInitialization(Object bean, String name) {
            if (bean instanceof UserRegistryMessageHandler registry) {
                registry.setRegistryExpirationPeriod(2000);
            }
            return bean;
        }
    }

    /** Starts an instance that need not reach the broker. */
    static Portal start(Broker broker, String... properties) {
        return new Portal(broker, properties);
    }

    /** Starts an instance and waits until it has reached the broker. */
    static Portal startConnected(Broker broker, String... properties) {
        var portal = start(broker, properties);
        assertThat(portal.nextAvailability()).isTrue();
        return portal;
    }

    /** What the next BrokerAvailabilityEvent says. */
    boolean nextAvailability() {
        return Waiting.next(availability, () -> "BrokerAvailabilityEvent");
    }

    /** The BrokerAvailabilityEvents nobody asked for yet. */
    List<Boolean> availability() {
        return List.copyOf(availability);
    }

    String url(String user) {
        String url = "ws://127.0.0.1:" + context.getEnvironment().getProperty("local.server.port") + "/portal-ws";
        return user.isEmpty() ? url : url + "?user=" + user;
    }

    /** A page of this user, connected. */
    Browser browser(String user) {
        return Browser.connect(url(user));
    }

    SimpMessagingTemplate template() {
        return context.getBean(SimpMessagingTemplate.class);
    }

    /** A user this instance knows, on whatever instance; null if it knows none of that name. */
    SimpUser user(String name) {
        return context.getBean(SimpUserRegistry.class).getUser(name);
    }

    int userCount() {
        return context.getBean(SimpUserRegistry.class).getUserCount();
    }

    @Override
    public void close() {
        context.close();
    }
}
