//! `io-read`, `io-write`: transfer rates of the project's and the scratch space's device.

use testbox_model::{Rate, Setting};

use super::range::{KIB, Range, TIB, Unit};
use crate::place::given;
use crate::slot::One;
use crate::{ConfigError, OrNone};

const RANGE: Range = Range { least: 4 * KIB, most: TIB, bound: "or `none`", unit: Unit::Rate };

pub(super) fn resolve(key: &'static str, slot: &One<OrNone<Rate>>) -> Result<Setting<Option<Rate>>, ConfigError> {
    let rate = given(key, slot)?;
    let checked = rate.value().0.map(|Rate(bytes)| RANGE.check(&rate, bytes)).transpose()?;
    Ok(rate.resolved(checked.map(Rate)))
}
