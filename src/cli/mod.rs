//! The command line: serve, demo, sql, run, produce, bench, check-config.

mod produce;

use crate::bench;
use crate::config::{Config, Sources, TlsConfig};
use crate::console;
use crate::demo;
use crate::engine::{Door, Engine, EngineLimits, EngineOptions};
use crate::error::{Code, Error, Result};
use crate::server::tls::TlsFiles;
use crate::server::{Server, ServerConfig, check_free};
use crate::storage::Root;
use crate::stream::Supervisor;
use crate::telemetry;
use crate::telemetry::shutdown::{Shutdown, Stage};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Stack of a thread that serves connections.
const IO_STACK_BYTES: usize = 16 * 1024 * 1024;

/// weir: a SQL-first analytics server.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(Serve),
    /// Make sample data, tables, a recommender, and serve them
    Demo(Demo),
    /// Open the console, or run statements
    Sql(console::Arguments),
    /// Run a file of SQL statements on a server
    Run(console::RunArguments),
    /// Send the lines of a file to a Kafka topic
    Produce(produce::Produce),
    /// Measure this build on this machine
    #[command(subcommand)]
    Bench(Bench),
    /// Check the configuration and print what holds
    CheckConfig(ConfigArguments),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// A streaming table fed from Kafka: its rate, its CPU time a row, how fresh its rows are, whether its snapshots are right
    Kafka(BenchKafka),
    /// A query on a running server, sent again and again: how long its answers take
    Query(bench::query::QueryBench),
}

#[derive(Debug, Args)]
struct BenchKafka {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    bench: bench::kafka::KafkaBench,
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// Configuration file; by default weir.toml in the working directory, if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting: `--set limits.memory=4GiB`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where the server keeps everything (data_dir)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the Flight SQL listener (server.flight_listen)
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Development: clients on this machine need no password (server.dev)
    #[arg(long)]
    dev: bool,
    /// File with the first password of the user admin (auth.admin_password_file)
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Demo {
    /// Where the demo keeps its data
    #[arg(long, value_name = "DIR", default_value = "weir-demo")]
    dir: PathBuf,
    /// A real MovieLens directory (ratings.csv, movies.csv) instead of the sample
    #[arg(long, value_name = "DIR")]
    movielens: Option<PathBuf>,
    /// A real Kafka broker for the live events; by default one inside this process
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Address of the server; loopback only, there is no password
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:32010")]
    listen: SocketAddr,
    /// End as soon as the demo is ready
    #[arg(long)]
    check: bool,
}

/// Runs the command line; the exit code is the process's.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Trees of statements are copied and dropped on these threads: 500 nested operators overflow the usual 2 MiB.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").thread_stack_size(IO_STACK_BYTES).build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => Box::pin(serve.run()).await.map(|()| ExitCode::SUCCESS),
            Command::Demo(demo) => Box::pin(demo.run()).await.map(|()| ExitCode::SUCCESS),
            Command::Sql(arguments) => Ok(console::run(arguments).await),
            Command::Run(arguments) => Ok(console::run_file(arguments).await),
            Command::Produce(produce) => Box::pin(produce.run(listen_for_signals()?)).await.map(|()| ExitCode::SUCCESS),
            Command::Bench(Bench::Kafka(bench)) => Box::pin(bench.run()).await,
            Command::Bench(Bench::Query(bench)) => Box::pin(bench.run()).await.map(|()| ExitCode::SUCCESS),
            Command::CheckConfig(arguments) => arguments.check().map(|()| ExitCode::SUCCESS),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", error.message);
        if let Some(detail) = &error.detail {
            eprintln!("detail: {detail}");
        }
        if let Some(hint) = &error.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::FAILURE
    })
}

impl ConfigArguments {
    fn load(&self, flags: Vec<(&str, String)>) -> Result<Config> {
        let mut pairs = Vec::new();
        for setting in &self.settings {
            let Some((key, value)) = setting.split_once('=') else {
                return Err(Error::new(Code::InvalidParameter, format!("--set \"{setting}\" has no \"=\"")).hint("Write --set key=value."));
            };
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        pairs.extend(flags.into_iter().map(|(key, value)| (key.to_owned(), value)));
        let sources = Sources::of_process(self.config.clone(), pairs);
        Config::load(&sources).map_err(|mistakes| {
            // Each mistake on its own line: `Error` would fold them into one.
            eprintln!("{mistakes}");
            Error::new(Code::InvalidParameter, "the configuration cannot be used")
        })
    }

    fn check(&self) -> Result<()> {
        let config = self.load(Vec::new())?;
        for (key, source) in &config.sources {
            println!("{key:<28} {source}");
        }
        println!("the configuration is good");
        Ok(())
    }
}

impl Serve {
    async fn run(self) -> Result<()> {
        let mut flags = Vec::new();
        let mut add = |key, value: Option<String>| flags.extend(value.map(|value| (key, value)));
        add("data_dir", self.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()));
        add("server.flight_listen", self.listen.clone());
        add("server.dev", self.dev.then(|| "true".to_owned()));
        add("auth.admin_password_file", self.admin_password_file.as_ref().map(|path| path.to_string_lossy().into_owned()));
        let config = self.config.load(flags)?;
        telemetry::log::init(&config.telemetry.log_level, config.telemetry.log_format == crate::config::LogFormat::Json)?;
        let shutdown = listen_for_signals()?;
        let engine = Engine::open(engine_options(&config)).await?;
        let password = config.auth.admin_password_file.as_ref().map(read_password).transpose()?;
        if let Some(generated) = engine.first_admin(password).await? {
            println!("The first user is \"admin\", its password \"{generated}\". It is shown only this once.");
        }
        let server = Server::start(Arc::clone(&engine), server_config(&config)).await?;
        println!("weir listens on {} (Flight SQL)", server.address());
        let streams = Supervisor::start(Arc::clone(&engine));
        shutdown.reached(Stage::Graceful).await;
        server.stop(config.server.shutdown_grace).await?;
        // After the doors: nobody waits for a row that is committed now.
        streams.stop().await;
        engine.shutdown().await;
        Ok(())
    }
}

