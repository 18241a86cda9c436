//! `swap`: swap on top of the memory.

use testbox_model::{Bytes, Setting};

use super::range::{Range, Unit};
use crate::place::given;
use crate::{ConfigError, Layer, Machine};

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<Bytes>, ConfigError> {
    let swap = given("swap", &layer.swap)?;
    let range = Range { least: 0, most: machine.swap_total_bytes, bound: "this machine's swap", unit: Unit::Bytes };
    let bytes = range.check(&swap, swap.value().of(machine.memory_total_bytes))?;
    Ok(swap.resolved(Bytes(bytes)))
}
