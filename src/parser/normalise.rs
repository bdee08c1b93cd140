//! What `sqlparser` accepts and the planner does not: rewritten where the meaning is plain, refused where
//! the planner would silently ignore it.

use super::cursor::Cursor;
use super::lexeme::Lexeme;
use super::syntax::Source;
use super::{limits, ml, types};
use crate::error::{Code, Error, Result};
use sqlparser::ast::{
    AccessExpr, DataType, Expr, Fetch, Ident, LimitClause, ObjectName, ObjectNamePart, OffsetRows, Query, Select, SetExpr, TableFactor,
    Top, TopQuantity, Value, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::Token;
use std::ops::ControlFlow;

/// Rewrites a query in place; `n_ml_calls` calls must stand in it as tables.
pub(super) fn query(query: &mut Query, n_ml_calls: usize) -> Result<()> {
    let mut pass = Pass { n_relations: 0, ml_tables: vec![false; n_ml_calls] };
    if let ControlFlow::Break(error) = query.visit(&mut pass) {
        return Err(*error);
    }
    if pass.ml_tables.iter().any(|seen| !seen) {
        return Err(Error::new(Code::InvalidStatement, "an ML function stands outside FROM")
            .hint("ML functions return tables: write SELECT * FROM ML.PREDICT(MODEL m, TABLE t)."));
    }
    Ok(())
}

/// Rewrites an expression in place.
pub(super) fn expression(expression: &mut Expr) -> Result<()> {
    let mut pass = Pass { n_relations: 0, ml_tables: Vec::new() };
    match expression.visit(&mut pass) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses what reads better as a refusal than as a syntax error of the query parser.
pub(super) fn check_tokens(source: Source<'_>, lexemes: &[Lexeme]) -> Result<()> {
    for (idx, lexeme) in lexemes.iter().enumerate() {
        let next = lexemes.get(idx + 1);
        let after_from = idx > 0 && lexemes[idx - 1].is_one_of(&["FROM", "JOIN"]);
        if after_from && lexeme.is_word("STREAM") && next.is_some_and(|next| matches!(next.token, Token::Word(_)) && next.ends_expression())
        {
            let end = next
                .is_some_and(|next| next.is_one_of(&["GROUP", "WINDOW", "FETCH", "INNER", "LEFT", "RIGHT", "FULL", "NATURAL", "USING"]));
            if !end {
                return Err(Cursor::not_supported("FROM STREAM").hint("Read the table itself: FROM t is a finite snapshot."));
            }
        }
        if lexeme.is_word("TABLESAMPLE") && idx > 0 && lexemes[idx - 1].ends_expression() && next.is_some() {
            return Err(Cursor::not_supported("TABLESAMPLE").hint("Use WHERE random() < 0.01, or LIMIT."));
        }
        if let Token::Char(_) | Token::Backslash = lexeme.token {
            return Err(source.unexpected(Some(lexeme), "a word, a literal or an operator"));
        }
    }
    Ok(())
}

struct Pass {
    n_relations: usize,
    ml_tables: Vec<bool>,
}

/// Errors are boxed: `ControlFlow` is returned by every step of the walk.
type Step = ControlFlow<Box<Error>>;

fn refuse(what: &str) -> Step {
    ControlFlow::Break(Box::new(Cursor::not_supported(what)))
}

fn refuse_if(refused: bool, what: &str) -> Step {
    if refused { refuse(what) } else { ControlFlow::Continue(()) }
}

impl VisitorMut for Pass {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Step {
        refuse_if(matches!(query.body.as_ref(), SetExpr::Table(_)), "TABLE in this place")?;
        refuse_if(!query.locks.is_empty(), "FOR UPDATE")?;
        refuse_if(query.for_clause.is_some(), "the FOR clause")?;
        refuse_if(query.settings.is_some(), "the SETTINGS clause")?;
        refuse_if(query.format_clause.is_some(), "the FORMAT clause")?;
        lift_top(query)?;
        lift_fetch(query)?;
        if let Some(LimitClause::LimitOffset { offset: Some(offset), limit_by, .. }) = &mut query.limit_clause {
            offset.rows = OffsetRows::None;
            refuse_if(!limit_by.is_empty(), "LIMIT BY")?;
        }
        Step::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Step {
        refuse_if(select.into.is_some(), "SELECT INTO")?;
        if !select.lateral_views.is_empty() {
            let error = Cursor::not_supported("LATERAL VIEW").hint("Use unnest(column) in the select list.");
            return Step::Break(Box::new(error));
        }
        refuse_if(!select.connect_by.is_empty(), "CONNECT BY")?;
        refuse_if(select.prewhere.is_some(), "PREWHERE")?;
        refuse_if(!select.sort_by.is_empty(), "SORT BY")?;
        refuse_if(!select.cluster_by.is_empty(), "CLUSTER BY")?;
        refuse_if(!select.distribute_by.is_empty(), "DISTRIBUTE BY")?;
        refuse_if(select.value_table_mode.is_some(), "SELECT AS STRUCT")
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Step {
        self.n_relations += 1;
        if self.n_relations > limits::RELATIONS_MAX {
            return Step::Break(Box::new(limits::too_many_relations()));
        }
        match factor {
            TableFactor::Table { name, args, with_hints, version, with_ordinality, partitions, json_path, sample, index_hints, .. } => {
                self.mark_ml_table(name);
                if args.is_some() {
                    lower_function(name);
                }
                refuse_if(sample.is_some(), "TABLESAMPLE")?;
                refuse_if(version.is_some(), "reading an old version of a table")?;
                refuse_if(!with_hints.is_empty() || !index_hints.is_empty(), "a table hint")?;
                refuse_if(*with_ordinality, "WITH ORDINALITY")?;
                refuse_if(!partitions.is_empty(), "PARTITION in FROM")?;
                refuse_if(json_path.is_some(), "a JSON path in FROM")?;
                refuse_if(args.as_ref().is_some_and(|args| args.settings.is_some()), "SETTINGS of a table function")
            }
            TableFactor::Derived { sample, .. } => refuse_if(sample.is_some(), "TABLESAMPLE"),
            TableFactor::Function { lateral: true, .. } => {
                let error = Cursor::not_supported("a LATERAL table function").hint("Give table functions literals or parameters only.");
                Step::Break(Box::new(error))
            }
            _ => Step::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> Step {
        match expression {
            Expr::Cast { data_type, .. } => {
                let written = std::mem::replace(data_type, DataType::Unspecified);
                *data_type = types::normalise(written);
            }
            Expr::CompoundFieldAccess { root, access_chain } => name_fields(root, access_chain),
            _ => {}
        }
        Step::Continue(())
    }
}

impl Pass {
    fn mark_ml_table(&mut self, name: &ObjectName) {
        let [part] = name.0.as_slice() else { return };
        let number =
            part.as_ident().and_then(|ident| ident.value.strip_prefix(ml::ML_STAND_IN)).and_then(|digits| digits.parse::<usize>().ok());
        if let Some(seen) = number.and_then(|number| self.ml_tables.get_mut(number)) {
            *seen = true;
        }
    }
}

/// Functions of FROM are looked up as they are written, and are registered in lower case.
fn lower_function(name: &mut ObjectName) {
    if let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
        && ident.quote_style.is_none()
    {
        ident.value = ident.value.to_lowercase();
    }
}

/// `t.a[1].b` is the column `t.a`, a place and a field: names before the first place are those of one column, and those after
/// it, like that of `f(x).b`, become texts, as the planner wants fields.
fn name_fields(root: &mut Expr, access_chain: &mut Vec<AccessExpr>) {
    if let Expr::Identifier(first) = root {
        let n_parts = access_chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_)))).count();
        let parts = access_chain.drain(..n_parts).filter_map(|access| match access {
            AccessExpr::Dot(Expr::Identifier(part)) => Some(part),
            _ => None,
        });
        let parts: Vec<Ident> = std::iter::once(first.clone()).chain(parts).collect();
        if parts.len() > 1 {
            *root = Expr::CompoundIdentifier(parts);
        }
    }
    for access in access_chain {
        if let AccessExpr::Dot(name) = access
            && let Expr::Identifier(field) = name
        {
            *name = Expr::value(Value::SingleQuotedString(field.value.clone()));
        }
    }
}

/// `SELECT TOP n` becomes LIMIT of that select, after the ORDER BY of its query.
fn lift_top(query: &mut Query) -> Step {
    match query.body.as_mut() {
        SetExpr::Select(select) => match select.top.take() {
            Some(top) => {
                let limit = top_limit(top)?;
                set_limit(query, limit, "TOP")
            }
            None => Step::Continue(()),
        },
        arms => lift_top_of_arms(arms),
    }
}

/// In the arms of a UNION each TOP limits its own arm. Left-deep: the loop goes left, the right arms are leaves.
fn lift_top_of_arms(mut arms: &mut SetExpr) -> Step {
    loop {
        match arms {
            SetExpr::SetOperation { left, right, .. } => {
                if matches!(right.as_ref(), SetExpr::SetOperation { .. }) {
                    lift_top_of_arms(right)?;
                } else {
                    lift_top_of_arm(right)?;
                }
                arms = left.as_mut();
            }
            SetExpr::Select(_) => return lift_top_of_arm(arms),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return refuse("a statement that writes inside a query");
            }
            SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => return Step::Continue(()),
        }
    }
}

fn lift_top_of_arm(arm: &mut SetExpr) -> Step {
    match arm {
        SetExpr::Select(select) => {
            let Some(top) = select.top.take() else { return Step::Continue(()) };
            let limit = top_limit(top)?;
            let body = std::mem::replace(
                arm,
                SetExpr::Values(sqlparser::ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }),
            );
            let limit_clause = Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() });
            *arm = SetExpr::Query(Box::new(Query { limit_clause, ..super::query_of(body) }));
            Step::Continue(())
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refuse("a statement that writes inside a query")
        }
        _ => Step::Continue(()),
    }
}

