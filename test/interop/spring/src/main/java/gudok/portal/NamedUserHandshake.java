package gudok.portal;

import java.security.Principal;
import java.util.Map;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import org.springframework.web.util.UriComponentsBuilder;

/** Stands for a login: /portal-ws?user=ada is Ada's. */
class NamedUserHandshake extends DefaultHandshakeHandler {

    private record Named(String getName) implements Principal {
    }

    @Override
    protected Principal determineUser(
            ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
        String user = UriComponentsBuilder.fromUri(request.getURI()).build().getQueryParams().getFirst("user");
        return user == null ? null : new Named(user);
    }
}
