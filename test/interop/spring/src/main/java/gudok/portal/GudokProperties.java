package gudok.portal;

import org.springframework.boot.context.properties.ConfigurationProperties;

/** Where the broker is and who logs in there; see application.properties. */
@ConfigurationProperties("gudok")
public record GudokProperties(
        String host,
        int port,
        String systemLogin,
        String systemPasscode,
        String clientLogin,
        String clientPasscode,
        String userDestinationBroadcast,
        String userRegistryBroadcast) {
}
