package gudok.interop;

import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSession.Receiptable;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;

/** One connection of a Spring client. Every frame asks for a receipt, and each call waits for it. */
final class Session extends StompSessionHandlerAdapter {

    private final CompletableFuture<StompSession> stomp = new CompletableFuture<>();
    private final CompletableFuture<StompHeaders> connected = new CompletableFuture<>();
    private final CompletableFuture<Inbox.Letter> error = new CompletableFuture<>();
    private final CompletableFuture<Throwable> lost = new CompletableFuture<>();

    StompSession stomp() {
        return Waiting.on(stomp);
    }

    /** The headers of CONNECTED. */
    StompHeaders connected() {
        return Waiting.on(connected);
    }

    /** The ERROR frame. */
    Inbox.Letter error() {
        return Waiting.on(error);
    }

    /** Why the connection was lost. */
    Throwable lost() {
        return Waiting.on(lost);
    }

    boolean isLost() {
        return lost.isDone();
    }

    Inbox subscribe(String destination, String... headers) {
        var inbox = new Inbox();
        inbox.of(stomp().subscribe(headers(destination, headers), inbox));
        receipt(inbox.subscription());
        return inbox;
    }

    StompHeaders send(String destination, String body, String... headers) {
        return send(destination, body.getBytes(StandardCharsets.UTF_8), headers);
    }

    StompHeaders send(String destination, byte[] body, String... headers) {
        return receipt(stomp().send(headers(destination, headers), body));
    }

    StompHeaders ack(Inbox.Letter letter) {
        return receipt(stomp().acknowledge(letter.headers().getAck(), true));
    }

    StompHeaders nack(Inbox.Letter letter) {
        return receipt(stomp().acknowledge(letter.headers().getAck(), false));
    }

    StompHeaders receipt(Receiptable frame) {
        var receipt = new CompletableFuture<StompHeaders>();
        error.thenAccept(e -> receipt.completeExceptionally(
                new AssertionError("ERROR instead of RECEIPT: " + e.headers() + " " + e.text())));
        frame.addReceiptTask(receipt::complete);
        frame.addReceiptLostTask(() -> receipt.completeExceptionally(new AssertionError("no RECEIPT")));
        return Waiting.on(receipt);
    }

    static StompHeaders headers(String destination, String... namesAndValues) {
        var headers = new StompHeaders();
        headers.setDestination(destination);
        for (int i = 0; i < namesAndValues.length; i += 2) {
            headers.add(namesAndValues[i], namesAndValues[i + 1]);
        }
        return headers;
    }

    @Override
    public void afterConnected(StompSession session, StompHeaders connectedHeaders) {
        session.setAutoReceipt(true);
        connected.complete(connectedHeaders);
        stomp.complete(session);
    }

    @Override
    public Type getPayloadType(StompHeaders headers) {
        return byte[].class;
    }

    @Override
    public void handleFrame(StompHeaders headers, Object payload) {
        error.complete(new Inbox.Letter(headers, payload == null ? new byte[0] : (byte[]) payload));
    }

    @Override
    public void handleException(
            StompSession session, StompCommand command, StompHeaders headers, byte[] payload, Throwable exception) {
        fail(exception);
    }

    @Override
    public void handleTransportError(StompSession session, Throwable exception) {
        lost.complete(exception);
        fail(exception);
    }

    private void fail(Throwable exception) {
        stomp.completeExceptionally(exception);
        connected.completeExceptionally(exception);
    }
}
