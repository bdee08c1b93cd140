//! What one client should find: its objects and their rows; random statements that change them.

use super::{Client, owner};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Rows per statement; more than one file's worth is not needed, whole or not is the question.
const ROWS_MAX: i64 = 40;
/// A table that has more is replaced or dropped.
const TABLE_ROWS_MAX: usize = 300;

/// The objects of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Names that were used; not compared, only counted up.
    n_names: Counter,
    databases: BTreeSet<String>,
    tables: BTreeMap<String, Table>,
    /// The number that the view selects.
    views: BTreeMap<String, i64>,
    users: BTreeSet<String>,
    /// The newest version.
    models: BTreeMap<String, u64>,
    /// Files of COPY TO.
    copies: BTreeMap<String, BTreeSet<i64>>,
}

/// Equal to every other one.
#[derive(Debug, Clone, Copy, Default)]
struct Counter(u64);

impl PartialEq for Counter {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Counter {}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    is_managed: bool,
    is_partitioned: bool,
    rows: BTreeSet<i64>,
    /// The property `test.note`.
    note: Option<String>,
}

/// The rows of a client begin here.
pub fn id_base(client: u64) -> i64 {
    client.cast_signed() * 1_000_000_000
}

const SHARED_MANAGED: &str = "public.shared_managed";
const SHARED_FILES: &str = "public.shared_files";

/// The tables of all clients.
pub fn shared_tables() -> [String; 2] {
    [create(SHARED_MANAGED, true, true), create(SHARED_FILES, false, true)]
}

fn create(name: &str, is_managed: bool, is_partitioned: bool) -> String {
    match (is_managed, is_partitioned) {
        (true, true) => format!("CREATE TABLE {name} (id BIGINT, payload STRING, part BIGINT) PARTITIONED BY (part)"),
        (true, false) => format!("CREATE TABLE {name} (id BIGINT, payload STRING, part BIGINT)"),
        (false, true) => format!(
            "CREATE EXTERNAL TABLE {name} (id BIGINT, payload STRING) PARTITIONED BY (part BIGINT) STORED AS PARQUET LOCATION '/data/{name}'"
        ),
        (false, false) => {
            format!("CREATE EXTERNAL TABLE {name} (id BIGINT, payload STRING, part BIGINT) STORED AS PARQUET LOCATION '/data/{name}'")
        }
    }
}

/// The partition of a row: in shared tables each client has its own.
fn part(table: &str, id: i64) -> i64 {
    if is_shared(table) { owner(id).cast_signed() } else { id % 3 }
}

fn is_shared(table: &str) -> bool {
    table.starts_with("public.")
}

/// A query for rows of consecutive ids.
fn rows(table: &str, ids: &std::ops::Range<i64>) -> String {
    let part = if is_shared(table) { owner(ids.start).to_string() } else { "value % 3".into() };
    format!(
        "SELECT value AS id, concat('row ', value) AS payload, CAST({part} AS BIGINT) AS part FROM generate_series({}, {})",
        ids.start,
        ids.end - 1
    )
}

fn pick<'a, T>(random: &mut StdRng, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { Some(&from[random.random_range(0..from.len())]) }
}

impl World {
    /// As it is after the set-up.
    pub fn new(client: u64) -> Self {
        let shared = |is_managed| Table { is_managed, is_partitioned: true, rows: BTreeSet::new(), note: None };
        Self {
            databases: BTreeSet::from([format!("c{client}")]),
            tables: BTreeMap::from([(SHARED_MANAGED.into(), shared(true)), (SHARED_FILES.into(), shared(false))]),
            ..Self::default()
        }
    }

