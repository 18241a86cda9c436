//! A run where the kernel refuses namespaces: what is weaker, told as it is.

use testbox_model::{Net, Origin, RunEvent, RunPlan, Setting, Wall, WallReport, WallState};
use testbox_report::{ReportDir, ReportError};
use testbox_sandbox::Fence;

/// The scratch space is on disk and only its files are bounded, each for itself: the plan says so as well.
pub(super) fn bound_files(plan: &mut RunPlan) {
    let scratch = plan.limits.tmp_bytes.value;
    if plan.limits.fsize_bytes.value.is_none_or(|bytes| bytes > scratch) {
        let origin = Origin::Implied("--allow-degraded namespaces".to_owned());
        plan.limits.fsize_bytes = Setting::new(Some(scratch), origin);
    }
}

/// The walls that are made of namespaces have what replaces them.
pub(super) fn weaken(walls: &mut [WallReport], plan: &RunPlan, fence: &Fence) {
    for report in walls {
        match report.wall {
            Wall::Namespaces => *report = namespaces(fence),
            Wall::Disk => *report = disk(plan),
            Wall::Network => *report = network(plan.net.value),
            Wall::Capabilities if !rustix::process::geteuid().is_root() => {
                "four sets empty, no_new_privs, which makes the bounding set void".clone_into(&mut report.by);
            }
            Wall::Seccomp => report.by.push_str(", and one in place of namespaces"),
            Wall::Pids if report.state == WallState::Degraded => {
                "RLIMIT_NPROC, which counts the user's other processes as well".clone_into(&mut report.by);
            }
            _ => {}
        }
    }
}

/// Every degraded wall as a line of the journal: it is told there before anything runs.
pub(super) fn tell(walls: &[WallReport], reports: &mut ReportDir) -> Result<(), ReportError> {
    let degraded = walls.iter().filter(|report| report.state == WallState::Degraded);
    degraded
        .map(|report| format!("degraded {}: {}", report.wall, report.by))
        .try_for_each(|text| reports.journal(&RunEvent::Warning { text }))
}

fn namespaces(fence: &Fence) -> WallReport {
    let by = format!("Landlock (ABI {}) and seccomp: {}", fence.landlock, fence.because);
    let mut note = "the box sees the host's processes with their command lines, and of every file that its user could see \
                    name, size and times; it can change mode, times and attributes of files that are its user's; /dev/shm \
                    is the host's; new pseudo terminals, unix sockets, System V IPC and message queues are refused"
        .to_owned();
    if !fence.scopes_signals() {
        note.push_str(
            "; THIS KERNEL'S LANDLOCK SCOPES NO SIGNALS (Linux 6.12 does): the box can end every process of its user, \
             testbox too, and what it started may then live on",
        );
    }
    WallReport::degraded(Wall::Namespaces, by).with_note(note)
}

fn disk(plan: &RunPlan) -> WallReport {
    let project = if plan.view.write.value { "writable (`--write`)" } else { "read-only" };
    let by = format!(
        "a folder on the host's disk, at most {} in each file; the project itself, {project}",
        plan.limits.fsize_bytes.value.unwrap_or(plan.limits.tmp_bytes.value)
    );
    let mut note =
        "the sum of the files and their number are not bounded; /tmp is closed (TMPDIR and HOME are in the folder)"
            .to_owned();
    if plan.view.write.value {
        note.push_str("; nothing new can be made directly in the project's folder, only below it");
    }
    WallReport::degraded(Wall::Disk, by).with_note(note)
}

fn network(net: Net) -> WallReport {
    match net {
        Net::None => WallReport::degraded(Wall::Network, "every new socket is refused (seccomp), on loopback as well")
            .with_note("tests that need loopback can pass only with `--net host`, which opens the host's network"),
        Net::Host => WallReport::off(Wall::Network, "`--net host`").with_note(
            "the box can reach every service of this host and its network, loopback services included; unix sockets are \
             refused",
        ),
    }
}
