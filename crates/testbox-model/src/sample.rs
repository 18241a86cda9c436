//! An ordinary plan, for the tests of every crate to vary. Only with the feature `sample`.

use std::collections::BTreeSet;

use crate::{
    Bytes, Duration, Isolate, Limits, Net, Origin, Reports, RunPlan, SeccompChoice, Setting, Terminal, Testing, Times,
    View,
};

/// A value of the default policy.
pub fn set<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::Policy("default".to_owned()))
}

/// `pytest -x` in `/home/ada/project`, with 2 GiB and 512 processes.
pub fn plan() -> RunPlan {
    RunPlan {
        command: vec!["pytest".into(), "-x".into()],
        project: "/home/ada/project".into(),
        cwd: "/home/ada/project".into(),
        policy: set("default".to_owned()),
        limits: limits(),
        times: Times {
            timeout: set(Duration::from_secs(1800)),
            idle_timeout: set(None),
            grace: set(Duration::from_secs(2)),
        },
        view: View {
            write: set(false),
            ro: set(vec![]),
            rw: set(vec![]),
            hide: set(vec![]),
            hide_named: vec![],
            outputs: set(vec![]),
        },
        no_plugin: set(false),
        testing: testing(),
        env: set(vec![]),
        net: set(Net::None),
        seccomp: set(SeccompChoice::Builtin("default".to_owned())),
        allow_degraded: set(BTreeSet::new()),
        reports: Reports { dir: set("/home/ada/project/.testbox/last".into()), json_to_stdout: set(false) },
        terminal: Terminal { verbosity: set(0), color: set(false), tty: set(false), raw_output: set(false) },
    }
}

fn limits() -> Limits {
    Limits {
        memory_bytes: set(Bytes(2 << 30)),
        swap_bytes: set(Bytes(0)),
        pids: set(512),
        cpus: set(None),
        nofile: set(4096),
        io_read: set(None),
        io_write: set(None),
        tmp_bytes: set(Bytes(512 << 20)),
        tmp_inodes: set(65_536),
        output_bytes: set(Bytes(64 << 20)),
        fsize_bytes: set(None),
    }
}

fn testing() -> Testing {
    Testing {
        isolate: set(Isolate::Session),
        jobs: set(1),
        test_memory: set(None),
        file_memory: set(None),
        collect_timeout: set(Some(Duration::from_secs(300))),
        test_timeout: set(None),
        teardown_timeout: set(None),
        max_kills: set(10),
        retry_killed: set(0),
        memories: set(0),
        quotas: set(vec![]),
    }
}