    /// A random statement, and the world after it.
    pub fn next(&mut self, client: u64, random: &mut StdRng) -> (String, Self) {
        loop {
            // Names are never used twice, also when the statement is lost.
            self.n_names.0 += 1;
            let mut after = self.clone();
            let sql = match random.random_range(0..100) {
                0..12 => after.create_table(client, random),
                12..50 => after.insert(client, random),
                50..65 => after.insert_overwrite(client, random),
                65..71 => after.drop_table(random),
                71..76 => after.rename_table(client, random),
                76..80 => after.set_note(random),
                80..86 => after.view(client, random),
                86..91 => after.database(client, random),
                91..94 => after.user(client, random),
                94..96 => after.model(client, random),
                _ => Some(after.copy(client, random)),
            };
            if let Some(sql) = sql {
                return (sql, after);
            }
        }
    }

    fn new_name(&self, letter: char) -> String {
        format!("{letter}{}", self.n_names.0)
    }

    fn ids(&self, client: u64, random: &mut StdRng) -> std::ops::Range<i64> {
        let start = id_base(client) + self.n_names.0.cast_signed() * ROWS_MAX;
        start..start + random.random_range(1..=ROWS_MAX)
    }

    fn own_tables(&self) -> Vec<String> {
        self.tables.keys().filter(|name| !is_shared(name)).cloned().collect()
    }

    fn create_table(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        if self.own_tables().len() >= 5 {
            return None;
        }
        let databases: Vec<&String> = self.databases.iter().collect();
        let name = format!("{}.{}", pick(random, &databases)?, self.new_name('t'));
        let (is_managed, is_partitioned) = (random.random_bool(0.6), random.random_bool(0.5));
        let mut table = Table { is_managed, is_partitioned, rows: BTreeSet::new(), note: None };
        let is_filled = is_managed && random.random_bool(0.5);
        let sql = if is_filled {
            let ids = self.ids(client, random);
            table.rows = ids.clone().collect();
            let partitions = if is_partitioned { "PARTITIONED BY (part) " } else { "" };
            format!("CREATE TABLE {name} {partitions}AS {}", rows(&name, &ids))
        } else {
            create(&name, is_managed, is_partitioned)
        };
        self.tables.insert(name, table);
        Some(sql)
    }

    fn insert(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let names: Vec<String> = self.tables.keys().cloned().collect();
        let name = pick(random, &names)?;
        let ids = self.ids(client, random);
        let table = self.tables.get_mut(name)?;
        if table.rows.len() > TABLE_ROWS_MAX {
            return None;
        }
        table.rows.extend(ids.clone());
        Some(format!("INSERT INTO {name} {}", rows(name, &ids)))
    }

    fn insert_overwrite(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let names: Vec<String> = self.tables.keys().cloned().collect();
        let name = pick(random, &names)?;
        let ids = self.ids(client, random);
        let table = self.tables.get_mut(name)?;
        if is_shared(name) || (table.is_partitioned && random.random_bool(0.5)) {
            let replaced = part(name, ids.start);
            table.rows.retain(|id| part(name, *id) != replaced);
            let kept: Vec<i64> = ids.clone().filter(|id| part(name, *id) == replaced).collect();
            table.rows.extend(kept);
            let rows = rows(name, &ids);
            return Some(format!(
                "INSERT OVERWRITE TABLE {name} PARTITION (part = {replaced}) SELECT id, payload FROM ({rows}) WHERE part = {replaced}"
            ));
        }
        table.rows = ids.clone().collect();
        Some(format!("INSERT OVERWRITE TABLE {name} {}", rows(name, &ids)))
    }

    fn drop_table(&mut self, random: &mut StdRng) -> Option<String> {
        let names = self.own_tables();
        let name = pick(random, &names)?;
        self.tables.remove(name);
        Some(format!("DROP TABLE {name}"))
    }

    fn rename_table(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let names = self.own_tables();
        let name = pick(random, &names)?;
        let new_name = format!("c{client}.{}", self.new_name('r'));
        let table = self.tables.remove(name)?;
        self.tables.insert(new_name.clone(), table);
        Some(format!("ALTER TABLE {name} RENAME TO {new_name}"))
    }

