//! One statement's planning: a catalog snapshot, tables pinned once, names resolved, a logical plan.
//!
//! All scans, views, common tables and sub-queries of a statement see the same [`Planning`], so a table
//! that occurs twice is the same provider both times: one snapshot.

use crate::catalog::{CATALOG, ObjectKey, Snapshot, View};
use crate::engine::names::{self, KnownNames};
use crate::engine::session::Session;
use crate::engine::settings::{Settings, StreamReading};
use crate::engine::statement_catalog::StatementCatalog;
use crate::engine::statement_state::{Purpose, StatementState};
use crate::engine::{Engine, errors, ml, parameters, providers};
use crate::error::{Code, Error, Result};
use crate::models::CatalogLookup;
use crate::parser::{ML_STAND_IN, QueryStatement};
use crate::tables::streaming::Cursor;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as EngineStatement;
use futures::future::BoxFuture;
use sqlparser::ast::{ObjectName, ObjectNamePart, Query, Statement as SqlStatement};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::Mutex;

/// Views within views, at most.
const VIEW_DEPTH_MAX: usize = 32;
/// The schema under which ad-hoc files stand in a plan.
const FILES: &str = "__weir_files";
/// The schema under which the dead letters of streaming tables stand in a plan; the name is the table's, as written.
const DEAD_LETTERS: &str = "__weir_dead_letters";
/// The name under which the rows that a statement changes stand in its query.
pub const TARGET: &str = "__weir_target";

/// What every part of one statement shares.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    state: StatementState,
    settings: Settings,
    /// The moment of `now()`.
    begun_at: Instant,
    /// Providers by database and name, with and without the file column.
    pinned: Mutex<HashMap<PinnedKey, Arc<dyn TableProvider>>>,
    /// A streaming table is read where the plan does not show it.
    hides_streams: AtomicBool,
}

/// Database, name, and whether the hidden file column is wanted.
type PinnedKey = (String, String, bool);

/// The planning of one statement, or of a view inside it.
#[derive(Debug, Clone)]
pub struct Planning {
    shared: Arc<Shared>,
    /// That of the statement, or a changed copy.
    state: Arc<SessionState>,
    /// Where names without a database are looked up.
    database: String,
    /// Views that are being planned, outermost first.
    views: Vec<ObjectKey>,
    /// The ML table functions of the query being planned, by their stand-in names.
    ml_tables: HashMap<String, Arc<dyn TableProvider>>,
    /// The table whose rows a statement changes, under the name [`TARGET`].
    target: Option<Arc<dyn TableProvider>>,
    file_column: bool,
    /// By table id: streaming tables give only what is new since then.
    since: Option<Arc<BTreeMap<String, Cursor>>>,
}

impl Planning {
    /// A new statement's planning over the newest catalog.
    pub fn new(engine: &Arc<Engine>, user: &str, database: &str, settings: &Settings) -> Self {
        let snapshot = engine.catalog().snapshot();
        let lookup = || lookup(engine, &snapshot, database);
        let purpose = Purpose {
            snapshot: Arc::clone(&snapshot),
            user: user.to_owned(),
            database: database.to_owned(),
            timezone: settings.timezone().to_owned(),
        };
        let lease = engine.idle_states().state(purpose, engine.base_state(), lookup);
        let state = lease.shared();
        let shared = Arc::new(Shared {
            engine: Arc::clone(engine),
            state: lease,
            settings: settings.clone(),
            begun_at: Instant::now(),
            pinned: Mutex::default(),
            hides_streams: AtomicBool::new(false),
        });
        Self {
            shared,
            state,
            database: database.to_owned(),
            views: Vec::new(),
            ml_tables: HashMap::new(),
            target: None,
            file_column: false,
            since: None,
        }
    }

    /// Streaming tables give only the rows that are new to a reader who came so far, by table id.
    pub fn since(mut self, cursors: BTreeMap<String, Cursor>) -> Self {
        self.since = Some(Arc::new(cursors));
        self
    }

