//! Options as typed, and what is refused.

use super::*;
use crate::connect::Start;
use crate::connect::kafka::{OnDataLoss, PayloadFormat, Startup};
use crate::error::{Code, Error, Result};
use crate::tables::hive::JsonTimestamp;
use std::path::PathBuf;

fn parse(options: &[(&str, &str)], secrets: &[(&str, &str)]) -> Result<KafkaOptions> {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect::<Vec<_>>();
    let check_file = |path: &str| match path {
        "/secret" => Err(Error::new(Code::ForbiddenLocation, "location \"/secret\" is outside of the allowed roots")),
        path => Ok(PathBuf::from("/allowed").join(path)),
    };
    KafkaOptions::parse("shop.events", pairs(options), pairs(secrets), &check_file)
}

fn with(more: &[(&str, &str)]) -> Result<KafkaOptions> {
    let mut options = vec![("connector", "kafka"), ("topic", "events"), ("properties.bootstrap.servers", "b:9092")];
    options.extend(more);
    parse(&options, &[])
}

#[track_caller]
fn refused(more: &[(&str, &str)], parts: &[&str]) {
    let error = with(more).expect_err(&format!("{more:?}"));
    for part in parts {
        assert!(error.to_string().contains(part), "{more:?}: {error}");
    }
}