    fn set_note(&mut self, random: &mut StdRng) -> Option<String> {
        let names = self.own_tables();
        let name = pick(random, &names)?;
        let note = self.new_name('n');
        self.tables.get_mut(name)?.note = Some(note.clone());
        Some(format!("ALTER TABLE {name} SET TBLPROPERTIES ('test.note' = '{note}')"))
    }

    fn view(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let name = format!("c{client}.v{}", random.random_range(0..3));
        if self.views.contains_key(&name) && random.random_bool(0.5) {
            self.views.remove(&name);
            return Some(format!("DROP VIEW {name}"));
        }
        let number = random.random_range(0..1_000_000);
        self.views.insert(name.clone(), number);
        Some(format!("CREATE OR REPLACE VIEW {name} AS SELECT {number} AS number"))
    }

    fn database(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let others: Vec<String> = self.databases.iter().filter(|name| name.contains('_')).cloned().collect();
        if others.len() < 2 {
            let name = format!("c{client}_{}", self.new_name('d'));
            self.databases.insert(name.clone());
            return Some(format!("CREATE DATABASE {name}"));
        }
        let name = pick(random, &others)?;
        self.databases.remove(name);
        self.tables.retain(|table, _| !table.starts_with(&format!("{name}.")));
        Some(format!("DROP DATABASE {name} CASCADE"))
    }

    fn user(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let users: Vec<String> = self.users.iter().cloned().collect();
        if users.len() < 2 {
            let name = format!("c{client}_{}", self.new_name('u'));
            self.users.insert(name.clone());
            return Some(format!("CREATE USER {name} PASSWORD 'secret of {name}'"));
        }
        let name = pick(random, &users)?;
        self.users.remove(name);
        Some(format!("DROP USER {name}"))
    }

    fn model(&mut self, client: u64, random: &mut StdRng) -> Option<String> {
        let name = format!("c{client}.m{}", random.random_range(0..2));
        if self.models.contains_key(&name) && random.random_bool(0.3) {
            self.models.remove(&name);
            return Some(format!("DROP MODEL {name}"));
        }
        *self.models.entry(name.clone()).or_default() += 1;
        Some(format!(
            "CREATE OR REPLACE MODEL {name} OPTIONS (model_type = 'matrix_factorization', user_col = 'u', item_col = 'i', rating_col = 'r', \
             num_factors = 2, max_iterations = 2, seed = 1) \
             AS SELECT value % 7 AS u, value % 11 AS i, CAST(value % 5 AS DOUBLE) AS r FROM generate_series(0, 70)"
        ))
    }

    fn copy(&mut self, client: u64, random: &mut StdRng) -> String {
        let name = format!("copies{client}/{}.parquet", random.random_range(0..3));
        let ids = self.ids(client, random);
        self.copies.insert(name.clone(), ids.clone().collect());
        format!("COPY ({}) TO '/data/{name}'", rows("", &ids))
    }

