//! CREATE TABLE in every spelling: one lenient loop over clauses in any order. DROP TABLE.

use super::ast::{ColumnDef, CreateTable, ObjectName, OptionValue, PartitionColumn, SqlOption, Statement};
use super::cursor::{Cursor, given_twice, once};
use super::lexeme::Lexeme;
use super::stream::{self, StreamParts};
use super::{options, query, row_format};
use crate::error::{Code, Error, Result, nearest};
use sqlparser::tokenizer::Token;

/// What stood between CREATE and TABLE.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Modifiers {
    pub or_replace: bool,
    pub external: bool,
    pub temporary: bool,
}

/// After `CREATE [OR REPLACE] [EXTERNAL] [TEMPORARY] TABLE`.
pub(super) fn create(cursor: &mut Cursor<'_>, modifiers: Modifiers) -> Result<Statement> {
    definition(cursor, modifiers, None).map(Statement::CreateTable)
}

/// The name and everything behind it; with `stream` the clauses of a streaming table are known too.
pub(super) fn definition(cursor: &mut Cursor<'_>, modifiers: Modifiers, mut stream: Option<&mut StreamParts>) -> Result<CreateTable> {
    let if_not_exists = cursor.if_not_exists();
    let mut table = CreateTable {
        external: modifiers.external,
        or_replace: modifiers.or_replace,
        temporary: modifiers.temporary,
        if_not_exists,
        name: cursor.object_name("a table name")?,
        ..CreateTable::default()
    };
    if table.or_replace && if_not_exists {
        return Err(Error::new(Code::Syntax, "CREATE TABLE has both OR REPLACE and IF NOT EXISTS"));
    }
    if cursor.is(&["LIKE"]) {
        return Err(Cursor::not_supported("CREATE TABLE .. LIKE").hint("Write CREATE TABLE t AS SELECT * FROM other LIMIT 0."));
    }
    if cursor.is_token(&Token::LParen) && !query::begins(&cursor.rest()[1..]) {
        columns(cursor, &mut table, stream.as_deref_mut())?;
    }
    let mut seen = Seen::default();
    while !cursor.at_end() {
        let is_streams = match stream.as_deref_mut() {
            Some(parts) => stream::clause(cursor, &mut table, parts)?,
            None => false,
        };
        if !is_streams {
            clause(cursor, &mut table, &mut seen)?;
        }
    }
    check_columns(&table)?;
    Ok(table)
}

/// Clauses whose value may be empty, so that the table itself cannot tell that they were given.
#[derive(Default)]
struct Seen {
    properties: Option<()>,
    options: Option<()>,
    partitioned_by: Option<()>,
}

const CLAUSES: &[&str] =
    &["COMMENT", "PARTITIONED BY", "ROW FORMAT", "STORED AS", "USING", "LOCATION", "TBLPROPERTIES", "OPTIONS", "WITH", "AS", "PRIMARY KEY"];

fn clause(cursor: &mut Cursor<'_>, table: &mut CreateTable, seen: &mut Seen) -> Result<()> {
    if cursor.accept(&["COMMENT"]) {
        cursor.accept_token(&Token::Eq);
        let comment = cursor.text("a comment")?;
        once(&mut table.comment, comment, "COMMENT")
    } else if cursor.accept(&["PARTITIONED", "BY"]) || cursor.accept(&["PARTITION", "BY"]) {
        once(&mut seen.partitioned_by, (), "PARTITIONED BY")?;
        table.partitioned_by = cursor.list(partition_column)?;
        let typed = table.partitioned_by.iter().filter(|column| column.data_type.is_some()).count();
        if typed != 0 && typed != table.partitioned_by.len() {
            return Err(Error::new(Code::InvalidStatement, "PARTITIONED BY mixes columns with and without a type")
                .hint("Give every partition column a type (Hive), or name columns of the table (Spark)."));
        }
        Ok(())
    } else if cursor.accept(&["ROW", "FORMAT"]) {
        let format = row_format::parse(cursor)?;
        once(&mut table.row_format, format, "ROW FORMAT")
    } else if cursor.accept(&["STORED"]) {
        let format = stored_as(cursor)?;
        once(&mut table.stored_as, format, "STORED AS")
    } else if cursor.accept(&["USING"]) {
        let format = format_name(cursor)?;
        once(&mut table.stored_as, format, "USING or STORED AS")
    } else if cursor.accept(&["LOCATION"]) {
        cursor.accept_token(&Token::Eq);
        let location = cursor.text("a location")?;
        once(&mut table.location, location, "LOCATION")
    } else if cursor.accept(&["TBLPROPERTIES"]) {
        once(&mut seen.properties, (), "TBLPROPERTIES")?;
        table.properties = options::list(cursor)?;
        Ok(())
    } else if cursor.accept(&["OPTIONS"]) || (cursor.is(&["WITH"]) && cursor.peek_at(1).is_some_and(|next| next.token == Token::LParen)) {
        cursor.accept(&["WITH"]);
        once(&mut seen.options, (), "OPTIONS or WITH")?;
        table.options = options::list(cursor)?;
        Ok(())
    } else if cursor.accept(&["PRIMARY", "KEY"]) {
        primary_key(cursor, table)
    } else if cursor.accept(&["AS"]) || query::begins(cursor.rest()) {
        table.query = Some(cursor.query()?);
        Ok(())
    } else {
        Err(unknown_clause(cursor))
    }
}

