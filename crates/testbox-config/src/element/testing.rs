//! How pytest's tests are divided, limited and told.

use testbox_model::{Bytes, Duration, Limits, Origin, Setting, Size, Testing};

use super::range::{Range, Unit};
use super::times::within;
use super::worker::Room;
use super::{isolation, quotas};
use crate::place::given;
use crate::slot::One;
use crate::{Auto, ConfigError, Count, Layer, Machine, OrNone};

const JOBS: Range = Range { least: 1, most: 64, bound: "more only wait for each other", unit: Unit::Count };
const MAX_KILLS: Range = Range { least: 1, most: 1_000_000, bound: "nobody waits for more", unit: Unit::Count };
const RETRIES: Range = Range { least: 0, most: 100, bound: "nobody waits for more", unit: Unit::Count };
const ROWS: Range = Range { least: 0, most: 10_000, bound: "nobody reads more", unit: Unit::Count };

/// How the tests are run in a box with these limits.
pub(crate) fn resolve(layer: &Layer, machine: &Machine, limits: &Limits) -> Result<Testing, ConfigError> {
    let room = Room { layer, machine, limits };
    let quotas = quotas::resolve(&room)?;
    let by_quota: Vec<_> = quotas.value.iter().filter_map(|quota| quota.isolate).collect();
    Ok(Testing {
        isolate: isolation::resolve(layer, &by_quota)?,
        jobs: jobs(&room)?,
        test_memory: memory(&room, "test-memory", &layer.test_memory)?,
        file_memory: memory(&room, "file-memory", &layer.file_memory)?,
        collect_timeout: timeout(layer, "collect-timeout", &layer.collect_timeout)?,
        test_timeout: timeout(layer, "test-timeout", &layer.test_timeout)?,
        teardown_timeout: timeout(layer, "teardown-timeout", &layer.teardown_timeout)?,
        max_kills: count("max-kills", &layer.max_kills, &MAX_KILLS)?,
        retry_killed: count("retry-killed", &layer.retry_killed, &RETRIES)?,
        memories: count("memories", &layer.memories, &ROWS)?,
        quotas,
    })
}

fn jobs(room: &Room<'_>) -> Result<Setting<u32>, ConfigError> {
    let jobs = given("jobs", &room.layer.jobs)?;
    let Auto::Value(Count(number)) = jobs.value() else { return Ok(derived_jobs(room)) };
    Ok(jobs.resolved(JOBS.check(&jobs, *number)? as u32))
}

/// A worker for each CPU that the box may keep busy.
fn derived_jobs(room: &Room<'_>) -> Setting<u32> {
    let usable = room.machine.usable_cpus;
    let (cpus, how) = match room.limits.cpus.value {
        Some(cpus) if cpus < f64::from(usable) => (cpus as u32, format!("{cpus} of {usable} CPUs")),
        _ => (usable, format!("{usable} CPU{}", if usable == 1 { "" } else { "s" })),
    };
    Setting::new(cpus.clamp(1, JOBS.most as u32), Origin::Machine(how))
}

fn memory(room: &Room<'_>, key: &'static str, slot: &One<OrNone<Size>>) -> Result<Setting<Option<Bytes>>, ConfigError> {
    let memory = given(key, slot)?;
    let bytes = memory.value().0.map(|size| room.memory(&memory, size)).transpose()?;
    Ok(memory.resolved(bytes))
}

fn timeout(
    layer: &Layer,
    key: &'static str,
    slot: &One<OrNone<Duration>>,
) -> Result<Setting<Option<Duration>>, ConfigError> {
    let span = given(key, slot)?;
    if let Some(duration) = span.value().0 {
        within(&given("timeout", &layer.timeout)?, &span, duration, "the run would end before")?;
    }
    Ok(span.resolved(span.value().0))
}

fn count(key: &'static str, slot: &One<Count>, range: &Range) -> Result<Setting<u32>, ConfigError> {
    let count = given(key, slot)?;
    Ok(count.resolved(range.check(&count, count.value().0)? as u32))
}
