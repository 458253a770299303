package gudok.interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.springframework.util.FileSystemUtils;

/**
 * The broker as a process of its own, on free ports of this machine and with a directory of its own.
 * The program is the one named by GUDOK_BINARY, or else built from this repository.
 */
final class Broker implements AutoCloseable {

    private static final Pattern WEB_SOCKET = Pattern.compile("ws://127\\.0\\.0\\.1:(\\d+)/ws");
    private static final Pattern TCP = Pattern.compile("stomp://127\\.0\\.0\\.1:(\\d+)");

    private static Path program;

    private final Path directory;
    private final String users;
    private int webSocketPort;
    private int tcpPort;
    private Process process;
    private StringBuffer said;

    private Broker(Path directory, String users) {
        this.directory = directory;
        this.users = users;
    }

    /** A broker without configured users. */
    static Broker start() {
        return start("");
    }

    /** A broker with {@code users}, a YAML list on one line; empty for none. */
    static Broker start(String users) {
        try {
            var broker = new Broker(Files.createTempDirectory("gudok-spring-"), users);
            broker.run();
            return broker;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What {@code broker passwd} makes of a password: a hash of the kind bcrypt or argon2id. */
    static String hash(String kind, String password) {
        try {
            var process = command("passwd", "-kind", kind).start();
            try (var in = process.outputWriter()) {
                in.write(password + "\n");
            }
            String out = new String(process.getInputStream().readAllBytes()).strip();
            String err = new String(process.getErrorStream().readAllBytes()).strip();
            if (process.waitFor() != 0 || out.isEmpty()) {
                throw new AssertionError("broker passwd: " + out + err);
            }
            return out.substring(out.lastIndexOf('\n') + 1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    String webSocketUrl() {
        return "ws://127.0.0.1:" + webSocketPort + "/ws";
    }

    int tcpPort() {
        return tcpPort;
    }

    /** Ends the process without a warning. */
    void kill() {
        assertAlive();
        process.toHandle().destroyForcibly();
        awaitEnd();
    }

    // Process.destroy would close the output too, and what the broker says last would end it.
    /** Asks the process to end, and waits until it has done so in good order. */
    void stop() {
        assertAlive();
        process.toHandle().destroy();
        int code = awaitEnd();
        if (code != 0) {
            throw new AssertionError("broker ended with " + code + ":\n" + said);
        }
    }

    /** Starts it again after kill or stop, on the same ports. */
    void restart() {
        run();
    }

    @Override
    public void close() {
        try {
            if (process.isAlive()) {
                stop();
            }
        } finally {
            try {
                FileSystemUtils.deleteRecursively(directory);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private void run() {
        var webSocket = new CompletableFuture<Integer>();
        var tcp = new CompletableFuture<Integer>();
        said = new StringBuffer();
        try {
            Path file = directory.resolve("gudok.yaml");
            Files.writeString(file, """
                    http:
                      listen: 127.0.0.1:%d
                    tcp:
                      listen: 127.0.0.1:%d
                    """.formatted(webSocketPort, tcpPort) + (users.isEmpty() ? "" : "users: " + users + "\n"));
            process = command("-config", file.toString())
                    .directory(directory.toFile())
                    .redirectErrorStream(true)
                    .start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        var output = process.inputReader();
        var words = said;
        var reader = new Thread(() -> read(output, words, webSocket, tcp), "broker output");
        reader.setDaemon(true);
        reader.start();
        webSocketPort = Waiting.on(webSocket);
        tcpPort = Waiting.on(tcp);
    }

    private static void read(
            BufferedReader output,
            StringBuffer said,
            CompletableFuture<Integer> webSocket,
            CompletableFuture<Integer> tcp) {
        try (output) {
            for (String line; (line = output.readLine()) != null; ) {
                said.append(line).append('\n');
                find(WEB_SOCKET, line, webSocket);
                find(TCP, line, tcp);
            }
        } catch (IOException e) {
            said.append(e).append('\n');
        }
        var ended = new IllegalStateException("broker ended before it named its addresses:\n" + said);
        webSocket.completeExceptionally(ended);
        tcp.completeExceptionally(ended);
    }

    private static void find(Pattern pattern, String line, CompletableFuture<Integer> port) {
        Matcher matcher = pattern.matcher(line);
        if (matcher.find()) {
            port.complete(Integer.valueOf(matcher.group(1)));
        }
    }

    private void assertAlive() {
        if (!process.isAlive()) {
            throw new AssertionError("broker ended by itself with " + process.exitValue() + ":\n" + said);
        }
    }

    private int awaitEnd() {
        try {
            if (!process.waitFor(Waiting.PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
                process.toHandle().destroyForcibly();
                throw new AssertionError("broker does not end:\n" + said);
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** The program with nothing in its environment that it would take for a setting. */
    private static ProcessBuilder command(String... arguments) throws IOException {
        var words = new ArrayList<String>();
        words.add(program().toString());
        words.addAll(List.of(arguments));
        var builder = new ProcessBuilder(words);
        builder.environment().keySet().removeIf(name -> name.startsWith("GUDOK_"));
        return builder;
    }

    private static synchronized Path program() throws IOException {
        if (program != null) {
            return program;
        }
        String given = System.getenv("GUDOK_BINARY");
        if (given != null && !given.isEmpty()) {
            return program = Path.of(given).toAbsolutePath();
        }
        Path built = Path.of("target", "broker").toAbsolutePath();
        var build = new ProcessBuilder("go", "build", "-o", built.toString(), "./cmd/broker")
                .directory(Path.of("..", "..", "..").toFile())
                .redirectErrorStream(true)
                .start();
        String out = new String(build.getInputStream().readAllBytes());
        if (build.onExit().join().exitValue() != 0) {
            throw new IllegalStateException("go build ./cmd/broker: " + out);
        }
        return program = built;
    }
}
