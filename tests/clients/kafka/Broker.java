import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Apache Kafka as a child of a test, in one Java process: formats its directory the first time, starts the broker, and
 * ends when the parent is gone.
 *
 * <pre>
 *   java -cp ... Broker run DIR [arguments of kafka-storage format]    DIR has server.properties and gets data/
 *   java -XX:ArchiveClassesAtExit=FILE -cp ... Broker archive          starts and stops once, for the class archive
 * </pre>
 *
 * The parent holds the other end of standard input. When it closes, by whatever end of the parent, the process halts
 * and DIR goes with it; SIGTERM stops the broker in order, and DIR stays.
 */
public final class Broker {
    private static final String CLUSTER = "d2VpcnRlc3Rjc2x1c3Rlcg";

    public static void main(String[] arguments) throws Exception {
        switch (arguments.length == 0 ? "" : arguments[0]) {
            case "run" -> {
                Path directory = Path.of(arguments[1]);
                haltWithParent(directory);
                run(directory, List.of(arguments).subList(2, arguments.length));
            }
            case "archive" -> archive();
            default -> throw new IllegalArgumentException("say run DIR or archive");
        }
    }

    private static void run(Path directory, List<String> formatArguments) {
        String properties = directory.resolve("server.properties").toString();
        if (!Files.exists(directory.resolve("data/meta.properties"))) {
            List<String> format = new ArrayList<>(List.of("format", "--standalone", "-t", CLUSTER, "-c", properties));
            format.addAll(formatArguments);
            int code = kafka.tools.StorageTool.execute(format.toArray(String[]::new), new PrintStream(PrintStream.nullOutputStream()));
            if (code != 0) {
                throw new IllegalStateException("the directory could not be formatted: " + code);
            }
        }
        kafka.Kafka.main(new String[] {properties});
    }

    private static void haltWithParent(Path directory) {
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // The parent writes nothing; it only holds the pipe open.
                }
            } catch (IOException error) {
                // As good as closed.
            }
            remove(directory);
            Runtime.getRuntime().halt(1);
        }, "parent");
        watch.setDaemon(true);
        watch.start();
    }

    private static void remove(Path directory) {
        try (Stream<Path> found = Files.walk(directory)) {
            found.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
        } catch (IOException | UncheckedIOException error) {
            // The broker was writing into it; what is left lies in the temporary directory.
        }
    }

    private static void archive() throws Exception {
        Path directory = Files.createTempDirectory("weir-kafka");
        String listener = "127.0.0.1:" + freePort();
        String controller = "127.0.0.1:" + freePort();
        Files.writeString(directory.resolve("server.properties"), String.join("\n",
            "process.roles=broker,controller", "node.id=1", "controller.quorum.bootstrap.servers=" + controller,
            "listeners=PLAINTEXT://" + listener + ",CONTROLLER://" + controller, "controller.listener.names=CONTROLLER",
            "inter.broker.listener.name=PLAINTEXT", "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
            "log.dirs=" + directory.resolve("data")));
        Thread broker = new Thread(() -> run(directory, List.of()), "broker");
        broker.setDaemon(true);
        broker.start();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", listener))) {
            admin.createTopics(List.of(new NewTopic("topic", 2, (short) 1))).all().get();
        }
        Map<String, Object> settings = Map.of("bootstrap.servers", listener, "compression.type", "zstd");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("topic", "key", "value")).get();
        }
        // The broker's own hook stops it in order.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> remove(directory)));
        System.exit(0);
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }
}
