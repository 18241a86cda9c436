//! Sizes, rates and durations as people type and read them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes; shown with binary units (`2.0 GiB`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A size as typed: absolute (`512M`, `2GiB`) or a share of a whole that only the resolver knows (`50%`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// An absolute number of bytes.
    Bytes(u64),
    /// A share of a whole, in percent, above 0 and at most 100.
    Percent(f64),
}

/// A transfer rate in bytes per second, as typed: `10M`, `10M/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u64);

/// A span of time in whole milliseconds, as typed: `90s`, `5m`, `1h30m`, `250ms`; at least 1 ms, at most 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration {
    /// Milliseconds.
    pub ms: u64,
}

/// A value that is not of the accepted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {what}: accepted are {accepted}{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnitError {
    /// The value as typed.
    pub value: String,
    /// What was expected: `size`, `rate`, `duration`.
    pub what: &'static str,
    /// The accepted spellings.
    pub accepted: Cow<'static, str>,
    /// The nearest valid spelling, where one can be guessed.
    pub nearest: Option<String>,
}

const SIZE_FORMS: &str = "a whole or decimal number with K, M, G, T (binary, also KiB, MiB, GiB, TiB), like 512M or 2GiB, or a share up to 100% like 50%";
const RATE_FORMS: &str = "bytes per second with K, M, G, like 10M or 10M/s";
const DURATION_FORMS: &str = "1ms to 365d: numbers with ms, s, m, h or d, also combined, like 90s, 5m or 1h30m";
const MAX_DURATION_MS: u64 = 365 * 24 * 3600 * 1000;

impl Size {
    /// The size in bytes, where a share is taken of `whole_bytes`.
    pub fn of(self, whole_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (whole_bytes as f64 * percent / 100.0) as u64,
        }
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Some(number) = text.trim().strip_suffix('%') {
            return match number.trim().parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Self::Percent(percent)),
                Ok(percent) if percent > 100.0 => Err(unit_error(text, "size", SIZE_FORMS, Some("100%".to_owned()))),
                _ => Err(unit_error(text, "size", SIZE_FORMS, None)),
            };
        }
        parse_bytes(text).map(Self::Bytes).ok_or_else(|| unit_error(text, "size", SIZE_FORMS, guess_size(text)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => Bytes(*bytes).fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        match parse_bytes(number) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(unit_error(text, "rate", RATE_FORMS, guess_size(number))),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{value:.1} {}", UNITS[unit]),
        }
    }
}

impl Duration {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { ms: seconds * 1000 }
    }

    /// A span of milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// The span in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.ms
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.ms)
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match parse_duration(text.trim()) {
            Some(ms) if (1..=MAX_DURATION_MS).contains(&ms) => Ok(Self { ms }),
            _ => Err(unit_error(text, "duration", DURATION_FORMS, guess_duration(text))),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.ms / 3_600_000, self.ms / 60_000 % 60);
        let seconds = (self.ms % 60_000) as f64 / 1000.0;
        match (hours, minutes) {
            (0, 0) if self.ms < 1000 => write!(f, "{} ms", self.ms),
            (0, 0) if self.ms.is_multiple_of(1000) => write!(f, "{seconds:.0} s"),
            (0, 0) => write!(f, "{seconds:.1} s"),
            (0, m) if seconds == 0.0 => write!(f, "{m} min"),
            (0, m) => write!(f, "{m} min {seconds:.0} s"),
            (h, 0) if seconds == 0.0 => write!(f, "{h} h"),
            (h, m) => write!(f, "{h} h {m} min"),
        }
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim() {
        "" | "B" | "b" => 1,
        "K" | "k" | "KB" | "KiB" | "kB" => 1 << 10,
        "M" | "m" | "MB" | "MiB" => 1 << 20,
        "G" | "g" | "GB" | "GiB" => 1 << 30,
        "T" | "t" | "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes.is_finite() && bytes < (1u64 << 60) as f64).then_some(bytes as u64)
}

fn parse_duration(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let factor = match &rest[..letters] {
            "ms" => 1.0,
            "s" | "sec" => 1e3,
            "m" | "min" => 60e3,
            "h" => 3600e3,
            "d" => 86_400e3,
            _ => return None,
        };
        total += number * factor;
        rest = rest[letters..].trim_start();
    }
    (total.is_finite() && total < 1e15).then_some(total as u64)
}

