//! `tmp-size`: the scratch space of the box, and the inodes that go with it.

use testbox_model::{Bytes, Origin, Setting};

use super::range::{KIB, MIB, Range, Unit};
use crate::place::given;
use crate::{Auto, ConfigError, Layer, Machine};

/// What `auto` gives at least, if the memory limit allows it.
const AUTO_LEAST_BYTES: u64 = 64 * MIB;

/// One inode for so many bytes; an empty file costs the kernel about 1 KiB.
const BYTES_PER_INODE: u64 = 16 * KIB;

const LEAST_INODES: u64 = 1024;

pub(super) fn resolve(
    layer: &Layer,
    machine: &Machine,
    memory: &Setting<Bytes>,
) -> Result<Setting<Bytes>, ConfigError> {
    let tmp = given("tmp-size", &layer.tmp_size)?;
    let size = match tmp.value() {
        Auto::Auto => return Ok(derive(memory.value)),
        Auto::Value(size) => size.of(machine.memory_total_bytes),
    };
    let range = Range {
        least: MIB,
        most: memory.value.0,
        bound: "the memory limit, to which scratch space is charged",
        unit: Unit::Bytes,
    };
    Ok(tmp.resolved(Bytes(range.check(&tmp, size)?)))
}

/// Inodes of a scratch space of this size: without a cap empty files would be free.
pub(super) fn inodes(size: Bytes) -> Setting<u64> {
    let inodes = (size.0 / BYTES_PER_INODE).max(LEAST_INODES);
    Setting::new(inodes, Origin::Machine("one for 16 KiB of tmp-size".to_owned()))
}

fn derive(memory: Bytes) -> Setting<Bytes> {
    let bytes = (memory.0 / 4).max(AUTO_LEAST_BYTES).min(memory.0);
    Setting::new(Bytes(bytes), Origin::Machine(format!("1/4 of {memory} memory, at least 64 MiB")))
}