/// Clauses that we know and do not have, and misspelt ones.
fn unknown_clause(cursor: &Cursor<'_>) -> Error {
    const REFUSED: &[(&[&str], &str)] = &[
        (&["CLUSTERED", "BY"], "CLUSTERED BY"),
        (&["CLUSTER", "BY"], "CLUSTER BY"),
        (&["SKEWED", "BY"], "SKEWED BY"),
        (&["SORTED", "BY"], "SORTED BY"),
        (&["WITH", "ORDER"], "WITH ORDER"),
        (&["INHERITS"], "INHERITS"),
        (&["TABLESPACE"], "TABLESPACE"),
        (&["ENGINE"], "ENGINE"),
    ];
    if let Some((_, clause)) = REFUSED.iter().find(|(words, _)| cursor.is(words)) {
        return Cursor::not_supported(&format!("{clause} in CREATE TABLE"));
    }
    let error = cursor.unexpected("a clause of CREATE TABLE");
    let word = cursor.peek_word().unwrap_or_default();
    let first_words = CLAUSES.iter().filter_map(|clause| clause.split(' ').next());
    match nearest(&word, first_words) {
        Some(near) if near != word => {
            let clause = CLAUSES.iter().find(|clause| clause.starts_with(near)).unwrap_or(&near);
            error.hint(format!("Did you mean {clause}?"))
        }
        _ => error.hint(format!("The clauses are {}.", CLAUSES.join(", "))),
    }
}

fn columns(cursor: &mut Cursor<'_>, table: &mut CreateTable, mut stream: Option<&mut StreamParts>) -> Result<()> {
    let mut inner = cursor.bracketed()?;
    if inner.at_end() {
        return Err(inner.unexpected("a column name"));
    }
    loop {
        column_or_constraint(&mut inner, table, stream.as_deref_mut())?;
        if inner.at_end() {
            return Ok(());
        }
        if !inner.accept_token(&Token::Comma) {
            return Err(inner.unexpected("\",\" or \")\""));
        }
    }
}

fn column_or_constraint(cursor: &mut Cursor<'_>, table: &mut CreateTable, stream: Option<&mut StreamParts>) -> Result<()> {
    // Only what follows tells a constraint from a column that is called `primary` or `key`.
    let named =
        cursor.is(&["CONSTRAINT"]) && cursor.peek_at(2).is_some_and(|third| third.is_one_of(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]));
    if named {
        cursor.position += 2;
    }
    let bracket_at = |ahead: usize| cursor.peek_at(ahead).is_some_and(|next| next.token == Token::LParen);
    if cursor.is(&["PRIMARY", "KEY"]) && bracket_at(2) {
        cursor.position += 2;
        return primary_key(cursor, table);
    }
    for (words, ahead) in [(["UNIQUE"].as_slice(), 1), (&["FOREIGN", "KEY"], 2), (&["CHECK"], 1)] {
        if cursor.is(words) && bracket_at(ahead) {
            return Err(Cursor::not_supported(&format!("{} in CREATE TABLE", words.join(" "))));
        }
    }
    let watermark = cursor.is(&["WATERMARK", "FOR"]) && cursor.peek_at(3).is_some_and(|next| next.is_word("AS"));
    if watermark {
        return match stream {
            Some(parts) => stream::watermark(cursor, parts),
            None => Err(Cursor::not_supported("WATERMARK FOR in CREATE TABLE").hint("Use CREATE STREAMING TABLE.")),
        };
    }
    let Declared { column, is_key, metadata } = column(cursor)?;
    match (metadata, stream) {
        (None, _) => {}
        (Some(kind), Some(parts)) => parts.metadata_columns.push((column.name.clone(), kind)),
        (Some(_), None) => return Err(Cursor::not_supported("METADATA of a column").hint("Use CREATE STREAMING TABLE.")),
    }
    if is_key {
        add_primary_key(table, vec![column.name.clone()])?;
    }
    table.columns.push(column);
    Ok(())
}