    /// What there is, by asking the server. A row that is not as it was written, or there twice, is an error.
    pub async fn observe(client: u64, connection: &mut Client, data: &Path) -> Result<Self, String> {
        let mine = |name: &str| name == format!("c{client}") || name.starts_with(&format!("c{client}_"));
        let databases = connection.rows("SHOW DATABASES").await?.into_iter().filter(|name| mine(name)).collect();
        let mut world = Self { databases, ..Self::default() };
        let users = connection.rows("SHOW USERS").await?;
        world.users = users.iter().filter_map(|row| row.split('\t').next()).filter(|name| mine(name)).map(str::to_owned).collect();
        for row in connection.rows("SELECT database_name, table_name, kind FROM system.tables").await? {
            let [database, name, kind] = row.split('\t').collect::<Vec<_>>()[..] else { return Err(format!("\"{row}\" is no table")) };
            let full_name = format!("{database}.{name}");
            if !mine(database) && !is_shared(&full_name) {
                continue;
            }
            if kind == "view" {
                let number = connection.rows(&format!("SELECT number FROM {full_name}")).await?.concat();
                world.views.insert(full_name, number.parse().map_err(|_| format!("view {name} answers {number}"))?);
            } else {
                let table = observe_table(client, connection, &full_name, kind == "managed").await?;
                world.tables.insert(full_name, table);
            }
        }
        for row in connection.rows("SELECT database_name, model_name, default_version FROM system.models").await? {
            let [database, name, version] = row.split('\t').collect::<Vec<_>>()[..] else { return Err(format!("\"{row}\" is no model")) };
            if mine(database) {
                // The files of the model are there, too.
                connection.rows(&format!("SELECT * FROM recommend('{database}.{name}', 1, 2)")).await?;
                world.models.insert(format!("{database}.{name}"), version.parse().map_err(|_| format!("version {version}"))?);
            }
        }
        let directory = format!("copies{client}");
        for entry in std::fs::read_dir(data.join(&directory)).into_iter().flatten().flatten() {
            let name = format!("{directory}/{}", entry.file_name().to_string_lossy());
            let rows = connection.rows(&format!("SELECT id, payload, part FROM '/data/{name}'")).await?;
            world.copies.insert(name, checked("", rows)?);
        }
        Ok(world)
    }

    /// Takes over how many names the client has used, so that none comes twice.
    pub fn continue_after(mut self, before: &Self) -> Self {
        self.n_names = before.n_names;
        self
    }

    /// What differs, in words.
    pub fn difference(&self, found: &Self) -> String {
        let mut text = String::new();
        let mut compare = |what: &str, expected: String, found: String| {
            if expected != found {
                let _ = writeln!(text, "{what}\n  expected {expected}\n  found    {found}");
            }
        };
        compare("databases", format!("{:?}", self.databases), format!("{:?}", found.databases));
        compare("users", format!("{:?}", self.users), format!("{:?}", found.users));
        compare("views", format!("{:?}", self.views), format!("{:?}", found.views));
        compare("models", format!("{:?}", self.models), format!("{:?}", found.models));
        for name in self.tables.keys().chain(found.tables.keys()).collect::<BTreeSet<_>>() {
            compare(name, format!("{:?}", self.tables.get(name)), format!("{:?}", found.tables.get(name)));
        }
        for name in self.copies.keys().chain(found.copies.keys()).collect::<BTreeSet<_>>() {
            compare(name, format!("{:?}", self.copies.get(name)), format!("{:?}", found.copies.get(name)));
        }
        text
    }
}

async fn observe_table(client: u64, connection: &mut Client, name: &str, is_managed: bool) -> Result<Table, String> {
    let of_client = if is_shared(name) { format!(" WHERE part = {client}") } else { String::new() };
    let rows = connection.rows(&format!("SELECT id, payload, part FROM {name}{of_client}")).await?;
    let ddl = connection.rows(&format!("SHOW CREATE TABLE {name}")).await?.concat();
    let properties = connection.rows(&format!("SHOW TBLPROPERTIES {name}")).await?;
    let note = properties.iter().find_map(|row| row.strip_prefix("test.note\t")).map(str::to_owned);
    Ok(Table { is_managed, is_partitioned: ddl.contains("PARTITIONED BY"), rows: checked(name, rows)?, note })
}

/// The ids of rows, each of which must be as it was written.
fn checked(table: &str, rows: Vec<String>) -> Result<BTreeSet<i64>, String> {
    let n_rows = rows.len();
    let mut ids = BTreeSet::new();
    for row in rows {
        let id = row.split('\t').next().and_then(|id| id.parse::<i64>().ok()).ok_or_else(|| format!("\"{row}\" has no id"))?;
        if row != format!("{id}\trow {id}\t{}", part(table, id)) {
            return Err(format!("\"{row}\" of {table} was never written"));
        }
        ids.insert(id);
    }
    if ids.len() == n_rows { Ok(ids) } else { Err(format!("{table} has {n_rows} rows, only {} different ones", ids.len())) }
}
