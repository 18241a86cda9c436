//! Every wall of a run, in the order of reports.

use testbox_bundle::Outline;
use testbox_model::{Net, RunPlan, SeccompChoice, Wall, WallReport};

/// What is enforced of each wall: the cgroups say theirs, the box is built of the others or not at all.
pub(super) fn all(plan: &RunPlan, outline: &Outline, groups: &[WallReport]) -> Vec<WallReport> {
    Wall::ALL
        .into_iter()
        .filter_map(|wall| match wall {
            Wall::Namespaces => Some(namespaces(plan.net.value)),
            Wall::Capabilities => Some(WallReport::enforced(wall, "all five sets empty, no_new_privs")),
            Wall::Seccomp => Some(seccomp(&plan.seccomp.value, outline.filters)),
            Wall::Disk => Some(disk(plan)),
            Wall::Network => Some(network(plan.net.value)),
            Wall::Memory | Wall::Pids | Wall::Cpu | Wall::Io => groups.iter().find(|group| group.wall == wall).cloned(),
        })
        .collect()
}

fn namespaces(net: Net) -> WallReport {
    let list = match net {
        Net::None => "user, pid, mount, net, ipc, uts, cgroup",
        Net::Host => "user, pid, mount, ipc, uts, cgroup",
    };
    WallReport::enforced(Wall::Namespaces, list)
}

fn seccomp(choice: &SeccompChoice, filters: usize) -> WallReport {
    let name = match choice {
        SeccompChoice::Builtin(name) => name.clone(),
        SeccompChoice::File(path) => path.display().to_string(),
    };
    let plural = if filters == 1 { "" } else { "s" };
    WallReport::enforced(Wall::Seccomp, format!("profile {name}, {filters} filter{plural}"))
}

fn disk(plan: &RunPlan) -> WallReport {
    let limits = &plan.limits;
    let by = format!("tmpfs of {} and {} inodes", limits.tmp_bytes.value, limits.tmp_inodes.value);
    let report = WallReport::enforced(Wall::Disk, by);
    if plan.view.write.value {
        return report.with_note("the project itself is writable (`--write`): what is written there is not bounded");
    }
    report
}

fn network(net: Net) -> WallReport {
    match net {
        Net::None => WallReport::enforced(Wall::Network, "own namespace, loopback only"),
        Net::Host => WallReport::off(Wall::Network, "`--net host`").with_note(host_services()),
    }
}

/// What a box with the host's network can reach.
fn host_services() -> String {
    let services = "the box can reach every service of this host and its network, loopback services included";
    if testbox_sandbox::scopes_abstract_sockets() {
        return format!("{services}; abstract unix sockets of others are out of reach (Landlock)");
    }
    format!(
        "{services}; also abstract unix sockets, which can give control over this host's services: this kernel cannot \
         scope them (Landlock of Linux 6.12)"
    )
}
