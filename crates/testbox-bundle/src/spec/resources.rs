//! The plan's limits as OCI resources, for runtimes that do the cgroup work themselves.

use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder,
};
use testbox_model::Limits;

use super::faulty;
use crate::error::BundleError;

const CPU_PERIOD_US: u64 = 100_000;

/// Memory, swap, pids and CPU; no device but those that the runtime makes.
pub(crate) fn of_limits(limits: &Limits) -> Result<LinuxResources, BundleError> {
    let memory = limits.memory_bytes.value.0;
    let with_swap = memory.saturating_add(limits.swap_bytes.value.0);
    let memory = LinuxMemoryBuilder::default().limit(signed(memory)).swap(signed(with_swap)).build();
    let pids = LinuxPidsBuilder::default().limit(signed(limits.pids.value)).build();
    let devices = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm").build();
    let mut resources = LinuxResourcesBuilder::default()
        .memory(memory.map_err(faulty("the memory limit"))?)
        .pids(pids.map_err(faulty("the limit of processes"))?)
        .devices(vec![devices.map_err(faulty("the device rule"))?])
        .build()
        .map_err(faulty("the limits"))?;
    if let Some(cpus) = limits.cpus.value {
        let quota = (cpus * CPU_PERIOD_US as f64).round() as i64;
        let cpu = LinuxCpuBuilder::default().period(CPU_PERIOD_US).quota(quota).build();
        resources.set_cpu(Some(cpu.map_err(faulty("the CPU limit"))?));
    }
    Ok(resources)
}

/// OCI numbers are signed.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
