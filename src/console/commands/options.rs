//! Commands that change how results look.

use super::Call;
use crate::console::failure::Failure;
use crate::console::print::{Expanded, Format, Options};
use crate::console::session::{Console, Flow};
use crate::error::{Code, Error, Result};

/// The names of `\pset`.
const NAMES: &[&str] = &["expanded", "fieldsep", "format", "null", "tuples_only"];

/// Sets an option of `\pset`; a switch without a value is turned over.
///
/// # Errors
/// For names and values that are not known.
pub fn set_print_option(options: &mut Options, name: &str, value: Option<&str>) -> Result<()> {
    match name {
        "null" => options.null = value.unwrap_or_default().to_owned(),
        "fieldsep" => options.field_separator = value.unwrap_or_default().to_owned(),
        "tuples_only" | "t" => options.tuples_only = switch("tuples_only", value, options.tuples_only)?,
        "expanded" | "x" => {
            options.expanded = match value {
                Some("auto") => Expanded::Auto,
                value => {
                    let is_on = switch("expanded", value, options.expanded != Expanded::Off).map_err(|error| error.hint("Write on, off or auto."))?;
                    if is_on { Expanded::On } else { Expanded::Off }
                }
            };
        }
        "format" => {
            let typed = value.unwrap_or("aligned");
            let known = Format::ALL.iter().map(|(name, _)| *name);
            let found = Format::ALL.iter().find(|(name, _)| *name == typed);
            options.format = match found {
                Some((_, format)) => *format,
                None => {
                    let error = Error::unknown(Code::InvalidParameter, format!("format \"{typed}\" is not known"), typed, known.clone());
                    return Err(if error.hint.is_some() { error } else { error.hint(format!("Formats are {}.", known.collect::<Vec<_>>().join(", "))) });
                }
            };
        }
        other => {
            let error = Error::unknown(Code::InvalidParameter, format!("option \"{other}\" of \\pset is not known"), other, NAMES.iter().copied());
            return Err(if error.hint.is_some() { error } else { error.hint(format!("Options are {}.", NAMES.join(", "))) });
        }
    }
    Ok(())
}

/// on, off, or the other one.
fn switch(name: &str, value: Option<&str>, now: bool) -> Result<bool> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(!now),
        Some("on" | "true" | "1" | "yes") => Ok(true),
        Some("off" | "false" | "0" | "no") => Ok(false),
        Some(other) => Err(Error::new(Code::InvalidParameter, format!("\"{other}\" is no value of {name}")).hint("Write on or off.")),
    }
}

/// The value of an option as `\pset` shows it.
fn shown(options: &Options, name: &str) -> String {
    let on_off = |is_on| if is_on { "on" } else { "off" }.to_owned();
    match name {
        "null" => format!("'{}'", options.null),
        "fieldsep" => format!("'{}'", options.field_separator.escape_default()),
        "tuples_only" => on_off(options.tuples_only),
        "expanded" => options.expanded.name().to_owned(),
        _ => options.format.name().to_owned(),
    }
}

/// `\pset`
pub fn pset(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    match call.word(0) {
        Some(name) => {
            set_print_option(&mut console.options, name, call.word(1))?;
            tell(console, &format!("Option {name} is {}.", shown(&console.options, name)));
        }
        None => {
            let all: String = NAMES.iter().map(|name| format!("{name:<12} {}\n", shown(&console.options, name))).collect();
            console.output.write(&all)?;
        }
    }
    Ok(Flow::Next)
}

/// `\x`
pub fn expanded(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    set_print_option(&mut console.options, "expanded", call.word(0))?;
    tell(console, &format!("Expanded display is {}.", console.options.expanded.name()));
    Ok(Flow::Next)
}

/// `\t`
pub fn tuples_only(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    set_print_option(&mut console.options, "tuples_only", call.word(0))?;
    tell(console, &format!("Rows only is {}.", shown(&console.options, "tuples_only")));
    Ok(Flow::Next)
}

/// `\a`
pub fn unaligned(console: &mut Console) -> Result<Flow, Failure> {
    console.options.format = if console.options.format == Format::Aligned { Format::Unaligned } else { Format::Aligned };
    tell(console, &format!("Output format is {}.", console.options.format.name()));
    Ok(Flow::Next)
}

/// `\timing`
pub fn timing(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    console.is_timing = switch("\\timing", call.word(0), console.is_timing)?;
    tell(console, if console.is_timing { "Timing is on." } else { "Timing is off." });
    Ok(Flow::Next)
}

/// Confirms a change to a person; the output of a script holds results only.
fn tell(console: &Console, text: &str) {
    if console.is_interactive && !console.is_quiet {
        console.say(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(name: &str, value: &str, message: &str) {
        let error = set_print_option(&mut Options::default(), name, Some(value)).unwrap_err();
        assert!(error.one_line().contains(message), "{error}");
    }

    #[test]
    fn what_is_not_known_is_named() {
        refuses("nul", "x", "option \"nul\" of \\pset is not known. Did you mean \"null\"");
        refuses("border", "2", "Options are expanded, fieldsep, format, null, tuples_only");
        refuses("format", "cvs", "Did you mean \"csv\"");
        refuses("expanded", "sometimes", "Write on, off or auto");
        refuses("tuples_only", "maybe", "\"maybe\" is no value of tuples_only");
    }

    #[test]
    fn every_option_is_set_and_shown() {
        let mut options = Options::default();
        for (name, value, expected) in
            [("null", "-", "'-'"), ("fieldsep", "\t", "'\\t'"), ("tuples_only", "on", "on"), ("expanded", "auto", "auto"), ("format", "csv", "csv")]
        {
            set_print_option(&mut options, name, Some(value)).unwrap();
            assert_eq!(shown(&options, name), expected, "{name}");
        }
        set_print_option(&mut options, "tuples_only", None).unwrap();
        assert!(!options.tuples_only, "without a value it is turned over");
        assert_eq!(NAMES.len(), 5);
    }
}