/// After PRIMARY KEY: the columns, and words that say it is not enforced, which is always so.
fn primary_key(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    let names = cursor.names_in_brackets("a column name")?;
    add_primary_key(table, names)?;
    not_enforced(cursor);
    Ok(())
}

fn not_enforced(cursor: &mut Cursor<'_>) {
    while cursor.accept(&["NOT", "ENFORCED"]) || cursor.accept_one_of(&["DISABLE", "NOVALIDATE", "RELY", "NORELY"]) {}
}

fn add_primary_key(table: &mut CreateTable, names: Vec<String>) -> Result<()> {
    if !table.primary_key.is_empty() {
        return Err(given_twice("PRIMARY KEY"));
    }
    table.primary_key = names;
    Ok(())
}

/// A column with what its clauses say about the table.
pub(super) struct Declared {
    pub column: ColumnDef,
    pub is_key: bool,
    /// METADATA FROM, in lower case.
    pub metadata: Option<String>,
}

/// `name type [NOT NULL] [COMMENT '..'] [PRIMARY KEY] [METADATA [FROM '..']]`.
pub(super) fn column(cursor: &mut Cursor<'_>) -> Result<Declared> {
    let name = cursor.name("a column name")?;
    if cursor.at_end() || cursor.is_token(&Token::Comma) {
        return Err(cursor.unexpected(&format!("the type of column \"{name}\"")));
    }
    let (data_type, type_text) = cursor.data_type()?;
    let mut column = ColumnDef { name, data_type, type_text, nullable: true, comment: None };
    let mut nullability = None;
    let mut key = None;
    let mut metadata = None;
    loop {
        if cursor.accept(&["NOT", "NULL"]) {
            once(&mut nullability, false, "NOT NULL")?;
        } else if cursor.accept(&["NULL"]) {
            once(&mut nullability, true, "NULL")?;
        } else if cursor.accept(&["COMMENT"]) {
            let comment = cursor.text("a comment")?;
            once(&mut column.comment, comment, "COMMENT")?;
        } else if cursor.accept(&["PRIMARY", "KEY"]) {
            once(&mut key, (), "PRIMARY KEY")?;
            not_enforced(cursor);
        } else if cursor.accept(&["METADATA"]) {
            let kind = if cursor.accept(&["FROM"]) { cursor.text("the name of a metadata field")? } else { column.name.clone() };
            cursor.accept(&["VIRTUAL"]); // Flink's word: such a column is never written to the topic.
            once(&mut metadata, kind.to_lowercase(), "METADATA")?;
        } else if cursor.at_end() || cursor.is_token(&Token::Comma) {
            column.nullable = nullability.unwrap_or(true);
            return Ok(Declared { column, is_key: key.is_some(), metadata });
        } else {
            return Err(unknown_column_clause(cursor));
        }
    }
}

fn unknown_column_clause(cursor: &Cursor<'_>) -> Error {
    const REFUSED: &[&str] =
        &["DEFAULT", "GENERATED", "CHECK", "REFERENCES", "UNIQUE", "COLLATE", "AUTO_INCREMENT", "IDENTITY", "CONSTRAINT", "MASK"];
    match cursor.peek_word() {
        Some(word) if REFUSED.contains(&word.as_str()) => Cursor::not_supported(&format!("{word} of a column")),
        _ => cursor.unexpected("NOT NULL, COMMENT, PRIMARY KEY, \",\" or \")\""),
    }
}

/// `dt`, or `dt STRING [COMMENT '..']`.
fn partition_column(cursor: &mut Cursor<'_>) -> Result<PartitionColumn> {
    let name = cursor.name("a partition column")?;
    if cursor.is_token(&Token::LParen) {
        return Err(Cursor::not_supported(&format!("the partition transform \"{name}(..)\"")).hint("Partition by plain columns."));
    }
    let mut column = PartitionColumn { name, data_type: None, type_text: None, comment: None };
    let untyped = |lexeme: &Lexeme| lexeme.token == Token::Comma || lexeme.token == Token::RParen || lexeme.is_word("COMMENT");
    if cursor.peek().is_some_and(|next| !untyped(next)) {
        let (data_type, type_text) = cursor.data_type()?;
        column.data_type = Some(data_type);
        column.type_text = Some(type_text);
    }
    if cursor.accept(&["COMMENT"]) {
        column.comment = Some(cursor.text("a comment")?);
    }
    Ok(column)
}

