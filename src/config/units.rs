//! Durations and sizes as words: "1h 30m", "256 MiB".

use std::time::Duration;

/// The units of a duration, in milliseconds.
const DURATION_UNITS: &[(&[&str], f64)] = &[
    (&["ms", "msec", "millisecond", "milliseconds"], 1.0),
    (&["s", "sec", "second", "seconds"], 1e3),
    (&["m", "min", "minute", "minutes"], 6e4),
    (&["h", "hour", "hours"], 3.6e6),
    (&["d", "day", "days"], 8.64e7),
];

/// The units of a size, in bytes. A lone letter is binary, as everywhere where memory is counted.
const SIZE_UNITS: &[(&[&str], f64)] = &[
    (&["b", "byte", "bytes"], 1.0),
    (&["kib", "k"], 1024.0),
    (&["mib", "m"], 1_048_576.0),
    (&["gib", "g"], 1_073_741_824.0),
    (&["tib", "t"], 1_099_511_627_776.0),
    (&["kb"], 1e3),
    (&["mb"], 1e6),
    (&["gb"], 1e9),
    (&["tb"], 1e12),
];

/// The longest duration: a century, so that nothing overflows when it is added to a time.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Reads `30 s`, `1h 30m`, `0.5 s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expects a duration such as \"500 ms\", \"30 s\" or \"1h 30m\"";
    let parts = parts(text).ok_or(EXPECTED)?;
    let mut total_ms = 0.0;
    for (number, unit) in parts {
        total_ms += number
            * match (unit.as_str(), number) {
                ("", 0.0) => 0.0,
                ("", _) => return Err(format!("{EXPECTED}, the number {number} has no unit")),
                (unit, _) => factor(DURATION_UNITS, unit).ok_or_else(|| format!("{EXPECTED}, and does not know the unit \"{unit}\""))?,
            };
    }
    match Duration::try_from_secs_f64(total_ms / 1e3) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("expects a duration of less than a hundred years".into()),
    }
}

/// Reads `256 MiB`, `1.5 GB`, `1024`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expects a size such as \"65536\", \"64 MiB\" or \"10 GB\"";
    let parts = parts(text).ok_or(EXPECTED)?;
    let [(number, unit)] = parts.as_slice() else { return Err(EXPECTED.into()) };
    let factor = match unit.as_str() {
        "" => 1.0,
        unit => factor(SIZE_UNITS, unit).ok_or_else(|| format!("{EXPECTED}, and does not know the unit \"{unit}\""))?,
    };
    let bytes = (number * factor).round();
    // 2^53: every whole number below is exact.
    if bytes > 9_007_199_254_740_992.0 {
        return Err("expects a size of less than 8 PiB".into());
    }
    Ok(bytes as u64)
}

/// Reads `50 %`; `None` when there is no percent sign.
pub fn parse_percent(text: &str) -> Option<Result<f64, String>> {
    let number = text.trim().strip_suffix('%')?.trim();
    Some(match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("expects a percentage above 0 and up to 100".into()),
    })
}

/// A size in the largest unit that shows it whole: `64 MiB`.
pub fn format_size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{bytes} B"), |(unit, factor)| format!("{} {unit}", bytes / factor))
}

fn factor(units: &[(&[&str], f64)], unit: &str) -> Option<f64> {
    units.iter().find(|(names, _)| names.contains(&unit)).map(|(_, factor)| *factor)
}

/// Splits `1h 30m` into (1, "h"), (30, "m"); units in lower case, the last may be missing.
fn parts(text: &str) -> Option<Vec<(f64, String)>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(rest.len());
        let number: f64 = rest[..end].replace('_', "").parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        parts.push((number, rest[..end].to_lowercase()));
        rest = rest[end..].trim_start();
    }
    (!parts.is_empty()).then_some(parts)
}
