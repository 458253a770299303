package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession.Subscription;

/** What arrived on one subscription of a Spring client, in order. */
final class Inbox implements StompFrameHandler {

    record Letter(StompHeaders headers, byte[] body) {

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }
    }

    private final BlockingQueue<Letter> letters = new LinkedBlockingQueue<>();
    private Subscription subscription;

    void of(Subscription subscription) {
        this.subscription = subscription;
    }

    Subscription subscription() {
        return subscription;
    }

    Letter next() {
        return Waiting.next(letters, () -> "MESSAGE");
    }

    void assertEmpty() {
        assertThat(letters).isEmpty();
    }

    @Override
    public Type getPayloadType(StompHeaders headers) {
        return byte[].class;
    }

    @Override
    public void handleFrame(StompHeaders headers, Object payload) {
        letters.add(new Letter(headers, payload == null ? new byte[0] : (byte[]) payload));
    }
}
