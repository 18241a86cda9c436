//! `fsize`: the size of one file.

use testbox_model::{Bytes, Setting};

use super::range::{KIB, Range, TIB, Unit};
use crate::place::given;
use crate::{ConfigError, Layer, Machine};

const RANGE: Range = Range { least: 4 * KIB, most: TIB, bound: "or `none`", unit: Unit::Bytes };

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<Option<Bytes>>, ConfigError> {
    let fsize = given("fsize", &layer.fsize)?;
    let bytes = fsize.value().0.map(|size| size.of(machine.memory_total_bytes));
    let checked = bytes.map(|bytes| RANGE.check(&fsize, bytes)).transpose()?;
    Ok(fsize.resolved(checked.map(Bytes)))
}