#[test]
fn wrong_options_say_what_to_do() {
    refused(&[("topik", "x")], &["table \"shop.events\" has no option \"topik\"", "Did you mean \"topic\"?"]);
    refused(&[("subscribe", "x")], &["given twice"]);
    refused(&[("kafka.topic", "x")], &["given twice"]);
    refused(&[("connector", "pulsar")], &["given twice"]);
    refused(&[("format", "jsn")], &["option \"format\" is \"jsn\"", "avro-confluent"]);
    refused(&[("format", "avro-confluent")], &["needs a schema registry", "avro-confluent.url"]);
    refused(&[("format", "avro-confluent"), ("avro-confluent.url", "host:8081")], &["not an address"]);
    refused(&[("format", "avro-confluent"), ("avro-confluent.url", "http://me:pw@host")], &["contains credentials"]);
    refused(&[("format", "raw"), ("json.timestamp-format", "epoch_s")], &["belongs to another format"]);
    refused(&[("csv.delimiter", ";")], &["\"csv.*\" belongs to another format"]);
    refused(&[("format", "csv"), ("csv.header", "true")], &["does not apply"]);
    refused(&[("format", "csv"), ("csv.delimitr", ";")], &["no option \"delimitr\"", "delimiter"]);
    refused(&[("scan.startup.mode", "group-offsets")], &["does not start from the offsets of a consumer group"]);
    refused(&[("scan.startup.mode", "timestamp")], &["needs a time"]);
    refused(&[("scan.startup.mode", "latest-offset"), ("scan.startup.timestamp-millis", "1")], &["contradict"]);
    refused(&[("scan.startup.specific-offsets", "0:1")], &["partition:0,offset:42"]);
    refused(&[("scan.startup.specific-offsets", "partition:0,offset:1;partition:0,offset:2")], &["partition:0,offset:42"]);
    refused(&[("record_bytes_max", "1 TiB")], &["more than"]);
    refused(&[("commit.interval", "10")], &["has no unit"]);
    refused(&[("commit.interval", "1 ms")], &["less than 100 ms"]);
    refused(&[("commit.rows_max", "0")], &["is 0"]);
    refused(&[("on_data_loss", "ignore")], &["fail, skip"]);
    refused(&[("properties.fetch.min.byts", "1")], &["librdkafka has no property \"fetch.min.byts\"", "fetch.min.bytes"]);
    refused(&[("properties.fetch.min.bytes", "many")], &["property \"fetch.min.bytes\" is \"many\""]);
    refused(&[("properties.security.protocol", "TLS")], &["property \"security.protocol\" is \"TLS\""]);
    refused(&[("properties.ssl.ca.location", "/secret")], &["outside of the allowed roots"]);
    let missing = parse(&[("topic", "t")], &[]).unwrap_err();
    assert!(missing.message.contains("\"properties.bootstrap.servers\" is missing"), "{missing}");
    let missing = parse(&[("properties.bootstrap.servers", "b:1")], &[]).unwrap_err();
    assert!(missing.message.contains("\"topic\" is missing"), "{missing}");
    for (topic, part) in [("a,b", "several topics"), ("a b", "other characters"), ("", "not a topic's name")] {
        let error = parse(&[("topic", topic), ("properties.bootstrap.servers", "b:1")], &[]).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn properties_that_are_ours_or_run_code_are_refused() {
    for property in [
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "ssl.engine.location",
        "ssl.providers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "enable.partition.eof",
        "group.instance.id",
        "partition.assignment.strategy",
        "log.queue",
        "log_level",
        "debug",
        "test.mock.num.brokers",
        "ssl.truststore.location",
        "key.deserializer",
    ] {
        for prefix in ["properties.", "kafka.", "Properties."] {
            refused(&[(&format!("{prefix}{property}"), "x")], &[&format!("property \"{property}\" cannot be set")]);
        }
    }
    refused(&[("properties.ssl.truststore.location", "x.jks")], &["properties.ssl.ca.location"]);
}

#[test]
fn secrets_are_not_written_out_and_never_shown() {
    for key in [
        "properties.sasl.password",
        "sasl_plain_password",
        "kafka.sasl.password",
        "properties.ssl.key.password",
        "ssl_password",
        "properties.ssl.keystore.password",
        "properties.ssl.key.pem",
        "properties.sasl.jaas.config",
        "properties.sasl.oauthbearer.client.secret",
        "properties.sasl.oauthbearer.assertion.private.key.pem",
        "avro-confluent.basic-auth.password",
    ] {
        assert!(is_secret_key(key), "{key}");
        let error = with(&[(key, "canary-7731")]).unwrap_err().to_string();
        assert!(error.contains("CREATE SECRET") && !error.contains("canary"), "{key}: {error}");
    }
    for key in [
        "properties.sasl.username",
        "properties.ssl.ca.pem",
        "properties.ssl.key.location",
        "properties.sasl.oauthbearer.client.credentials.client.id",
        "avro-confluent.basic-auth.user",
        "topic",
    ] {
        assert!(!is_secret_key(key), "{key}");
    }
    assert!(is_secret_option("avro-confluent.url", "https://u:canary@host/") && !is_secret_option("topic", "passwords"));
    let mut options = vec![("topic", "events"), ("properties.bootstrap.servers", "b:9092"), ("format", "avro-confluent")];
    options.extend([("avro-confluent.url", "https://registry/"), ("avro-confluent.basic-auth.user", "me")]);
    let secrets =
        [("sasl_plain_password", "canary-1"), ("avro-confluent.basic-auth.password", "canary-2"), ("properties.ssl.key.pem", "canary-3")];
    let options = parse(&options, &secrets).unwrap();
    assert_eq!(options.properties.get("sasl.password"), Some("canary-1"));
    let PayloadFormat::Avro(registry) = &options.format else { panic!("{:?}", options.format) };
    assert_eq!((registry.url.as_str(), registry.password.as_deref()), ("https://registry", Some("canary-2")));
    assert!(!format!("{options:?}").contains("canary"), "{options:?}");
    // A value that librdkafka refuses is not repeated either.
    let more = [("topic", "t"), ("properties.bootstrap.servers", "b:1")];
    let error = parse(&more, &[("properties.fetch.min.bytes", "7"), ("properties.sasl.password", "canary-4\0")]).unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[test]
fn options_mean_what_others_call_them() {
    let options = with(&[]).unwrap();
    assert_eq!((options.topic.as_str(), options.group_id.as_str()), ("events", "weir.shop.events"));
    assert_eq!((options.startup, options.record_bytes_max), (Startup::All(Start::Earliest), 1 << 20));
    assert_eq!((options.format, options.on_data_loss), (PayloadFormat::Json(JsonTimestamp::Iso8601), OnDataLoss::Fail));
    assert_eq!(options.stream.commit_interval, Duration::from_secs(10));
    assert_eq!((options.stream.commit_rows_max, options.stream.commit_bytes_max), (1_000_000, 64 << 20));
    assert_eq!((options.stream.idle_timeout, options.stream.retention_time), (Duration::from_secs(60), None));
    assert_eq!(options.properties.get("fetch.queue.backoff.ms"), Some("10"));

    let python = [
        ("subscribe", "events"),
        ("bootstrap_servers", "b:9093"),
        ("security_protocol", "SSL"),
        ("ssl_cafile", "ca.pem"),
        ("ssl_certfile", "service.cert"),
        ("ssl_keyfile", "service.key"),
        ("startingOffsets", "latest"),
        ("failOnDataLoss", "false"),
    ];
    let options = parse(&python, &[]).unwrap();
    assert_eq!(options.properties.get("ssl.ca.location"), Some("/allowed/ca.pem"));
    assert_eq!(options.properties.get("ssl.key.location"), Some("/allowed/service.key"));
    assert_eq!((options.startup, options.on_data_loss), (Startup::All(Start::Latest), OnDataLoss::Skip));

    let options = with(&[("kafka.Group.Id", "g"), ("properties.fetch.wait.max.ms", "7"), ("scan.startup.timestamp-millis", "12")]).unwrap();
    assert_eq!((options.group_id.as_str(), options.properties.get("fetch.wait.max.ms")), ("g", Some("7")));
    assert_eq!(options.startup, Startup::All(Start::TimestampMs(12)));
    let options = with(&[("scan.startup.specific-offsets", "partition:0,offset:42; partition:1,offset:300")]).unwrap();
    assert_eq!(options.startup, Startup::Offsets(BTreeMap::from([(0, 42), (1, 300)])));
    let options = with(&[("retention.time", "7 days"), ("retention.bytes", "1 GiB"), ("hot.bytes_max", "64 MiB")]).unwrap();
    assert_eq!(options.stream.retention_time, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!((options.stream.retention_bytes, options.stream.hot_bytes_max), (Some(1 << 30), 64 << 20));
    let options =
        with(&[("format", "csv"), ("csv.field-delimiter", "|"), ("csv.null-literal", "NA"), ("on_type_conflict", "null")]).unwrap();
    let PayloadFormat::Csv(text) = options.format else { panic!("{:?}", options.format) };
    assert_eq!((text.delimiter.as_str(), text.null_text.as_str(), text.header, text.bad_field_is_null), ("|", "NA", false, true));
}

#[test]
fn the_table_of_options_is_complete() {
    let mut seen = std::collections::BTreeSet::new();
    for row in KAFKA_OPTIONS {
        for spelling in row.spellings {
            assert!(seen.insert(*spelling), "{spelling} is listed twice");
        }
        assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}: help is a fragment", row.spellings[0]);
    }
    // Each can be given.
    for row in KAFKA_OPTIONS.iter().filter(|row| !row.default.is_empty()) {
        with(&[(row.spellings[0], row.default)]).unwrap_or_else(|error| panic!("{}: {error}", row.spellings[0]));
    }
}