    /// Where the streaming tables stand that the statement reads, by table id: the place of a reader who has had their rows.
    pub async fn cursors(&self) -> BTreeMap<String, Cursor> {
        let pinned = self.shared.pinned.lock().await;
        let cursors = pinned.iter().filter_map(|((database, name, _), provider)| {
            let table = self.snapshot().tables.get(&ObjectKey::new(database, name))?;
            Some((table.id.clone(), providers::cursor(provider.as_ref())?))
        });
        cursors.collect()
    }

    /// Notes that a streaming table is read where the plan does not show it: by its dead letters, as the input of a model.
    pub fn hide_stream(&self) {
        self.shared.hides_streams.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted.
    pub fn hides_streams(&self) -> bool {
        self.shared.hides_streams.load(Ordering::Relaxed)
    }

    /// The catalog as this statement sees it.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.shared.state.snapshot()
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.shared.engine
    }

    /// What the statement sees of streaming tables.
    pub fn stream_reading(&self) -> StreamReading {
        self.shared.settings.stream_reading()
    }

    /// When it began.
    pub fn begun_at(&self) -> Instant {
        self.shared.begun_at
    }

    /// Whether a table, a file or a server's own table was opened.
    pub fn reads_tables(&self) -> bool {
        // Somebody who holds the lock opens one.
        self.shared.pinned.try_lock().map_or(true, |pinned| !pinned.is_empty())
    }

    /// Whether the session would plan the same way now: the same definitions, user, database and settings.
    pub fn is_as_of(&self, session: &Session) -> bool {
        Arc::ptr_eq(self.snapshot(), &session.snapshot())
            && self.shared.state.user() == session.user()
            && self.database == session.current_database()
            && self.shared.settings == session.settings()
    }

