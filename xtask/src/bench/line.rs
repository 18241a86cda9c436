//! One measured number with its bound.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::Error;

/// A line of the benchmark.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) name: String,
    /// The number: a ratio, or MiB.
    pub(crate) value: f64,
    /// `x` for a ratio, else the unit.
    pub(crate) unit: &'static str,
    /// Where the number must not be above; `None`: for information.
    pub(crate) bound: Option<f64>,
    /// A number above its bound is a failure.
    pub(crate) enforced: bool,
    /// What the number was made from.
    pub(crate) detail: String,
}

impl Line {
    /// `ok`, `FAIL`, `above` where the bound is not enforced, or nothing where there is none.
    pub(crate) fn state(&self) -> &'static str {
        match self.bound {
            None => "",
            Some(bound) if self.value <= bound => "ok",
            Some(_) if self.enforced => "FAIL",
            Some(_) => "above",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.bound.map(|bound| format!("(at most {bound}) ")).unwrap_or_default();
        let (name, value, unit, state) = (&self.name, self.value, self.unit, self.state());
        write!(f, "bench {name:<44} {value:>7.3} {unit:<4} {bound}{state:<5}\n      {}", self.detail)
    }
}

/// All lines as a JSON list.
pub(crate) fn write_json(file: &Path, lines: &[Line]) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(lines)
        .map_err(|source| Error::Json { what: file.display().to_string(), source })?;
    Ok(fs_err::write(file, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_enforced_bound_can_fail() {
        let line = |value, bound, enforced| Line {
            name: "n".to_owned(),
            value,
            unit: "x",
            bound,
            enforced,
            detail: String::new(),
        };
        assert_eq!(line(1.5, Some(1.5), true).state(), "ok");
        assert_eq!(line(1.6, Some(1.5), true).state(), "FAIL");
        assert_eq!(line(1.6, Some(1.5), false).state(), "above");
        assert_eq!(line(1.6, None, true).state(), "");
    }
}
