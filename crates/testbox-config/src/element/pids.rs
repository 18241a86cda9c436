//! `pids`: processes and threads of the whole box.

use testbox_model::Setting;

use super::range::{Range, Unit};
use crate::place::given;
use crate::{ConfigError, Layer, Machine};

/// Init, the command and a few helpers of it.
const LEAST: u64 = 8;

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<u64>, ConfigError> {
    let pids = given("pids", &layer.pids)?;
    let range = Range { least: LEAST, most: machine.pids_max, bound: "this kernel's pid_max", unit: Unit::Count };
    let count = range.check(&pids, pids.value().0)?;
    Ok(pids.resolved(count))
}