    /// The engine state of this statement.
    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// A plan whose types and names are final.
    pub fn analysed(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {}).map_err(errors::from_datafusion)
    }

    /// Changes the engine state, for the retry without hash joins.
    pub fn state_mut(&mut self) -> &mut SessionState {
        Arc::make_mut(&mut self.state)
    }

    /// The planning of a view's definition: reading that view is an error, also through another one.
    pub fn defining(mut self, view: ObjectKey) -> Self {
        self.views.push(view);
        self
    }

    /// The planning of a statement that changes rows of a table: `rows` stand in the query as [`TARGET`], and whatever
    /// else the statement reads of that table is the same version.
    pub async fn changing(mut self, table: &ObjectKey, version: Arc<dyn TableProvider>, rows: Arc<dyn TableProvider>) -> Self {
        let key = (table.database.clone(), table.name.clone(), false);
        self.shared.pinned.lock().await.insert(key, version);
        self.target = Some(rows);
        self
    }

    /// Database and name of a table or view as written in one to three parts, lower case.
    pub fn key(&self, parts: &[String]) -> Result<ObjectKey> {
        object_key(parts, &self.database)
    }

    /// Plans a query. With `values` the parameters of table functions are put in; the others stay
    /// placeholders and are bound afterwards.
    pub fn query<'a>(&'a self, statement: &'a QueryStatement, values: Option<&'a [ScalarValue]>) -> BoxFuture<'a, Result<LogicalPlan>> {
        Box::pin(async move {
            let mut query = (*statement.query).clone();
            let mut planning = self.clone();
            planning.file_column = names::mentions_file_column(&query);
            planning.ml_tables = self.ml_tables.iter().map(|(name, table)| (ml::outer_name(name), Arc::clone(table))).collect();
            for (idx, call) in statement.ml_calls.iter().enumerate() {
                let call = ml::with_common_tables(statement, idx, call);
                let table = Box::pin(ml::table(&planning, &call, values)).await?;
                planning.ml_tables.insert(format!("{ML_STAND_IN}{idx}"), table);
            }
            if let Some(values) = values {
                parameters::into_table_functions(&mut query, values)?;
            }
            let known = planning.known_names(&mut query).await?;
            names::resolve(&mut query, &known)?;
            let has_calls = !planning.ml_tables.is_empty();
            let state = Arc::clone(&planning.state);
            let statement = EngineStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
            let plan = StatementCatalog::of(planning, state.statement_to_plan(statement)).await.map_err(errors::from_datafusion)?;
            if has_calls { ml::with_readable_names(plan) } else { Ok(plan) }
        })
    }

    /// Resolves the query's tables, so that their columns are known and a missing one is named.
    async fn known_names(&self, query: &mut Query) -> Result<KnownNames> {
        let mut known = KnownNames::default();
        ml::add_functions(&mut known, query, &lookup(self.engine(), self.snapshot(), &self.database));
        name_files(query);
        name_dead_letters(query)?;
        let common = common_tables(query);
        for relation in names::relations(query) {
            let parts = parts(&relation);
            let Some(name) = parts.last().cloned() else { continue };
            let is_common = parts.len() == 1 && common.contains(&name.to_lowercase());
            match self.provider(&parts).await {
                Ok(Some(provider)) => known.add_table(&relation, &provider.schema()),
                // The query itself says what it is; a broken table of that name is in nobody's way.
                Ok(None) | Err(_) if is_common => {}
                Ok(None) => return Err(self.missing(&parts)),
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    fn missing(&self, parts: &[String]) -> Error {
        let name = parts.join(".");
        let key = match self.key(parts) {
            Ok(key) => key,
            Err(error) => return error,
        };
        if !is_virtual(&key.database) && !self.snapshot().databases.contains_key(&key.database) {
            return undefined_database(self.snapshot(), &key.database);
        }
        let in_database: Vec<&str> = relation_names(self.snapshot(), &key.database);
        Error::unknown(Code::UndefinedTable, format!("table \"{name}\" does not exist"), &key.name, in_database)
    }

    /// The provider of a relation, pinned for this statement; `None` when there is none of that name.
    pub fn provider<'a>(&'a self, parts: &'a [String]) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            if let [name] = parts
                && let Some(table) = self.ml_tables.get(&name.to_lowercase())
            {
                return Ok(Some(Arc::clone(table)));
            }
            if let ([name], Some(target)) = (parts, &self.target)
                && name == TARGET
            {
                return Ok(Some(Arc::clone(target)));
            }
            let key = match parts {
                [schema, path] if schema == FILES => (FILES.to_owned(), path.clone(), self.file_column),
                [schema, table] if schema == DEAD_LETTERS => {
                    let parts: Vec<String> = table.split('.').map(str::to_owned).collect();
                    let key = self.key(&parts)?;
                    (format!("{DEAD_LETTERS}.{}", key.database), key.name, false)
                }
                _ => {
                    let key = self.key(parts)?;
                    // Others have no such column: what a view and the query around it read of them is one pin.
                    let may_have = self.snapshot().tables.get(&key).is_none_or(|table| table.has_partition_directories());
                    (key.database, key.name, self.file_column && may_have)
                }
            };
            if let Some(provider) = self.shared.pinned.lock().await.get(&key) {
                return Ok(Some(Arc::clone(provider)));
            }
            let Some(provider) = self.open(&key.0, &key.1).await? else { return Ok(None) };
            // Two scans of one statement may open a table at once: the first one stays.
            let mut pinned = self.shared.pinned.lock().await;
            Ok(Some(Arc::clone(pinned.entry(key).or_insert(provider))))
        })
    }

    async fn open(&self, database: &str, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let engine = &self.shared.engine;
        match database {
            FILES => return providers::file(engine, &self.state, name, self.file_column).await.map(Some),
            "information_schema" => {
                let schema = super::information_schema::InformationSchema::new(Arc::clone(self.snapshot()));
                return schema.table(&name.to_lowercase()).await.map_err(errors::from_datafusion);
            }
            "system" => return super::system::table(self, self.shared.state.user(), name),
            _ => {}
        }
        if let Some(database) = database.strip_prefix(DEAD_LETTERS).and_then(|rest| rest.strip_prefix('.')) {
            let parts = [database.to_owned(), name.to_owned()];
            let table = super::dml::writable_table(self, &parts)?;
            // Through the pin of the statement: the table's rows and its dead letters are of one moment.
            let Some(rows) = self.provider(&parts).await? else { return Ok(None) };
            self.hide_stream();
            return providers::dead_letters(rows.as_ref(), &table).map(Some);
        }
        let key = ObjectKey::new(database, name);
        if let Some(view) = self.snapshot().views.get(&key).cloned() {
            return Box::pin(self.view(&key, &view)).await.map(Some);
        }
        match self.snapshot().tables.get(&key) {
            Some(table) => {
                let provider = providers::provider(engine, table, self.file_column, self.stream_reading()).await?;
                match &self.since {
                    Some(since) => providers::since(provider, table, since).map(Some),
                    None => Ok(Some(provider)),
                }
            }
            None => Ok(None),
        }
    }

    /// Plans a view again from its SQL: it sees its tables as they are now.
    async fn view(&self, key: &ObjectKey, view: &View) -> Result<Arc<dyn TableProvider>> {
        if self.views.contains(key) {
            return Err(Error::new(Code::InvalidStatement, format!("view \"{key}\" reads itself"))
                .hint("Create it again without itself in its query."));
        }
        if self.views.len() >= VIEW_DEPTH_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("views are nested more than {VIEW_DEPTH_MAX} deep at \"{key}\"")));
        }
        let mut planning = self.clone();
        if planning.database != view.search_database {
            planning.database.clone_from(&view.search_database);
            planning.state_mut().config_mut().options_mut().catalog.default_schema.clone_from(&view.search_database);
        }
        planning.views.push(key.clone());
        let statement = parse_view(view)?;
        let mut plan = planning.query(&statement, None).await.map_err(|error| {
            let detail = error.detail.clone().unwrap_or_default();
            error.detail(format!("The view \"{key}\" reads it. {detail}").trim_end().to_owned())
        })?;
        if !view.column_names.is_empty() {
            plan = rename_columns(plan, &view.column_names)?;
        }
        Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
    }
}

