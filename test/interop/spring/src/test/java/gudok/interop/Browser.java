package gudok.interop;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.springframework.messaging.Message;
import org.springframework.messaging.simp.stomp.StompDecoder;
import org.springframework.messaging.simp.stomp.StompHeaderAccessor;

/** A WebSocket client that sends the frames it is told to, well-formed or not, as a page's script could. */
final class Browser implements WebSocket.Listener, AutoCloseable {

    /** A frame that came. */
    record Frame(StompHeaderAccessor headers, byte[] body) {

        String header(String name) {
            return headers.getFirstNativeHeader(name);
        }

        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }
    }

    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private final BlockingQueue<Frame> connected = new LinkedBlockingQueue<>();
    private final BlockingQueue<Frame> messages = new LinkedBlockingQueue<>();
    private final BlockingQueue<Frame> receipts = new LinkedBlockingQueue<>();
    private final BlockingQueue<Frame> errors = new LinkedBlockingQueue<>();
    private final AtomicInteger heartBeats = new AtomicInteger();
    private final AtomicInteger receiptIds = new AtomicInteger();
    private final CompletableFuture<Integer> closed = new CompletableFuture<>();
    private final ByteArrayOutputStream part = new ByteArrayOutputStream();
    private WebSocket socket;

    private Browser() {
    }

    /** Shakes hands, no more. */
    static Browser open(String url) {
        var browser = new Browser();
        browser.socket = Waiting.on(HTTP.newWebSocketBuilder()
                .subprotocols("v12.stomp", "v11.stomp", "v10.stomp")
                .buildAsync(URI.create(url), browser));
        return browser;
    }

    /** Shakes hands and logs in; without heart-beats. */
    static Browser connect(String url) {
        var browser = open(url);
        browser.frame("CONNECT", "", "accept-version:1.2", "heart-beat:0,0");
        browser.connected();
        return browser;
    }

    /** Sends a frame; headers are written as they are. */
    void frame(String command, String body, String... headers) {
        var text = new StringBuilder(command).append('\n');
        for (String header : headers) {
            text.append(header).append('\n');
        }
        Waiting.on(socket.sendText(text.append('\n').append(body).append('\0'), true));
    }

    /** Sends a frame with a receipt header and waits for the RECEIPT. */
    void confirmed(String command, String body, String... headers) {
        String id = "r-" + receiptIds.incrementAndGet();
        String[] all = Arrays.copyOf(headers, headers.length + 1);
        all[headers.length] = "receipt:" + id;
        frame(command, body, all);
        assertThat(Waiting.next(receipts, () -> "RECEIPT; " + state()).header("receipt-id")).isEqualTo(id);
    }

    void subscribe(String id, String destination, String... headers) {
        String[] all = Arrays.copyOf(headers, headers.length + 2);
        all[headers.length] = "id:" + id;
        all[headers.length + 1] = "destination:" + destination;
        confirmed("SUBSCRIBE", "", all);
    }

    Frame connected() {
        return Waiting.next(connected, () -> "CONNECTED; " + state());
    }

    Frame message() {
        return Waiting.next(messages, () -> "MESSAGE; " + state());
    }

    Frame error() {
        return Waiting.next(errors, () -> "ERROR; " + state());
    }

    int heartBeats() {
        return heartBeats.get();
    }

    void assertNoMessage() {
        assertThat(messages).isEmpty();
    }

    void assertNoReceipt() {
        assertThat(receipts).isEmpty();
    }

    /** The close code with which the other side ended the connection. */
    int closed() {
        return Waiting.on(closed);
    }

    /** Ends the connection as a page that is closed: without DISCONNECT. */
    @Override
    public void close() {
        if (!socket.isOutputClosed()) {
            socket.sendClose(WebSocket.NORMAL_CLOSURE, "").exceptionally(e -> null).join();
        }
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
        return onBytes(data.toString().getBytes(StandardCharsets.UTF_8), last);
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        return onBytes(bytes, last);
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        closed.complete(code);
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
        closed.completeExceptionally(error);
    }

    /** What a failed test should know. */
    private String state() {
        return "ERROR frames " + errors + ", receipts " + receipts + ", closed " + closed;
    }

    private CompletionStage<?> onBytes(byte[] bytes, boolean last) {
        part.writeBytes(bytes);
        if (last) {
            for (Message<byte[]> message : new StompDecoder().decode(ByteBuffer.wrap(part.toByteArray()))) {
                sort(StompHeaderAccessor.wrap(message), message.getPayload());
            }
            part.reset();
        }
        socket.request(1);
        return null;
    }

    private void sort(StompHeaderAccessor headers, byte[] body) {
        if (headers.isHeartbeat()) {
            heartBeats.incrementAndGet();
            return;
        }
        var frame = new Frame(headers, body);
        switch (headers.getCommand()) {
            case CONNECTED -> connected.add(frame);
            case MESSAGE -> messages.add(frame);
            case RECEIPT -> receipts.add(frame);
            case ERROR -> errors.add(frame);
            default -> throw new AssertionError("a server sent " + headers.getCommand());
        }
    }
}
