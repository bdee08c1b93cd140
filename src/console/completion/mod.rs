//! What TAB offers: names of the server's objects, words of SQL, backslash commands.
//!
//! Names are asked for when TAB is pressed, so they are those of now and those that the user may see. A server that does
//! not answer at once has none.

mod place;

use super::client::Client;
use super::commands::{COMMANDS, text};
use super::failure::Failure;
use super::help::TOPICS;
use super::print::Cells;
use crate::parser::quote_name;
use futures::TryStreamExt;
use place::{Place, Wanted, place};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::{Context, Helper, Result};
use std::time::Duration;
use tokio::runtime::Handle;

/// Nobody waits longer for a name.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names that are offered at most.
const NAMES_MAX: usize = 1000;
/// Words of SQL that no statement begins with.
const WORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COMMENT",
    "CROSS",
    "CURRENT",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MODEL",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARTITION",
    "PARTITIONED",
    "PRECEDING",
    "QUALIFY",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SET",
    "STORED",
    "TABLE",
    "THEN",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// The helper of the line editor.
#[derive(Default)]
pub struct Completion {
    /// The session, when there is one.
    pub client: Option<Client>,
    /// What was typed of the statement in earlier lines.
    pub statement: String,
}

impl Completion {
    fn offers(&self, wanted: &Wanted, word: &str) -> Vec<Pair> {
        match wanted {
            Wanted::Nothing | Wanted::File => Vec::new(),
            Wanted::Command => matching(word, COMMANDS.iter().map(|command| command.name.to_owned())),
            Wanted::Topic => keywords(word, TOPICS.iter().map(|topic| topic.name)),
            Wanted::Statement(words) => keywords(word, words.iter().copied()),
            Wanted::Model => self.named(word, "SELECT model_name FROM system.models WHERE database_name = current_schema()"),
            Wanted::Database => self.named(word, "SELECT schema_name FROM information_schema.schemata"),
            Wanted::Setting => self.named(word, "SELECT name FROM system.settings"),
            // The relations of other databases are behind the database's name.
            Wanted::Relation => {
                let own = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()";
                let mut offers = self.named(word, own);
                let others = self.ask("SELECT schema_name FROM information_schema.schemata WHERE schema_name <> current_schema()");
                offers.extend(matching(word, others.into_iter().map(|database| format!("{}.", quote_name(&database)))));
                offers
            }
            Wanted::Member { of } => {
                let (before, member) = word.rsplit_once('.').unwrap_or(("", word));
                let members = self.named(member, &columns_of(of)).into_iter().chain(self.named(member, &relations_of(of)));
                members.map(|pair| Pair { replacement: format!("{before}.{}", pair.replacement), ..pair }).collect()
            }
            // Of all that there is, nobody wants a list.
            Wanted::Word { .. } if word.is_empty() => Vec::new(),
            Wanted::Word { relations } => {
                let mut offers: Vec<Pair> = relations.iter().flat_map(|relation| self.named(word, &columns_of(relation))).collect();
                offers.extend(matching(
                    word,
                    self.ask("SELECT DISTINCT function_name FROM system.functions").into_iter().map(|name| name + "("),
                ));
                offers.extend(keywords(word, WORDS.iter().copied()));
                offers
            }
        }
    }

    /// Names that a query returns and that begin as the word does, quoted where they have to be.
    fn named(&self, word: &str, sql: &str) -> Vec<Pair> {
        let names = matching(word.trim_start_matches('"'), self.ask(sql).into_iter());
        names.into_iter().map(|pair| Pair { replacement: quote_name(&pair.display), ..pair }).collect()
    }

    /// The first column of a query; nothing when the server does not answer.
    fn ask(&self, sql: &str) -> Vec<String> {
        let Some(client) = &self.client else { return Vec::new() };
        let asked = tokio::time::timeout(PATIENCE, first_column(client, sql));
        match Handle::current().block_on(asked) {
            Ok(Ok(names)) => names,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

async fn first_column(client: &Client, sql: &str) -> std::result::Result<Vec<String>, Failure> {
    let prepared = client.prepare(sql).await?;
    let info = client.info(&prepared).await?;
    let mut names = Vec::new();
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        let mut rows = client.rows(ticket).await?;
        while let Some(batch) = rows.try_next().await? {
            let cells = Cells::new(&batch)?;
            for row_idx in 0..batch.num_rows() {
                names.extend(cells.row(row_idx)?.into_iter().next().flatten());
            }
        }
    }
    client.close(prepared).await;
    names.truncate(NAMES_MAX);
    Ok(names)
}

/// The columns of a relation, which is named as a statement does.
fn columns_of(relation: &str) -> String {
    let (database, name) = match relation.rsplit_once('.') {
        Some((database, name)) => (lower_text(database), name),
        None => ("current_schema()".to_owned(), relation),
    };
    format!("SELECT column_name FROM information_schema.columns WHERE table_schema = {database} AND table_name = {}", lower_text(name))
}

fn relations_of(database: &str) -> String {
    format!("SELECT table_name FROM information_schema.tables WHERE table_schema = {}", lower_text(database))
}

/// A name as a text of SQL: in lower case, which is how relations and databases are kept.
fn lower_text(name: &str) -> String {
    text(&name.replace('"', "").to_lowercase())
}

/// The names that begin as the word does, in order.
fn matching(word: &str, names: impl Iterator<Item = String>) -> Vec<Pair> {
    let begins = |name: &str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let mut names: Vec<String> = names.filter(|name| begins(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()
}

/// Keywords that begin as the word does, in its case.
fn keywords(word: &str, keywords: impl Iterator<Item = &'static str>) -> Vec<Pair> {
    let is_lower = word.chars().any(char::is_lowercase);
    matching(word, keywords.map(|keyword| if is_lower { keyword.to_lowercase() } else { keyword.to_owned() }))
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let before = line.get(..cursor).unwrap_or(line);
        let Place { start, wanted } = place(&self.statement, before);
        if wanted == Wanted::File {
            return FilenameCompleter::new().complete(line, cursor, context);
        }
        Ok((start, self.offers(&wanted, &before[start..])))
    }
}

impl rustyline::hint::Hinter for Completion {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Completion {}
impl rustyline::validate::Validator for Completion {}
impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(wanted: &Wanted, word: &str) -> Vec<String> {
        Completion::default().offers(wanted, word).into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn commands_and_topics_are_those_of_the_tables() {
        assert_eq!(offered(&Wanted::Command, "\\d"), ["\\d", "\\df", "\\dm", "\\dt", "\\du", "\\dv"]);
        assert_eq!(offered(&Wanted::Topic, "create m"), ["create model"]);
        assert_eq!(offered(&Wanted::Topic, "CREATE M"), ["CREATE MODEL"]);
    }

    #[test]
    fn keywords_come_in_the_case_that_is_typed() {
        let word = Wanted::Word { relations: Vec::new() };
        assert_eq!(offered(&word, "whe"), ["when", "where"]);
        assert_eq!(offered(&word, "WHE"), ["WHEN", "WHERE"]);
        assert!(offered(&word, "").is_empty());
    }

    #[test]
    fn words_of_statements_stand_in_order() {
        assert!(WORDS.is_sorted());
    }
}