fn guess_size(text: &str) -> Option<String> {
    let number: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let unit = text.chars().find(|c| c.is_ascii_alphabetic())?.to_ascii_uppercase();
    let plausible = !text.starts_with('-') && number.parse::<f64>().is_ok() && "KMGT".contains(unit);
    plausible.then(|| format!("{number}{unit}")).filter(|guess| parse_bytes(guess).is_some())
}

fn guess_duration(text: &str) -> Option<String> {
    match parse_duration(text.trim()) {
        Some(0) => return Some("1s".to_owned()),
        Some(_) => return Some("365d".to_owned()),
        None => {}
    }
    if let Some(guess) = with_last_unit(text.trim()) {
        return Some(guess);
    }
    let number: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    number.parse::<f64>().ok().filter(|n| *n > 0.0 && text.contains(number.as_str()) && !text.starts_with('-'))?;
    let unit = text.chars().find(|c| c.is_ascii_alphabetic()).map_or('s', |c| c.to_ascii_lowercase());
    let guess = "smhd".contains(unit).then(|| format!("{number}{unit}"))?;
    parse_duration(&guess).filter(|ms| (1..=MAX_DURATION_MS).contains(ms)).map(|_| guess)
}

/// `1h30` lacks the unit of its last number: the next smaller one; `90` are seconds.
fn with_last_unit(text: &str) -> Option<String> {
    text.chars().next_back().filter(char::is_ascii_digit)?;
    let unit = match text.chars().rfind(char::is_ascii_alphabetic) {
        Some('d') => "h",
        Some('h') => "m",
        _ => "s",
    };
    let guess = format!("{text}{unit}");
    parse_duration(&guess).filter(|ms| (1..=MAX_DURATION_MS).contains(ms)).map(|_| guess)
}

fn unit_error(value: &str, what: &'static str, accepted: &'static str, nearest: Option<String>) -> UnitError {
    UnitError { value: value.to_owned(), what, accepted: Cow::Borrowed(accepted), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_type_them() {
        for (text, bytes) in [("512M", 512 << 20), ("2GiB", 2 << 30), ("1.5G", 3 << 29), ("4096", 4096), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Size::Bytes(bytes)), "{text}");
        }
        assert_eq!("50%".parse(), Ok(Size::Percent(50.0)));
        assert_eq!(Size::Percent(50.0).of(8 << 30), 4 << 30);
    }

    #[test]
    fn a_wrong_size_names_value_forms_and_nearest() {
        let error = "2 gigs".parse::<Size>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("2G"));
        assert!(error.to_string().contains("`2 gigs` is not a size"), "{error}");
        for wrong in ["", "-1G", "1e400G", "0%", "101%", "nan", "9999999T", "G"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_as_people_type_them() {
        for (text, ms) in [("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("1.5s", 1500)] {
            assert_eq!(text.parse(), Ok(Duration { ms }), "{text}");
        }
        for wrong in ["", "0s", "-5s", "5", "5 parsecs", "400d", "1h30", "nan s"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
        assert_eq!("5".parse::<Duration>().unwrap_err().nearest.as_deref(), Some("5s"));
    }

    #[test]
    fn a_guess_is_itself_accepted() {
        for (wrong, guess) in [
            ("0s", Some("1s")),
            ("9000d", Some("365d")),
            ("1h30", Some("1h30m")),
            ("1h 30 x", None),
            ("90000000000000000000", None),
        ] {
            assert_eq!(wrong.parse::<Duration>().unwrap_err().nearest.as_deref(), guess, "{wrong}");
        }
        for (wrong, guess) in [("200%", Some("100%")), ("99999999999T", None), ("0%", None)] {
            assert_eq!(wrong.parse::<Size>().unwrap_err().nearest.as_deref(), guess, "{wrong}");
        }
    }

    #[test]
    fn values_are_shown_with_units() {
        assert_eq!(Bytes(2 << 30).to_string(), "2.0 GiB");
        assert_eq!(Bytes(1023).to_string(), "1023 B");
        assert_eq!(Bytes((1 << 30) - 1).to_string(), "1.0 GiB");
        assert_eq!(Duration::from_ms(41_230).to_string(), "41.2 s");
        assert_eq!(Duration::from_secs(1800).to_string(), "30 min");
    }
}