/// The models of a snapshot, by the names that functions are given.
fn lookup(engine: &Engine, snapshot: &Arc<Snapshot>, database: &str) -> CatalogLookup {
    CatalogLookup { models: Arc::clone(engine.models()), snapshot: Arc::clone(snapshot), current_database: database.to_owned() }
}

/// The statement that a view keeps as text.
pub fn parse_view(view: &View) -> Result<QueryStatement> {
    match crate::parser::parse_one(&view.sql)? {
        crate::parser::Statement::Query(statement) => Ok(statement),
        _ => Err(Error::internal(format!("the text of view \"{}.{}\" is not a query", view.database, view.name))),
    }
}

/// Gives a plan's columns new names, by position.
pub fn rename_columns(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
    let n_columns = plan.schema().fields().len();
    if n_columns != names.len() {
        return Err(Error::new(Code::InvalidStatement, "the list of column names does not fit the query")
            .detail(format!("The list has {} names, the query {n_columns} columns.", names.len())));
    }
    let columns: Vec<Expr> =
        plan.schema().columns().into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name)).collect();
    LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(errors::from_datafusion)
}

/// `[weir.][database.]name` in lower case; `default` is `public`.
pub fn object_key(parts: &[String], current: &str) -> Result<ObjectKey> {
    match parts {
        [name] => Ok(ObjectKey::new(current, name)),
        [database, name] => Ok(ObjectKey::new(&database_name(database), name)),
        [catalog, database, name] if catalog.eq_ignore_ascii_case(CATALOG) => Ok(ObjectKey::new(&database_name(database), name)),
        [catalog, _, _] => {
            Err(Error::new(Code::UndefinedDatabase, format!("catalog \"{catalog}\" does not exist")).hint("The one catalog is \"weir\"."))
        }
        _ => Err(Error::new(Code::InvalidStatement, format!("the name \"{}\" has more than three parts", parts.join(".")))),
    }
}

