//! What a user may do. Until roles exist, a user is an administrator or a reader.

use crate::catalog::User;
use crate::error::{Code, Error, Result};

/// What a statement does to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Select,
    Show,
    Describe,
    Explain,
    /// SET, RESET and USE: the own session only.
    Set,
    /// To end a query of one's own.
    CancelOwn,
    /// To see or end the queries of others.
    CancelOther,
    Insert,
    Update,
    Delete,
    /// COPY .. TO a file.
    Copy,
    Create,
    Alter,
    Drop,
    /// CREATE MODEL and training.
    Train,
    /// Users and secrets.
    Administer,
}

/// An action, how a refusal names it, and whether a reader may.
struct Rule {
    action: Action,
    verb: &'static str,
    reader: bool,
}

const fn rule(action: Action, verb: &'static str, reader: bool) -> Rule {
    Rule { action, verb, reader }
}

/// The one table of rights.
static RULES: &[Rule] = &[
    rule(Action::Select, "read", true),
    rule(Action::Show, "list", true),
    rule(Action::Describe, "describe", true),
    rule(Action::Explain, "explain", true),
    rule(Action::Set, "change", true),
    rule(Action::CancelOwn, "cancel", true),
    rule(Action::CancelOther, "cancel", false),
    rule(Action::Insert, "insert into", false),
    rule(Action::Update, "update", false),
    rule(Action::Delete, "delete from", false),
    rule(Action::Copy, "copy to", false),
    rule(Action::Create, "create", false),
    rule(Action::Alter, "alter", false),
    rule(Action::Drop, "drop", false),
    rule(Action::Train, "train", false),
    rule(Action::Administer, "administer", false),
];

/// Allows an action, or says who may not do what: [`Code::Forbidden`].
///
/// `object`: the kind and the quoted name, such as `table "lake.ratings"`.
pub fn check(user: &User, action: Action, object: &str) -> Result<()> {
    let rule = RULES.iter().find(|rule| rule.action == action);
    // What the table does not name, nobody but an administrator may.
    if user.admin || rule.is_some_and(|rule| rule.reader) {
        return Ok(());
    }
    let verb = rule.map_or("use", |rule| rule.verb);
    Err(Error::new(Code::Forbidden, format!("user \"{}\" may not {verb} {object}", user.name))
        .detail("The user may only read.")
        .hint("Ask an administrator."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn user(admin: bool) -> User {
        User { name: "ann".into(), admin, argon2: None, scram: None, created_ms: 0 }
    }

    #[test]
    fn a_reader_only_reads_and_is_told_so() {
        let allowed = [Action::Select, Action::Show, Action::Describe, Action::Explain, Action::Set, Action::CancelOwn];
        for rule in RULES {
            let result = check(&user(false), rule.action, "table \"lake.ratings\"");
            assert_eq!(result.is_ok(), allowed.contains(&rule.action), "{:?}", rule.action);
            check(&user(true), rule.action, "x").unwrap();
        }
        let error = check(&user(false), Action::Insert, "table \"lake.ratings\"").unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Forbidden, "user \"ann\" may not insert into table \"lake.ratings\""));
    }

    #[test]
    fn each_action_has_one_rule() {
        let mut seen = HashSet::new();
        for rule in RULES {
            assert!(seen.insert(rule.action), "{:?} is listed twice", rule.action);
        }
    }
}
