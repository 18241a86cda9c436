//! `memory`: the memory of the whole box.

use testbox_model::{Bytes, Origin, Setting};

use super::range::{MIB, Range, Unit};
use crate::place::given;
use crate::{Auto, ConfigError, Layer, Machine};

/// Below this not even an interpreter starts.
const LEAST_BYTES: u64 = 16 * MIB;

/// What is left to the rest of the machine, at most; a small machine keeps a quarter.
const RESERVE_BYTES: u64 = 1 << 30;

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<Bytes>, ConfigError> {
    let memory = given("memory", &layer.memory)?;
    let range = Range {
        least: LEAST_BYTES,
        most: machine.memory_total_bytes,
        bound: "this machine's memory",
        unit: Unit::Bytes,
    };
    let (bytes, origin) = match memory.value() {
        Auto::Auto => derive(machine),
        Auto::Value(size) => (size.of(machine.memory_total_bytes), memory.setting.origin.clone()),
    };
    Ok(Setting::new(Bytes(range.check(&memory, bytes)?), origin))
}

/// Three quarters of what is available, and never the last of the machine.
fn derive(machine: &Machine) -> (u64, Origin) {
    let reserve = RESERVE_BYTES.min(machine.memory_total_bytes / 4);
    let ceiling = machine.memory_total_bytes - reserve;
    let share = machine.memory_available_bytes / 4 * 3;
    let how = if share <= ceiling {
        format!("3/4 of {} available", Bytes(machine.memory_available_bytes))
    } else {
        format!("{} in all less {}", Bytes(machine.memory_total_bytes), Bytes(reserve))
    };
    (share.min(ceiling), Origin::Machine(how))
}