/// After STORED: `AS x`, `AS INPUTFORMAT '..' OUTPUTFORMAT '..'`.
fn stored_as(cursor: &mut Cursor<'_>) -> Result<String> {
    if cursor.is(&["BY"]) {
        return Err(Cursor::not_supported("STORED BY a storage handler"));
    }
    cursor.expect(&["AS"])?;
    if !cursor.accept(&["INPUTFORMAT"]) {
        return format_name(cursor);
    }
    let input = cursor.text("the name of a class")?;
    cursor.expect(&["OUTPUTFORMAT"])?;
    let output = cursor.text("the name of a class")?;
    format_of_class(&input).or_else(|| format_of_class(&output)).map(Into::into).ok_or_else(|| {
        Error::new(Code::NotSupported, format!("the input format \"{input}\" is not supported"))
            .hint("Use STORED AS with the name of a format.")
    })
}

/// A format by name, in upper case; Spark allows class names here.
pub(super) fn format_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let name = match cursor.accept_text() {
        Some(text) => text,
        None => {
            // `USING org.apache.spark.sql.parquet` has more parts than a table's name may have.
            let mut name = cursor.name("the name of a format")?;
            while cursor.accept_token(&Token::Period) {
                name.push('.');
                name.push_str(&cursor.name("the name of a format")?);
            }
            name
        }
    };
    Ok(format_of_class(&name).map_or_else(|| name.to_uppercase(), Into::into))
}

/// The format that a well-known class of Hive or Spark reads or writes.
fn format_of_class(class: &str) -> Option<&'static str> {
    const CLASSES: &[(&str, &str)] = &[
        ("parquet", "PARQUET"),
        ("avro", "AVRO"),
        ("orc", "ORC"),
        ("jsonserde", "JSON"),
        ("textinputformat", "TEXTFILE"),
        ("hiveignorekeytextoutputformat", "TEXTFILE"),
        ("sequencefile", "SEQUENCEFILE"),
        ("rcfile", "RCFILE"),
        ("delta", "DELTA"),
        ("csv", "CSV"),
    ];
    if !class.contains('.') {
        return None;
    }
    let class = class.to_ascii_lowercase();
    CLASSES.iter().find(|(part, _)| class.contains(part)).map(|(_, format)| *format)
}

/// Names that are declared twice, and keys that are not declared.
fn check_columns(table: &CreateTable) -> Result<()> {
    let typed = table.partitioned_by.iter().filter(|column| column.data_type.is_some()).map(|column| &column.name);
    let mut seen = std::collections::HashSet::new();
    for name in table.columns.iter().map(|column| &column.name).chain(typed) {
        if !seen.insert(name) {
            return Err(Error::new(Code::DuplicateColumn, format!("column \"{name}\" is declared twice")));
        }
    }
    let declared = |name: &str| seen.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some(name) = table.primary_key.iter().find(|name| !seen.is_empty() && !declared(name)) {
        return Err(Error::unknown(
            Code::UndefinedColumn,
            format!("column \"{name}\" of PRIMARY KEY is not declared"),
            name,
            seen.iter().map(|name| name.as_str()),
        ));
    }
    Ok(())
}

/// After `DROP TABLE`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = dropped_name(cursor, "a table name")?;
    cursor.accept_one_of(&["PURGE", "CASCADE", "RESTRICT"]);
    Ok(Statement::DropTable { name, if_exists })
}

/// One name; a list is refused rather than half done.
pub(super) fn dropped_name(cursor: &mut Cursor<'_>, what: &str) -> Result<ObjectName> {
    let name = cursor.object_name(what)?;
    if cursor.is_token(&Token::Comma) {
        return Err(Cursor::not_supported("dropping several objects in one statement").hint("Write one DROP for each."));
    }
    Ok(name)
}

/// The last value of an option as text, and the options without it.
pub(super) fn take_text(options: &mut Vec<SqlOption>, key: &str) -> Option<String> {
    let idx = options.iter().position(|option| option.key.eq_ignore_ascii_case(key) && matches!(option.value, OptionValue::Text(_)))?;
    options.remove(idx).value.as_text()
}