/// The real name of a database as written.
pub fn database_name(name: &str) -> String {
    let name = name.to_lowercase();
    if name == "default" { "public".into() } else { name }
}

/// Databases that are made by the server, not stored.
pub fn is_virtual(database: &str) -> bool {
    matches!(database, "information_schema" | "system")
}

/// `database "x" does not exist`, with what is near.
pub fn undefined_database(snapshot: &Snapshot, name: &str) -> Error {
    Error::unknown(
        Code::UndefinedDatabase,
        format!("database \"{name}\" does not exist"),
        name,
        snapshot.databases.keys().map(String::as_str),
    )
}

/// Names of tables and views of one database, as written.
pub fn relation_names<'a>(snapshot: &'a Snapshot, database: &str) -> Vec<&'a str> {
    let tables = snapshot.tables.iter().filter(|(key, _)| key.database == database).map(|(_, table)| table.name.as_str());
    let views = snapshot.views.iter().filter(|(key, _)| key.database == database).map(|(_, view)| view.name.as_str());
    tables.chain(views).collect()
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(ident.value.clone()),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

/// `FROM 'dir/*.parquet'` becomes a table of the schema of files.
fn name_files(query: &mut Query) {
    use sqlparser::ast::{Ident, TableFactor, VisitMut, VisitorMut};
    use std::ops::ControlFlow;
    struct Files;
    impl VisitorMut for Files {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, .. } = factor
                && let [ObjectNamePart::Identifier(ident)] = name.0.as_slice()
                && ident.quote_style == Some('\'')
            {
                let path = ident.clone();
                name.0 = vec![ObjectNamePart::Identifier(Ident::new(FILES)), ObjectNamePart::Identifier(path)];
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Files);
}

/// `FROM dead_letters('t')` becomes a table of the schema of dead letters.
fn name_dead_letters(query: &mut Query) -> Result<()> {
    use sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableFactor, Value, VisitMut, VisitorMut};
    use std::ops::ControlFlow;
    const NAME: &str = "dead_letters";
    struct DeadLetters;
    impl VisitorMut for DeadLetters {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            let TableFactor::Table { name, alias, args: args @ Some(_), .. } = factor else { return ControlFlow::Continue(()) };
            if !matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value.eq_ignore_ascii_case(NAME)) {
                return ControlFlow::Continue(());
            }
            let given = args.take().map(|args| args.args).unwrap_or_default();
            let [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(value)))] = given.as_slice() else {
                return ControlFlow::Break(());
            };
            let Value::SingleQuotedString(table) = &value.value else { return ControlFlow::Break(()) };
            let ident = |value: &str| ObjectNamePart::Identifier(Ident::with_quote('"', value));
            name.0 = vec![ident(DEAD_LETTERS), ident(table)];
            alias.get_or_insert_with(|| TableAlias { explicit: true, name: Ident::new(NAME), columns: Vec::new(), at: None });
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut DeadLetters) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(Code::InvalidStatement, "dead_letters takes the name of one streaming table")
            .hint("Write FROM dead_letters('ratings_raw'): the name in quotes, no column and no parameter.")),
    }
}

fn common_tables(query: &Query) -> BTreeSet<String> {
    use sqlparser::ast::{Visit, Visitor};
    use std::ops::ControlFlow;
    struct Common(BTreeSet<String>);
    impl Visitor for Common {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|table| table.alias.name.value.to_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let mut common = Common(BTreeSet::new());
    let _ = query.visit(&mut common);
    common.0
}
