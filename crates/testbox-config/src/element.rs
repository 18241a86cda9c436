//! The elements of the configuration: one file for each concern, from what was typed to what the plan says.

mod range;

mod command_outputs;
mod cpus;
mod environment_rules;
mod fsize;
mod io;
mod isolation;
mod memory;
mod nofile;
mod output_limit;
mod outputs;
mod pids;
mod profiles;
mod quotas;
mod reports;
mod swap;
mod terminal;
mod testing;
mod times;
mod tmp;
mod view;
mod walls;
mod worker;

pub use cpus::Cpus;
pub use isolation::Isolation;
pub use outputs::Glob;
pub use profiles::{NameOrFile, SECCOMP_PROFILES};
pub use quotas::QuotaEntry;
pub use reports::JsonTarget;
pub use terminal::Verbosity;
pub use view::HostPath;
pub use walls::WallName;

pub(crate) use command_outputs::{lost as lost_outputs, promised as command_outputs};
pub(crate) use environment_rules::resolve as env;
pub(crate) use isolation::meets;
pub(crate) use profiles::{resolve_seccomp as seccomp, unknown};
pub(crate) use quotas::{of_key as quota_of_key, of_marker as quota_of_marker};
pub(crate) use reports::resolve as reports;
pub(crate) use terminal::{resolve as terminal, verbosity_word};
pub(crate) use testing::resolve as testing;
pub(crate) use times::resolve as times;
pub(crate) use view::resolve as view;
pub(crate) use walls::resolve as allow_degraded;

use testbox_model::{Limits, Origin, Setting};

use crate::slot::Many;
use crate::{ConfigError, Layer, Machine};

/// All limits.
pub(crate) fn limits(layer: &Layer, machine: &Machine) -> Result<Limits, ConfigError> {
    let memory_bytes = memory::resolve(layer, machine)?;
    let tmp_bytes = tmp::resolve(layer, machine, &memory_bytes)?;
    Ok(Limits {
        swap_bytes: swap::resolve(layer, machine)?,
        pids: pids::resolve(layer, machine)?,
        cpus: cpus::resolve(layer, machine)?,
        nofile: nofile::resolve(layer, machine)?,
        io_read: io::resolve("io-read", &layer.io_read)?,
        io_write: io::resolve("io-write", &layer.io_write)?,
        tmp_inodes: tmp::inodes(tmp_bytes.value),
        output_bytes: output_limit::resolve(layer, machine)?,
        fsize_bytes: fsize::resolve(layer, machine)?,
        memory_bytes,
        tmp_bytes,
    })
}

/// The values of a list, each once at its last place, with the origins that gave them, strongest first.
pub(crate) fn list<T: Clone + PartialEq>(slot: &Many<T>) -> Setting<Vec<T>> {
    let (mut values, mut origins) = (Vec::new(), Vec::new());
    for setting in slot.iter().flatten() {
        values.retain(|value| *value != setting.value.value);
        values.push(setting.value.value.clone());
        if !origins.contains(&setting.origin) {
            origins.insert(0, setting.origin.clone());
        }
    }
    Setting::new(values, joined(origins))
}

/// One origin for all of `origins`; none means that the default policy's list is empty.
pub(crate) fn joined(mut origins: Vec<Origin>) -> Origin {
    match origins.len() {
        0 => Origin::Policy(crate::policy::DEFAULT.to_owned()),
        1 => origins.remove(0),
        _ => Origin::Joined(origins),
    }
}

/// How strong a source is: of two values that contradict each other the stronger one is meant.
pub(crate) fn strength(origin: &Origin) -> u8 {
    match origin {
        Origin::Flag(_) => 4,
        Origin::Environment(_) => 3,
        Origin::ProjectFile { .. } => 2,
        Origin::Policy(name) if name != crate::policy::DEFAULT => 1,
        Origin::Policy(_) | Origin::Machine(_) | Origin::Command(_) | Origin::Implied(_) | Origin::Joined(_) => 0,
    }
}
