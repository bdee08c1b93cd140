//! Commands about objects: each is a question in SQL.

use super::Call;
use crate::console::failure::Failure;
use crate::console::print::Expanded;
use crate::console::session::{Console, Flow};
use crate::parser::quote_name;

/// A name as typed behind a command: `db.table`, `"My Table"`, or a pattern with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    parts: Vec<String>,
    is_pattern: bool,
}

impl Name {
    /// Takes a typed name apart; dots and stars in double quotes are letters.
    pub fn parse(typed: &str) -> Self {
        let mut parts = vec![String::new()];
        let (mut is_quoted, mut is_pattern) = (false, false);
        for character in typed.chars() {
            match character {
                '"' => is_quoted = !is_quoted,
                '.' if !is_quoted => parts.push(String::new()),
                other => {
                    is_pattern |= !is_quoted && matches!(other, '*' | '?');
                    if let Some(part) = parts.last_mut() {
                        part.push(other);
                    }
                }
            }
        }
        Self { parts, is_pattern }
    }

    /// The name in SQL.
    pub fn sql(&self) -> String {
        self.parts.iter().map(|part| quote_name(part)).collect::<Vec<_>>().join(".")
    }

    /// ` IN db LIKE 'p'`, as far as the pattern says so.
    fn clauses(&self) -> String {
        let (last, database) = match self.parts.as_slice() {
            [.., database, last] => (last, Some(database)),
            [last] => (last, None),
            [] => return String::new(),
        };
        let mut clauses = database.map_or_else(String::new, |database| format!(" IN {}", quote_name(database)));
        if !last.is_empty() && last != "*" {
            clauses.push_str(&format!(" LIKE {}", text(&like(last))));
        }
        clauses
    }
}

/// A pattern of psql as a pattern of SQL.
fn like(pattern: &str) -> String {
    pattern.replace('*', "%").replace('?', "_")
}

/// A text as a literal of SQL.
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The database that statements are in now.
pub async fn current_database(console: &mut Console) -> Result<String, Failure> {
    let rows = console.fetch("SHOW search_path").await?;
    Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
}

async fn show(console: &mut Console, sql: &str, title: &str) -> Result<Flow, Failure> {
    let mut options = console.options.clone();
    if options.expanded == Expanded::On {
        // A list stays a list.
        options.expanded = Expanded::Auto;
    }
    console.statement_as(sql, options, Some(title)).await?;
    Ok(Flow::Next)
}

/// `\d [NAME]`
pub async fn describe(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    let Some(name) = call.word(0).map(Name::parse) else {
        return if call.is_verbose {
            relations(console, &call, None).await
        } else {
            show(console, "SHOW TABLES", "Tables and views").await
        };
    };
    if name.is_pattern {
        return show(console, &format!("SHOW TABLES{}", name.clauses()), "Tables and views").await;
    }
    let (sql, title) = match call.is_verbose {
        true => (format!("DESCRIBE FORMATTED {}", name.sql()), format!("Columns and details of {}", name.sql())),
        false => (format!("DESCRIBE {}", name.sql()), format!("Columns of {}", name.sql())),
    };
    show(console, &sql, &title).await
}

/// `\dt [PATTERN]`
pub async fn tables(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    relations(console, &call, Some("kind <> 'view'")).await
}

/// `\dv [PATTERN]`
pub async fn views(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    relations(console, &call, Some("kind = 'view'")).await
}

/// A list out of `system.tables`, of the database that the pattern names or that is used now.
async fn relations(console: &mut Console, call: &Call, kind: Option<&str>) -> Result<Flow, Failure> {
    let name = call.word(0).map(Name::parse);
    let parts = name.as_ref().map_or(&[][..], |name| name.parts.as_slice());
    let (database, pattern) = match parts {
        [.., database, pattern] => (database.clone(), Some(pattern)),
        [pattern] => (current_database(console).await?, Some(pattern)),
        [] => (current_database(console).await?, None),
    };
    let mut conditions = vec![format!("lower(database_name) LIKE lower({})", text(&like(&database)))];
    conditions.extend(kind.map(ToOwned::to_owned));
    conditions.extend(pattern.map(|pattern| format!("lower(table_name) LIKE lower({})", text(&like(pattern)))));
    let columns = match call.is_verbose {
        true => "database_name, table_name, kind, format, owner, created, location",
        false => "database_name, table_name, kind, owner",
    };
    let sql = format!("SELECT {columns} FROM system.tables WHERE {} ORDER BY database_name, table_name", conditions.join(" AND "));
    let title = match kind {
        Some("kind = 'view'") => "Views",
        Some(_) => "Tables",
        None => "Tables and views",
    };
    show(console, &sql, title).await
}

/// `\dm [PATTERN]`
pub async fn models(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    match call.word(0).map(Name::parse) {
        Some(name) if call.is_verbose && !name.is_pattern => {
            show(console, &format!("DESCRIBE MODEL {}", name.sql()), &format!("Model {}", name.sql())).await
        }
        name => {
            // Models are listed over all databases.
            let pattern = name.and_then(|name| name.parts.last().cloned()).filter(|pattern| pattern != "*");
            let clause = pattern.map_or_else(String::new, |pattern| format!(" LIKE {}", text(&like(&pattern))));
            show(console, &format!("SHOW MODELS{clause}"), "Models").await
        }
    }
}

/// `\df [PATTERN]`
pub async fn functions(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    show(console, &format!("SHOW FUNCTIONS{}", pattern_clause(&call)), "Functions").await
}

/// `\du`
pub async fn users(console: &mut Console, _call: Call) -> Result<Flow, Failure> {
    show(console, "SHOW USERS", "Users").await
}

/// `\l [PATTERN]`
pub async fn databases(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    show(console, &format!("SHOW DATABASES{}", pattern_clause(&call)), "Databases").await
}

fn pattern_clause(call: &Call) -> String {
    call.word(0).map_or_else(String::new, |pattern| format!(" LIKE {}", text(&like(pattern))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (typed, sql, is_pattern) in [
            ("ratings", "ratings", false),
            ("lake.ratings", "lake.ratings", false),
            ("\"My.Table\"", "\"My.Table\"", false),
            ("my-table", "\"my-table\"", false),
            ("\"a*\"", "\"a*\"", false),
            ("rat*", "\"rat*\"", true),
        ] {
            let name = Name::parse(typed);
            assert_eq!((name.sql().as_str(), name.is_pattern), (sql, is_pattern), "{typed}");
        }
    }

    #[test]
    fn patterns_become_clauses() {
        assert_eq!(Name::parse("rat*").clauses(), " LIKE 'rat%'");
        assert_eq!(Name::parse("lake.*").clauses(), " IN lake");
        assert_eq!(Name::parse("lake.it's?").clauses(), " IN lake LIKE 'it''s_'");
    }
}
