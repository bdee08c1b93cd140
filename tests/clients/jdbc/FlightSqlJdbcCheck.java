import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * Drives a running weir server with the Arrow Flight SQL JDBC driver (what DBeaver, Tableau and Metabase use).
 *
 * <pre>
 * java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver.jar \
 *     tests/clients/jdbc/FlightSqlJdbcCheck.java jdbc:arrow-flight-sql://127.0.0.1:32010?useEncryption=false USER PASSWORD
 * </pre>
 *
 * Prints `ok name` for each check and stops at the first that fails, with exit code 1.
 */
public class FlightSqlJdbcCheck {
    private interface Check {
        void run(Connection connection) throws Exception;
    }

    private final String url;
    private final String user;
    private final String password;
    private int passed;

    private FlightSqlJdbcCheck(String url, String user, String password) {
        this.url = url;
        this.user = user;
        this.password = password;
    }

    public static void main(String[] arguments) {
        if (arguments.length != 3) {
            System.err.println("usage: FlightSqlJdbcCheck URL USER PASSWORD");
            System.exit(2);
        }
        FlightSqlJdbcCheck checks = new FlightSqlJdbcCheck(arguments[0], arguments[1], arguments[2]);
        checks.all();
        System.out.println(checks.passed + " passed, 0 failed");
        System.exit(0);
    }

