//! One value out of text: numbers, decimals, dates, timestamps. Exact, or not at all.

/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i32 = 719_468;

/// Parses a whole number; blanks around it are allowed.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text.trim_ascii());
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, so that the smallest i64 is reachable.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Parses a number without sign up to 2^64-1.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// Parses a floating point number; one that is too large is refused, not made infinite.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || !text.bytes().any(|byte| byte.is_ascii_digit())).then_some(value)
}

/// As [`double`], of 32 bits.
pub(super) fn float(text: &[u8]) -> Option<f32> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let value: f32 = text.parse().ok()?;
    (value.is_finite() || !text.bytes().any(|byte| byte.is_ascii_digit())).then_some(value)
}

/// `true`, `false`, `t`, `f`, `1`, `0` in any case.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    let text = text.trim_ascii();
    match text {
        b"1" | b"t" | b"T" => Some(true),
        b"0" | b"f" | b"F" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

/// Parses a decimal exactly; more digits than `scale` are rounded half away from zero.
pub(super) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = sign(text.trim_ascii());
    let (mantissa, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&digits[..at], integer(&digits[at + 1..]).filter(|exponent| exponent.abs() <= 1_000)?),
        None => (digits, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let whole = &mantissa[..point];
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The digit at `position` counts 10^(whole - 1 - position + exponent); we keep those down to 10^-scale.
    let keep = whole.len() as i64 + exponent + i64::from(scale);
    let mut value = 0_i128;
    let mut round_up = false;
    let mut n_digits = 0_i64;
    for byte in whole.iter().chain(fraction) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if n_digits < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if n_digits == keep {
            round_up = digit >= 5;
        }
        n_digits += 1;
    }
    while n_digits < keep && value != 0 {
        value = value.checked_mul(10)?;
        n_digits += 1;
    }
    value += i128::from(round_up);
    if value >= 10_i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// `2026-01-31`: days since 1970-01-01.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let (days, rest) = leading_date(text.trim_ascii())?;
    rest.is_empty().then_some(days)
}

/// A date, then optionally ` ` or `T`, `hh:mm[:ss[.fraction]]` and `Z` or an offset: microseconds since 1970 in UTC.
/// Digits beyond the microsecond are cut off.
pub(super) fn timestamp(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (days, seconds, micros, rest) = match usual_time(text) {
        Some((days, seconds, rest)) => {
            let (micros, rest) = fraction(rest)?;
            (days, seconds, micros, rest)
        }
        None => any_time(text)?,
    };
    let seconds = i64::from(days) * 86_400 + i64::from(seconds) - offset_seconds(rest)?;
    Some(seconds * 1_000_000 + micros)
}

/// `2026-01-31T12:00:00` and what follows: days since 1970, seconds since midnight. Nearly all timestamps are written so, and
/// where nothing is optional little has to be asked. `None`: it is written in another way, or means no time.
fn usual_time(text: &[u8]) -> Option<(i32, i32, &[u8])> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let separators = [head[4], head[7], head[13], head[16]] == *b"--::" && matches!(head[10], b'T' | b' ' | b't');
    let mut is_digits = true;
    let mut two = |at: usize| {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        is_digits &= tens < 10 && ones < 10;
        i32::from(tens) * 10 + i32::from(ones)
    };
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    if !separators || !is_digits || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((days_since_1970(year, month, day)?, hour * 3600 + minute * 60 + second, rest))
}

/// As [`usual_time`], in every way that a time may be written; also the microseconds.
fn any_time(text: &[u8]) -> Option<(i32, i32, i64, &[u8])> {
    let (days, rest) = leading_date(text)?;
    let Some((b' ' | b'T' | b't', rest)) = rest.split_first() else {
        return rest.is_empty().then_some((days, 0, 0, rest));
    };
    let (hour, rest) = digits(rest, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (mut second, mut micros) = (0, 0);
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = digits(after, 2)?;
        (micros, rest) = fraction(rest)?;
    }
    (hour < 24 && minute < 60 && second < 60).then_some((days, hour * 3600 + minute * 60 + second, micros, rest))
}

/// Microseconds of a fraction of a second, when there is one; of nine digits at most.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    const MICROS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    let Some(after) = text.strip_prefix(b".") else { return Some((0, text)) };
    let (mut number, mut n_digits) = (0, 0);
    while let Some(digit) = after.get(n_digits).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        if n_digits < 6 {
            number = number * 10 + i64::from(digit);
        }
        n_digits += 1;
    }
    (1..=9).contains(&n_digits).then(|| (number * MICROS[n_digits.min(6)], &after[n_digits..]))
}

/// By a chrono pattern: with an offset in it, the moment in UTC; without a time, midnight.
pub(super) fn timestamp_by(text: &[u8], pattern: &str) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(moment) = chrono::DateTime::parse_from_str(text, pattern) {
        return Some(moment.timestamp_micros());
    }
    if let Ok(moment) = chrono::NaiveDateTime::parse_from_str(text, pattern) {
        return Some(moment.and_utc().timestamp_micros());
    }
    let date = chrono::NaiveDate::parse_from_str(text, pattern).ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    // PostgreSQL and Spark both print a blank before a zone at times.
    let text = text.strip_prefix(b" ").unwrap_or(text);
    match text {
        [] | b"Z" | b"z" | b"UTC" => Some(0),
        [plus_or_minus @ (b'+' | b'-'), rest @ ..] => {
            let (hours, rest) = digits(rest, 2)?;
            let rest = rest.strip_prefix(b":").unwrap_or(rest);
            let (minutes, rest) = if rest.is_empty() { (0, rest) } else { digits(rest, 2)? };
            if !rest.is_empty() || hours > 18 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            Some(if *plus_or_minus == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn leading_date(text: &[u8]) -> Option<(i32, &[u8])> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = one_or_two_digits(rest.strip_prefix(b"-")?)?;
    let (day, rest) = one_or_two_digits(rest.strip_prefix(b"-")?)?;
    Some((days_since_1970(year, month, day)?, rest))
}

/// A date of the Gregorian calendar, from the year 0 on, as days since 1970-01-01: chrono's way takes four times as long, and
/// streams have a timestamp in every row.
///
/// # Source
/// Hinnant 2013, *chrono-Compatible Low-Level Date Algorithms*, `days_from_civil`: years begin in March, so that the leap day
/// is their last.
fn days_since_1970(year: i32, month: i32, day: i32) -> Option<i32> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 => 28 + i32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_days).contains(&day) || year < 0 {
        return None;
    }
    // January and February of the year 0 belong to the year before: one cycle later nothing is negative.
    let year = year + 400 - i32::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 146_097 - DAYS_BEFORE_1970)
}

