//! `cpus`: CPUs' worth of time.

use std::str::FromStr;

use testbox_model::{Setting, UnitError};

use crate::place::given;
use crate::typed::wrong;
use crate::{ConfigError, Layer, Machine};

/// A number of CPUs, or `all`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpus(
    /// The number, above 0 and finite; `None` is typed `all`.
    pub Option<f64>,
);

/// A hundredth of a CPU: the kernel's smallest quota in its usual period.
const LEAST: f64 = 0.01;

impl FromStr for Cpus {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "all" {
            return Ok(Self(None));
        }
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && !text.starts_with(['-', '+']));
        number.map(|number| Self(Some(number))).ok_or_else(|| {
            let nearest = testbox_model::nearest(text, ["all"]);
            wrong(text, "number of CPUs", "numbers like 2 or 1.5, or `all`", nearest)
        })
    }
}

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<Option<f64>>, ConfigError> {
    let cpus = given("cpus", &layer.cpus)?;
    let error = |problem, nearest: String| ConfigError::OutOfRange {
        stated: cpus.with_value(),
        problem,
        accepted: format!("{LEAST} to {} (this machine's CPUs), or `all`", machine.cpus),
        nearest,
    };
    match cpus.value().0 {
        Some(number) if number < LEAST => Err(error("too small", LEAST.to_string())),
        Some(number) if number > f64::from(machine.cpus) => Err(error("too large", machine.cpus.to_string())),
        number => Ok(cpus.resolved(number)),
    }
}
