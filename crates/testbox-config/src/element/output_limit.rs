//! `output-limit`: what the command may print, stdout and stderr together.

use testbox_model::{Bytes, Setting};

use super::range::{KIB, Range, TIB, Unit};
use crate::place::given;
use crate::{ConfigError, Layer, Machine};

const RANGE: Range = Range { least: KIB, most: TIB, bound: "nobody reads more", unit: Unit::Bytes };

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<Bytes>, ConfigError> {
    let output = given("output-limit", &layer.output_limit)?;
    let bytes = RANGE.check(&output, output.value().of(machine.memory_total_bytes))?;
    Ok(output.resolved(Bytes(bytes)))
}