fn top_limit(top: Top) -> ControlFlow<Box<Error>, Expr> {
    let Top { with_ties, percent, quantity } = top;
    if with_ties || percent {
        return ControlFlow::Break(Box::new(Cursor::not_supported(if percent { "TOP .. PERCENT" } else { "TOP .. WITH TIES" })));
    }
    ControlFlow::Continue(match quantity {
        Some(TopQuantity::Expr(limit)) => limit,
        Some(TopQuantity::Constant(limit)) => Expr::value(Value::Number(limit.to_string(), false)),
        None => Expr::value(Value::Number("1".into(), false)),
    })
}

/// `FETCH FIRST n ROWS ONLY` becomes LIMIT n.
fn lift_fetch(query: &mut Query) -> Step {
    let Some(Fetch { with_ties, percent, quantity }) = query.fetch.take() else {
        return Step::Continue(());
    };
    refuse_if(with_ties, "FETCH .. WITH TIES")?;
    refuse_if(percent, "FETCH .. PERCENT")?;
    // `FETCH FIRST ROW ONLY` is one row.
    let limit = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
    set_limit(query, limit, "FETCH")
}

fn set_limit(query: &mut Query, new_limit: Expr, clause: &str) -> Step {
    match &mut query.limit_clause {
        None => query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(new_limit), offset: None, limit_by: Vec::new() }),
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(new_limit),
        Some(_) => {
            return Step::Break(Box::new(Error::new(Code::Syntax, format!("the query has both {clause} and LIMIT"))));
        }
    }
    Step::Continue(())
}
