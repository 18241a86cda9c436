//! `nofile`: open files of each process.

use testbox_model::{Origin, Setting};

use super::range::{Range, Unit};
use crate::place::given;
use crate::{ConfigError, Layer, Machine};

/// Standard streams, an interpreter and its modules.
const LEAST: u64 = 32;

/// What kernels allow by default (`fs.nr_open`); more makes the end of a box slow.
const MOST: u64 = 1 << 20;

pub(super) fn resolve(layer: &Layer, machine: &Machine) -> Result<Setting<u64>, ConfigError> {
    let nofile = given("nofile", &layer.nofile)?;
    let most = machine.nofile_max.min(MOST);
    let default = matches!(&nofile.setting.origin, Origin::Policy(name) if name == crate::policy::DEFAULT);
    if default && (LEAST..nofile.value().0).contains(&most) {
        return Ok(Setting::new(most, Origin::Machine(format!("the hard limit of {most} open files"))));
    }
    let range = Range { least: LEAST, most, bound: "the hard limit of open files", unit: Unit::Count };
    let count = range.check(&nofile, nofile.value().0)?;
    Ok(nofile.resolved(count))
}
