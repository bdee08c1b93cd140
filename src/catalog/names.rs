//! Names of databases and objects: the default database, reserved names, what a name may look like.

use crate::error::{Code, Error, Result};

/// The one catalog, which the name of an object may begin with.
pub const CATALOG: &str = "weir";

/// The database that always exists.
pub const DEFAULT_DATABASE: &str = "public";

/// Databases that the server makes up itself; nobody can create one of these names.
pub const RESERVED_DATABASES: &[&str] = &["information_schema", "system", "pg_catalog"];

/// The longest name of an object, in bytes: a file name can be made from it.
const NAME_BYTES_MAX: usize = 255;

/// The database that a name means: lower case, `default` is `public`.
pub fn resolve_database_name(name: &str) -> String {
    let name = name.to_lowercase();
    if name == "default" { DEFAULT_DATABASE.to_owned() } else { name }
}

/// Checks the name of a new object; `what` is its kind (`table`, `user`).
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(Code::InvalidParameter, format!("the name of a {what} cannot be empty")));
    }
    if name.len() > NAME_BYTES_MAX {
        let start: String = name.chars().take(20).collect();
        return Err(Error::new(Code::InvalidParameter, format!("the name of {what} \"{start}..\" is too long"))
            .detail(format!("It has {} bytes, the limit is {NAME_BYTES_MAX}.", name.len())));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control()) {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("the name of a {what} cannot contain the control character U+{:04X}", u32::from(bad)),
        ));
    }
    Ok(())
}
