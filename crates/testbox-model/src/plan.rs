//! The plan: everything resolved before anything is started, each value with its origin.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::{Bytes, Duration, Rate, Testing, Wall};

/// Where a value of the plan comes from; the first of these that names it wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A command line flag: `--memory`.
    Flag(String),
    /// An environment variable: `TESTBOX_MEMORY`.
    Environment(String),
    /// A line of `testbox.toml` or `pyproject.toml`.
    ProjectFile {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
    },
    /// A policy, by name or file.
    Policy(String),
    /// Derived from this machine, and how: `3/4 of 22.1 GiB available`.
    Machine(String),
    /// An option of the command itself, which testbox understands: `--junitxml`.
    Command(String),
    /// Another value asks for it, and which: `flag --test-memory`.
    Implied(String),
    /// A list that several sources added to, strongest first.
    Joined(Vec<Origin>),
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// Everything that decides a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunPlan {
    /// The command and its arguments, as typed after `--`; never empty.
    #[serde(serialize_with = "lossy_list")]
    pub command: Vec<OsString>,
    /// The project's root: the folder that the box gets a view of.
    #[serde(serialize_with = "lossy_path")]
    pub project: PathBuf,
    /// The working directory of the command; inside the project.
    #[serde(serialize_with = "lossy_path")]
    pub cwd: PathBuf,
    /// The policy's name or file.
    pub policy: Setting<String>,
    /// The limits.
    pub limits: Limits,
    /// The timeouts.
    pub times: Times,
    /// What the box sees of the host's files.
    pub view: View,
    /// A pytest command runs without testbox's plugin.
    pub no_plugin: Setting<bool>,
    /// How the tests of a pytest command are divided and limited.
    pub testing: Testing,
    /// What passes into the command's environment.
    pub env: Setting<Vec<EnvRule>>,
    /// The network.
    pub net: Setting<Net>,
    /// The seccomp profile.
    pub seccomp: Setting<SeccompChoice>,
    /// The walls that may be weaker than promised.
    pub allow_degraded: Setting<BTreeSet<Wall>>,
    /// Where reports go.
    pub reports: Reports,
    /// How the run appears on the terminal.
    pub terminal: Terminal,
}

/// The resource limits. `None` means: no limit asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    /// Memory of the whole box, in bytes: processes, tmpfs and page cache.
    pub memory_bytes: Setting<Bytes>,
    /// Swap on top of the memory, in bytes.
    pub swap_bytes: Setting<Bytes>,
    /// Processes and threads of the whole box.
    pub pids: Setting<u64>,
    /// CPUs' worth of time (1.5 = one and a half).
    pub cpus: Setting<Option<f64>>,
    /// Open files of each process (`RLIMIT_NOFILE`, soft and hard).
    pub nofile: Setting<u64>,
    /// Reads from the device of the project, bytes per second.
    pub io_read: Setting<Option<Rate>>,
    /// Writes to the device of the project, bytes per second.
    pub io_write: Setting<Option<Rate>>,
    /// Scratch space in bytes: /tmp, HOME, /dev/shm and the written layer of the project together.
    pub tmp_bytes: Setting<Bytes>,
    /// Inodes of the scratch space.
    pub tmp_inodes: Setting<u64>,
    /// Output of the command, stdout and stderr together, in bytes.
    pub output_bytes: Setting<Bytes>,
    /// Size of one file (`RLIMIT_FSIZE`), in bytes.
    pub fsize_bytes: Setting<Option<Bytes>>,
}

/// The timeouts.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// Wall time of the whole run.
    pub timeout: Setting<Duration>,
    /// Time without output and without CPU use.
    pub idle_timeout: Setting<Option<Duration>>,
    /// From SIGTERM to SIGKILL.
    pub grace: Setting<Duration>,
}

/// What the box sees of the host's files.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// The project is mounted read-write instead of as an overlay view.
    pub write: Setting<bool>,
    /// More paths to show read-only, at their own place.
    #[serde(serialize_with = "lossy_paths")]
    pub ro: Setting<Vec<PathBuf>>,
    /// More paths to show read-write, at their own place.
    #[serde(serialize_with = "lossy_paths")]
    pub rw: Setting<Vec<PathBuf>>,
    /// Paths (absolute or relative to the project) that the box must not see.
    #[serde(serialize_with = "lossy_paths")]
    pub hide: Setting<Vec<PathBuf>>,
    /// Those of `hide` that the user named; a policy also names what may be there.
    #[serde(skip)]
    pub hide_named: Vec<PathBuf>,
    /// Globs, relative to the project, of files carried out of the view of the project after the run.
    pub outputs: Setting<Vec<String>>,
}

/// One rule of what passes into the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EnvRule {
    /// The host's value of this name, if it has one; a trailing `*` matches any rest.
    Pass(String),
    /// This value.
    Set {
        /// The variable's name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// The network of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// An own network namespace with loopback up and nothing else.
    None,
    /// The host's network.
    Host,
}

/// Which seccomp profile is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompChoice {
    /// A profile of `policies/seccomp/`, compiled in.
    Builtin(String),
    /// A profile of the user, in the same format.
    File(#[serde(serialize_with = "lossy_path")] PathBuf),
}

/// Where reports go.
#[derive(Debug, Clone, Serialize)]
pub struct Reports {
    /// The folder of `testbox.json` and the journal.
    #[serde(serialize_with = "lossy_setting")]
    pub dir: Setting<PathBuf>,
    /// `--json -`: the JSON report goes to stdout as well, and the command's output to stderr.
    pub json_to_stdout: Setting<bool>,
}

/// How the run appears on the terminal.
#[derive(Debug, Clone, Serialize)]
pub struct Terminal {
    /// -1 quiet (no header; a verdict only if not passed), 0 normal, 1 and more: more detail.
    pub verbosity: Setting<i8>,
    /// Colours may be used if the stream is a terminal.
    pub color: Setting<bool>,
    /// The command gets a terminal of its own.
    pub tty: Setting<bool>,
    /// The command's output is passed on byte by byte, without the filter of control sequences.
    pub raw_output: Setting<bool>,
}

impl<T> Setting<T> {
    /// A value with its origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::ProjectFile { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Machine(how) => write!(f, "machine: {how}"),
            Self::Command(option) => write!(f, "command {option}"),
            Self::Implied(by) => write!(f, "implied by {by}"),
            Self::Joined(origins) => {
                let names: Vec<String> = origins.iter().map(ToString::to_string).collect();
                f.write_str(&names.join(" + "))
            }
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn lossy_list<S: Serializer>(list: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|item| item.to_string_lossy()))
}

fn lossy_path<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_setting<S: Serializer>(setting: &Setting<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    Setting { value: setting.value.to_string_lossy(), origin: setting.origin.clone() }.serialize(serializer)
}

fn lossy_paths<S: Serializer>(setting: &Setting<Vec<PathBuf>>, serializer: S) -> Result<S::Ok, S::Error> {
    let paths: Vec<_> = setting.value.iter().map(|path| path.to_string_lossy()).collect();
    Setting { value: paths, origin: setting.origin.clone() }.serialize(serializer)
}
