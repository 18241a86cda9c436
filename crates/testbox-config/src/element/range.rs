//! Ranges of numbers: what is too small, what is too large, and the nearest value that is neither.

use testbox_model::Bytes;

use crate::ConfigError;
use crate::place::Given;

/// The accepted values of one key.
pub(super) struct Range {
    pub(super) least: u64,
    pub(super) most: u64,
    /// What the upper end is: `this machine's memory`.
    pub(super) bound: &'static str,
    pub(super) unit: Unit,
}

/// How values are shown and typed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Rate,
    Count,
}

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const TIB: u64 = 1 << 40;

impl Range {
    /// The value, if it is in the range.
    pub(super) fn check<T>(&self, given: &Given<'_, T>, value: u64) -> Result<u64, ConfigError> {
        if value < self.least {
            Err(self.error(given, "too small", self.larger(given.text())))
        } else if value > self.most {
            Err(self.error(given, "too large", self.unit.spell(self.most)))
        } else {
            Ok(value)
        }
    }

    fn error<T>(&self, given: &Given<'_, T>, problem: &'static str, nearest: String) -> ConfigError {
        if self.least > self.most {
            return ConfigError::NoRoom {
                place: given.place(),
                least: self.unit.show(self.least),
                most: self.unit.show(self.most),
                bound: self.bound,
            };
        }
        ConfigError::OutOfRange { stated: given.with_value(), problem, accepted: self.accepted(), nearest }
    }

    fn accepted(&self) -> String {
        let (least, most) = (self.unit.show(self.least), self.unit.show(self.most));
        match self.least == self.most {
            true => format!("only {most} ({})", self.bound),
            false => format!("{least} to {most} ({})", self.bound),
        }
    }

    /// The nearest larger value: a bare number of bytes was probably meant in MiB.
    fn larger(&self, text: &str) -> String {
        let mebibytes = text.parse::<u64>().ok().and_then(|number| number.checked_mul(MIB));
        match mebibytes {
            Some(bytes) if self.unit != Unit::Count && (self.least..=self.most).contains(&bytes) => format!("{text}M"),
            _ => self.unit.spell(self.least),
        }
    }
}

impl Unit {
    fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => Bytes(value).to_string(),
            Self::Rate => format!("{}/s", Bytes(value)),
            Self::Count => value.to_string(),
        }
    }

    /// As it is typed, rounded down: `22G`.
    fn spell(self, value: u64) -> String {
        let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
        let fits = |shift: u32| value >> shift >= 4 || value > 0 && value.is_multiple_of(1 << shift);
        match units.into_iter().find(|(_, shift)| fits(*shift)) {
            Some((unit, shift)) if self != Self::Count => format!("{}{unit}", value >> shift),
            _ => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spelled_as_people_type_them() {
        for (bytes, text) in [(16 * MIB, "16M"), ((22 << 30) + 5, "22G"), (3 << 29, "1536M"), (0, "0"), (1 << 30, "1G")]
        {
            assert_eq!(Unit::Bytes.spell(bytes), text);
        }
        assert_eq!(Unit::Count.spell(4096), "4096");
    }
}