fn digits(text: &[u8], count: usize) -> Option<(i32, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let mut value = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i32::from(byte - b'0');
    }
    Some((value, rest))
}

fn one_or_two_digits(text: &[u8]) -> Option<(i32, &[u8])> {
    digits(text, 2).or_else(|| digits(text, 1))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", " ", "-", "+", "1 2", "1_000", "١", "9223372036854775808", "-9223372036854775809"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", "1e", "e1", "1e400", "-1e400", "0x1", "1.0.0"] {
            assert_eq!(double(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", ".", "-", "1.", "e5", "1e9999", "1,0", "99999999.995"] {
            let expected = (text == "1.").then_some(100);
            assert_eq!(decimal(text.as_bytes(), 10, 2), expected, "{text:?}");
        }
        for text in ["2026-1", "2026-13-01", "2025-02-29", "26-01-01", "2026-01-01x", "2026/01/01"] {
            assert_eq!(date(text.as_bytes()), None, "{text:?}");
        }
        for text in [
            "2026-01-01 ",
            "2026-01-01T",
            "2026-01-01 1:00",
            "2026-01-01 10",
            "2026-01-01 10:00:60",
            "2026-01-01 10:00:00.",
            "2026-01-01 10:00 PST",
        ] {
            let expected = (text == "2026-01-01 ").then_some(1_767_225_600_000_000);
            assert_eq!(timestamp(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn decimals_are_exact_and_rounded_half_away_from_zero() {
        for (text, scale, expected) in [
            ("0.005", 2, 1),
            ("-0.005", 2, -1),
            ("0.0049999", 2, 0),
            ("123e-2", 2, 123),
            ("1.5e3", 0, 1_500),
            ("0000000000000000000000000000000000000000000001", 0, 1),
            ("149", -2, 1),
            ("150", -2, 2),
            ("5e-3", 2, 1),
            ("5e-4", 2, 0),
            ("-99999999999999999999999999999999999999", 0, -99_999_999_999_999_999_999_999_999_999_999_999_999),
        ] {
            assert_eq!(decimal(text.as_bytes(), 38, scale), Some(expected), "{text} with scale {scale}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        use chrono::{Datelike, NaiveDate};
        for year in 0..=9999 {
            for (month, day) in (0..=13).flat_map(|month| [0, 1, 28, 29, 30, 31, 32].map(|day| (month, day))) {
                let expected = NaiveDate::from_ymd_opt(year, month as u32, day as u32).map(|date| date.num_days_from_ce() - 719_163);
                assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
            }
        }
    }

    #[test]
    fn the_usual_form_of_a_time_means_what_it_means_among_all_forms() {
        let mut n_usual = 0;
        for date in ["2026-01-31", "2024-02-29", "2023-02-29", "0000-01-01", "9999-12-31", "2026-13-01", "2026-1-31", "20x6-01-31"] {
            for time in ["T12:34:56", " 00:00:00", "t23:59:59", "T24:00:00", "T12:60:00", "T12:00:60", "T12:34", "T1:34:56", "-12:34:56"] {
                for rest in ["", ".", ".5", ".123456", ".1234567", ".123456789", ".1234567890", "Z", ".250+02:00", " UTC", "x"] {
                    let text = format!("{date}{time}{rest}");
                    let any = any_time(text.as_bytes());
                    let Some((days, seconds, after)) = usual_time(text.as_bytes()) else { continue };
                    let usual = fraction(after).map(|(micros, rest)| (days, seconds, micros, rest));
                    assert_eq!(usual, any, "{text}");
                    n_usual += 1;
                }
            }
        }
        // Four dates, three times.
        assert_eq!(n_usual, 4 * 3 * 11);
        assert_eq!(timestamp(b"1970-01-01T00:00:00.123456789"), Some(123_456));
        assert_eq!(timestamp(b"1970-01-01T00:00:00.1234567890"), None);
    }

    #[test]
    fn timestamps_are_moved_to_utc() {
        let base = timestamp(b"2026-01-31 12:00:00").unwrap();
        for text in [
            "2026-01-31T12:00Z",
            "2026-01-31 14:00+02:00",
            "2026-01-31 14:00:00.000+0200",
            "2026-01-31 10:00-02",
            "2026-01-31 12:00:00 UTC",
        ] {
            assert_eq!(timestamp(text.as_bytes()), Some(base), "{text}");
        }
        assert_eq!(timestamp(b"1969-12-31 23:59:59.000001"), Some(-999_999));
        assert_eq!(timestamp_by(b"31/01/2026 12:00 +0000", "%d/%m/%Y %H:%M %z"), Some(base));
    }
}
