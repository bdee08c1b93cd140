//! The grammar that `sqlparser` reads queries and types by: its generic dialect with a bound on the work.
//!
//! `sqlparser` tries several readings of CASE, CAST, POSITION and others, and after a mistake inside
//! nested ones it tries them all: 30 levels take for ever. The dialect is asked before every operand,
//! so it can count, and stop.

use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use std::any::TypeId;
use std::cell::Cell;

/// Operands that may be tried for nothing, beside [`TRIES_PER_TOKEN`].
const TRIES_MIN: usize = 50_000;
/// Operands that may be tried for each token.
const TRIES_PER_TOKEN: usize = 16;

/// The generic dialect, plus `MAP<k, v>`, with a budget of operands to try.
#[derive(Debug)]
pub(super) struct Grammar {
    tries_left: Cell<usize>,
}

impl Grammar {
    /// A grammar for a text of so many tokens.
    pub fn new(n_tokens: usize) -> Self {
        Self { tries_left: Cell::new(TRIES_MIN + TRIES_PER_TOKEN * n_tokens) }
    }

    /// Whether parsing was given up because it took too many tries.
    pub fn is_exhausted(&self) -> bool {
        self.tries_left.get() == 0
    }
}

/// Answers as the generic dialect does.
macro_rules! as_generic {
    ($($method:ident)*) => {
        $(fn $method(&self) -> bool {
            GenericDialect.$method()
        })*
    };
}

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        GenericDialect.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        GenericDialect.is_identifier_part(ch)
    }

    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }

    fn parse_prefix(&self, _parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let left = self.tries_left.get().saturating_sub(1);
        self.tries_left.set(left);
        (left == 0).then_some(Err(ParserError::RecursionLimitExceeded))
    }

    // As in PostgreSQL, Spark and DuckDB arithmetic comes before `||`; the generic dialect has it the other way round.
    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        let is_concat = parser.peek_token_ref().token == Token::StringConcat;
        is_concat.then(|| Ok(self.prec_value(Precedence::PlusMinus) - 1))
    }

    as_generic! {
        supports_unicode_string_literal
        supports_partition_by_after_order_by
        supports_array_join_syntax
        supports_group_by_expr
        supports_group_by_with_modifier
        supports_left_associative_joins_without_parens
        supports_connect_by
        supports_match_recognize
        supports_pipe_operator
        supports_start_transaction_modifier
        supports_window_function_null_treatment_arg
        supports_dictionary_syntax
        supports_window_clause_named_window_reference
        supports_parenthesized_set_variables
        supports_select_wildcard_except
        support_map_literal_syntax
        allow_extract_custom
        allow_extract_single_quotes
        supports_extract_comma_syntax
        supports_create_view_comment_syntax
        supports_parens_around_table_factor
        supports_values_as_table_factor
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_limit_comma
        supports_update_order_by
        supports_from_first_select
        supports_projection_trailing_commas
        supports_asc_desc_in_column_definition
        supports_try_convert
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_assignment_operator
        supports_struct_literal
        supports_empty_projections
        supports_nested_comments
        supports_multiline_comment_hints
        supports_user_host_grantee
        supports_string_escape_constant
        supports_array_typedef_with_brackets
        supports_match_against
        supports_set_names
        supports_comma_separated_set_assignments
        supports_filter_during_aggregation
        supports_select_wildcard_exclude
        supports_data_type_signed_suffix
        supports_interval_options
        supports_quote_delimited_string
        supports_select_wildcard_replace
        supports_select_wildcard_ilike
        supports_select_wildcard_rename
        supports_optimize_table
        supports_install
        supports_detach
        supports_prewhere
        supports_with_fill
        supports_limit_by
        supports_interpolate
        supports_settings
        supports_select_format
        supports_comment_optimizer_hint
        supports_constraint_keyword_without_name
        supports_key_column_option
        supports_comma_separated_trim
        supports_cte_without_as
        supports_select_item_multi_column_alias
        supports_xml_expressions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_generic_dialect_reads() {
        for sql in [
            "SELECT a, FROM t",
            "FROM t SELECT a",
            "SELECT * EXCEPT (a) FROM t",
            "SELECT * REPLACE (a AS b) FROM t",
            "SELECT * RENAME (a AS b) FROM t",
            "SELECT {'a': 1}",
            "SELECT MAP {'a': 1}",
            "SELECT STRUCT(1 AS a)",
            "SELECT [1, 2][1]",
            "SELECT a::INT[]",
            "SELECT E'\\n', U&'\\0041', Q'[x]'",
            "SELECT count(*) FILTER (WHERE a) OVER w FROM t WINDOW w AS (PARTITION BY b)",
            "SELECT f(a := 1)",
            "SELECT f(a => 1)",
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS true)",
            "SELECT a FROM t GROUP BY ALL",
            "SELECT a FROM t GROUP BY ROLLUP (a)",
            "SELECT a FROM t GROUP BY a WITH ROLLUP",
            "SELECT a FROM t LIMIT 1, 2",
            "SELECT extract(day FROM a), extract('day', a)",
            "SELECT first_value(a IGNORE NULLS) OVER ()",
            "SELECT trim(a, 'x')",
            "SELECT 1 << 2 >> 3",
            "WITH x (SELECT 1) SELECT * FROM x",
            "SELECT * FROM (VALUES (1)) t",
            "SELECT * FROM VALUES (1)",
            "SELECT * FROM t |> WHERE a",
            "SELECT a FROM ((a JOIN b ON true))",
            "SELECT /* a /* b */ */ 1",
        ] {
            let n_tokens = sql.len();
            let grammar = Grammar::new(n_tokens);
            let ours = Parser::new(&grammar).try_with_sql(sql).and_then(|mut parser| parser.parse_query());
            let theirs = Parser::new(&GenericDialect).try_with_sql(sql).and_then(|mut parser| parser.parse_query());
            assert_eq!(ours, theirs, "{sql}");
        }
    }
}