    private void all() {
        check("a wrong password is refused", connection -> expectError(() -> {
            try (Connection refused = connect("not the password"); Statement statement = refused.createStatement()) {
                statement.executeQuery("SELECT 1");
            }
        }, ""));
        check("connects and says what it is", FlightSqlJdbcCheck::product);
        check("executes statements", FlightSqlJdbcCheck::statements);
        check("creates a table and counts inserted rows", FlightSqlJdbcCheck::updates);
        check("binds parameters of a query", FlightSqlJdbcCheck::boundQuery);
        check("binds parameters of an update, also in a batch", FlightSqlJdbcCheck::boundUpdate);
        check("lists catalogs, schemas, tables and types", FlightSqlJdbcCheck::objects);
        check("lists columns with their types", FlightSqlJdbcCheck::columns);
        check("lists keys", FlightSqlJdbcCheck::keys);
        check("knows the columns of a result", FlightSqlJdbcCheck::resultColumns);
        check("explains a failure in one line", FlightSqlJdbcCheck::failures);
        check("drops what it made", connection -> {
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("DROP TABLE jdbc_check_rows");
            }
        });
    }

    private Connection connect(String withPassword) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", user);
        properties.put("password", withPassword);
        return DriverManager.getConnection(url, properties);
    }

    private void check(String name, Check check) {
        try (Connection connection = connect(password)) {
            check.run(connection);
        } catch (Throwable failure) {
            failure.printStackTrace(System.out);
            System.out.println("FAILED " + name);
            System.out.println(passed + " passed, 1 failed");
            System.exit(1);
        }
        System.out.println("ok " + name);
        passed++;
    }

    private static void product(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        expect("weir", metadata.getDatabaseProductName());
        expect("\"", metadata.getIdentifierQuoteString());
        expect(true, metadata.supportsFullOuterJoins());
        expect(false, metadata.supportsTransactions());
        if (metadata.getSQLKeywords().isEmpty()) {
            throw new AssertionError("no keywords");
        }
    }

    private static void statements(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY a")) {
            expect(true, rows.next());
            expect(1L, rows.getLong("a"));
            expect("x", rows.getString("b"));
            expect(true, rows.next());
            expect(null, rows.getString(2));
            expect(false, rows.next());
        }
    }

    private static void updates(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("DROP TABLE IF EXISTS jdbc_check_rows");
            statement.executeUpdate("CREATE TABLE jdbc_check_rows (id BIGINT, name VARCHAR, price DECIMAL(10, 2), day DATE)");
            int inserted = statement.executeUpdate(
                    "INSERT INTO jdbc_check_rows VALUES (1, 'one', 1.50, DATE '2026-01-01'), (2, 'two', 2.25, NULL)");
            expect(2, inserted);
            expect(2L, count(connection));
        }
    }

    private static void boundQuery(Connection connection) throws SQLException {
        String sql = "SELECT id, name, price, day FROM jdbc_check_rows WHERE id = ? AND name = ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            expect(2, statement.getParameterMetaData().getParameterCount());
            // The same statement twice: the second binding replaces the first.
            for (int round = 0; round < 2; round++) {
                statement.setLong(1, round + 1);
                statement.setString(2, round == 0 ? "one" : "two");
                try (ResultSet rows = statement.executeQuery()) {
                    expect(true, rows.next());
                    expect(round + 1L, rows.getLong(1));
                    expect(new BigDecimal(round == 0 ? "1.50" : "2.25"), rows.getBigDecimal(3));
                    expect(round == 0 ? Date.valueOf("2026-01-01").toString() : null,
                            rows.getDate(4) == null ? null : rows.getDate(4).toString());
                    expect(false, rows.next());
                }
            }
        }
    }

    private static void boundUpdate(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO jdbc_check_rows (id, name) VALUES (?, ?)")) {
            statement.setLong(1, 3);
            statement.setString(2, "three");
            expect(1, statement.executeUpdate());
            for (long id = 4; id < 7; id++) {
                statement.setLong(1, id);
                statement.setString(2, "many");
                statement.addBatch();
            }
            statement.executeBatch();
        }
        expect(6L, count(connection));
    }

    private static void objects(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        try (ResultSet catalogs = metadata.getCatalogs()) {
            expect(List.of("weir"), strings(catalogs, "TABLE_CAT"));
        }
        try (ResultSet schemas = metadata.getSchemas()) {
            expect(true, strings(schemas, "TABLE_SCHEM").contains("public"));
        }
        try (ResultSet types = metadata.getTableTypes()) {
            expect(List.of("SYSTEM TABLE", "TABLE", "VIEW"), strings(types, "TABLE_TYPE"));
        }
        try (ResultSet tables = metadata.getTables(null, null, "jdbc\\_check\\_%", null)) {
            expect(List.of("jdbc_check_rows"), strings(tables, "TABLE_NAME"));
        }
        try (ResultSet tables = metadata.getTables(null, "nowhere", "%", null)) {
            expect(List.of(), strings(tables, "TABLE_NAME"));
        }
    }

    private static void columns(Connection connection) throws SQLException {
        try (ResultSet columns = connection.getMetaData().getColumns(null, null, "jdbc_check_rows", "%")) {
            List<String> found = new ArrayList<>();
            while (columns.next()) {
                found.add(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " " + columns.getInt("ORDINAL_POSITION"));
            }
            expect(List.of("id BIGINT 1", "name VARCHAR 2", "price DECIMAL 3", "day DATE 4"), found);
        }
    }

    private static void keys(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        try (ResultSet keys = metadata.getPrimaryKeys(null, null, "jdbc_check_rows");
                ResultSet imported = metadata.getImportedKeys(null, null, "jdbc_check_rows");
                ResultSet exported = metadata.getExportedKeys(null, null, "jdbc_check_rows")) {
            expect(false, keys.next() || imported.next() || exported.next());
        }
    }

    private static void resultColumns(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) AS n, avg(price) AS mean FROM jdbc_check_rows")) {
            ResultSetMetaData metadata = statement.getMetaData();
            expect(2, metadata.getColumnCount());
            expect("n", metadata.getColumnName(1));
            expect(java.sql.Types.BIGINT, metadata.getColumnType(1));
        }
    }

    private static void failures(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            expectError(() -> statement.executeQuery("SELECT * FROM jdbc_check_nothing"), "jdbc_check_nothing");
            expectError(() -> statement.executeQuery("SELEC 1"), "selec");
            try (ResultSet rows = statement.executeQuery("SELECT 1")) {
                expect(true, rows.next());
            }
        }
    }

    private static long count(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT count(*) FROM jdbc_check_rows")) {
            rows.next();
            return rows.getLong(1);
        }
    }

    private static List<String> strings(ResultSet rows, String column) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(column));
        }
        return values;
    }

    private static void expect(Object expected, Object actual) {
        if (expected == null ? actual != null : !expected.equals(actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }

    private interface Failing {
        void run() throws Exception;
    }

    private static void expectError(Failing failing, String part) throws Exception {
        try {
            failing.run();
        } catch (SQLException error) {
            String message = String.valueOf(error.getMessage());
            if (!message.toLowerCase().contains(part.toLowerCase())) {
                throw new AssertionError("\"" + part + "\" is not in the message: " + message);
            }
            if (message.contains(".rs:") || message.contains("DataFusion")) {
                throw new AssertionError("internal text in the message: " + message);
            }
            return;
        }
        throw new AssertionError("no error, expected one with \"" + part + "\"");
    }
}