impl Demo {
    async fn run(self) -> Result<()> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::new(Code::InvalidParameter, format!("the demo cannot listen on {}: it has no password", self.listen))
                .hint("Use an address of this machine, or weir serve."));
        }
        telemetry::log::init("warn", false)?;
        let shutdown = listen_for_signals()?;
        let started = Instant::now();
        let listen = if self.check { SocketAddr::new(self.listen.ip(), 0) } else { self.listen };
        check_free(listen).await?;
        let places = demo::Places::prepare(&self.dir, self.movielens.as_deref())?;
        let flags = vec![("data_dir", places.data_dir().to_string_lossy().into_owned()), ("server.dev", "true".to_owned())];
        let config = ConfigArguments { config: None, settings: Vec::new() }.load(flags)?;
        let options = EngineOptions { roots: places.roots(), ..engine_options(&config) };
        let engine = Engine::open(options).await?;
        engine.first_admin(None).await?;
        println!("weir demo, in {}", self.dir.display());
        demo::build(&engine).await?;
        let streams = Supervisor::start(Arc::clone(&engine));
        let session = engine.trusted_session("admin", Door::Internal, "demo")?;
        let events = demo::Events::start(&session, self.kafka.as_deref()).await?;
        let server_config = ServerConfig { trusted_user: Some("admin".into()), ..ServerConfig::new(listen) };
        let server = Server::start(Arc::clone(&engine), server_config).await?;
        println!("{}", demo::invitation(server.address()));
        if self.check {
            demo::show_events(&session).await?;
            println!("ready in {:.1} s", started.elapsed().as_secs_f64());
        } else {
            shutdown.reached(Stage::Graceful).await;
        }
        server.stop(config.server.shutdown_grace).await?;
        streams.stop().await;
        drop(events);
        engine.shutdown().await;
        Ok(())
    }
}

impl BenchKafka {
    async fn run(self) -> Result<ExitCode> {
        telemetry::log::init("warn", false)?;
        let config = self.config.load(Vec::new())?;
        let options = engine_options(&config);
        let holds = self.bench.run(&config, options).await?;
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn engine_options(config: &Config) -> EngineOptions {
    let roots = config.storage.roots.iter();
    EngineOptions {
        data_dir: config.data_dir.clone(),
        warehouse: config.storage.warehouse.clone(),
        roots: roots.map(|root| Root { prefix: root.prefix.clone(), path: root.path.clone(), writable: root.writable }).collect(),
        buckets: config.storage.buckets.clone(),
        limits: EngineLimits {
            memory_bytes: usize::try_from(config.limits.memory_bytes).unwrap_or(usize::MAX),
            spill_directory: config.limits.spill_dir.clone(),
            spill_bytes_max: config.limits.spill_bytes_max,
            parallelism: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            planning_timeout: config.limits.planning_timeout,
        },
        sql_bytes_max: config.limits.sql_bytes_max,
        query_timeout: config.limits.query_timeout,
        queries_max: config.limits.queries_max,
        queries_per_user_max: config.limits.queries_per_user_max,
        history_rows_max: config.limits.history_rows,
    }
}

fn server_config(config: &Config) -> ServerConfig {
    let tls = |tls: &TlsConfig| TlsFiles { certificate: tls.cert.clone(), key: tls.key.clone(), client_ca: tls.client_ca.clone() };
    let mut server = ServerConfig::new(config.server.flight_listen);
    server.tls = config.server.tls.as_ref().map(tls);
    server.trusted_user = config.server.dev.then(|| "admin".to_owned());
    server.connections_max = config.server.connections_max;
    server
}

fn listen_for_signals() -> Result<Arc<Shutdown>> {
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals().map_err(|error| Error::new(Code::Io, format!("could not listen for signals: {error}")))?;
    let second = Arc::clone(&shutdown);
    // A second signal ends the process at once, whatever is still being waited for.
    drop(telemetry::task::spawn("second signal", async move {
        second.reached(Stage::Immediate).await;
        std::process::exit(130);
    }));
    Ok(shutdown)
}

fn read_password(path: &PathBuf) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(Code::Io, format!("could not read the password file \"{}\": {}", path.display(), error.kind())))?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        Err(Error::new(Code::InvalidParameter, format!("the password file \"{}\" is empty", path.display())))
    } else {
        Ok(password)
    }
}
