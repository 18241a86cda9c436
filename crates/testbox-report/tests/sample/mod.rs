//! A plan and a record of an ordinary run, for tests to vary.

use std::path::PathBuf;

use testbox_model::*;

use testbox_model::sample::set;

pub(crate) fn plan() -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    plan.limits.memory_bytes.origin = Origin::Flag("--memory".to_owned());
    plan.limits.tmp_bytes.origin = Origin::Machine("1/4 of the memory limit".to_owned());
    plan.times.timeout.origin = Origin::ProjectFile { path: PathBuf::from("testbox.toml"), line: 3 };
    plan.env = set(vec![EnvRule::Pass("LANG".to_owned())]);
    plan
}

pub(crate) fn walls() -> Vec<WallReport> {
    vec![
        WallReport::enforced(Wall::Namespaces, "user pid mount net ipc uts cgroup"),
        WallReport::enforced(Wall::Capabilities, "all dropped, no_new_privs"),
        WallReport::enforced(Wall::Seccomp, "profile default"),
        WallReport::enforced(Wall::Memory, "cgroup v1 memory.limit_in_bytes"),
        WallReport::enforced(Wall::Pids, "cgroup v1 pids.max"),
        WallReport::off(Wall::Cpu, "no limit asked for"),
        WallReport::off(Wall::Io, "no limit asked for"),
        WallReport::enforced(Wall::Disk, "tmpfs with size and nr_inodes"),
        WallReport::enforced(Wall::Network, "own namespace, loopback only"),
    ]
}

/// An ordinary run that passed.
pub(crate) fn record() -> RunRecord {
    let sample = |at_ms, mib: u64| Sample { at_ms, memory_bytes: mib << 20, pids: 5, cpu_ms: at_ms };
    RunRecord {
        box_id: "testbox-0a1b2c3d-4242-99".to_owned(),
        started_at: 1_750_000_000,
        duration_ms: 3_200,
        plan: plan(),
        walls: walls(),
        evidence: evidence(),
        timeline: Timeline { interval_ms: 100, samples: vec![sample(0, 20), sample(100, 210), sample(200, 180)] },
        carried_out: vec![],
        warnings: vec![],
    }
}

fn evidence() -> Evidence {
    Evidence {
        payload: PayloadEnd::Exited { code: 0 },
        readback: Some(Readback {
            uid: 1000,
            gid: 1000,
            capabilities: 0,
            no_new_privs: true,
            seccomp_mode: 2,
            seccomp_filters: 3,
        }),
        memory: MemoryEvidence {
            limit_bytes: Some(Bytes(2 << 30)),
            peak_bytes: Some(Bytes(210 << 20)),
            ..MemoryEvidence::default()
        },
        pids: PidsEvidence { limit: Some(512), peak: Some(5), refused_forks: 0 },
        cpu: CpuEvidence { used_ms: 3_100, throttled_ms: 0 },
        io: IoEvidence { read_bytes: Some(4096), written_bytes: Some(0) },
        output: OutputEvidence { bytes: 1234, limit_bytes: Some(Bytes(64 << 20)), truncated: false },
        disk: vec![DiskUse {
            name: "scratch".to_owned(),
            size_bytes: Bytes(512 << 20),
            peak_bytes: Bytes(3 << 20),
            inodes: 65_536,
            peak_inodes: 120,
            full: false,
        }],
        ..Evidence::default()
    }
}
