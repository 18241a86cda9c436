//! The bundle: everything that the sandbox needs to build a box, as plain data.
//!
//! The sandbox stages each [`BoxMount`] and asks [`crate::oci_spec`] for the config that libcontainer gets; the export
//! writes the same mounts with their host paths. So there is one source of what a box looks like.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use testbox_model::{Limits, Net, SeccompChoice};

/// Everything that the sandbox needs to build a box.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What runs in it.
    pub process: Process,
    /// As whom.
    pub identity: Identity,
    /// What is mounted, parents before children; each destination is absolute and normal.
    pub mounts: Vec<BoxMount>,
    /// What the root file system holds beside the mounts: folders, links and generated files, parents first.
    pub skeleton: Vec<Entry>,
    /// Paths in the box that are covered: files by /dev/null, folders by an empty read-only tmpfs.
    pub masked_paths: Vec<PathBuf>,
    /// Those of `masked_paths` that hold testbox's own reports.
    pub reports: Vec<PathBuf>,
    /// Paths in the box that are made read-only.
    pub readonly_paths: Vec<PathBuf>,
    /// The seccomp filters, in the order of loading; each is a BPF program in the kernel's `struct sock_filter` layout.
    pub filters: Vec<Vec<u8>>,
    /// The network.
    pub net: Net,
    /// Resource limits of each process, soft = hard.
    pub rlimits: Vec<Rlimit>,
    /// Host name in the box.
    pub hostname: String,
    /// The plan's limits: the size of the scratch space, and what the exported config carries.
    pub limits: Limits,
    /// The choice that `filters` were made of.
    pub seccomp: SeccompChoice,
    /// The Python that the box will use, if one was found.
    pub interpreter: Option<Interpreter>,
    /// Host paths in a read-write project that do not exist and that the host would obey next (`.git`,
    /// `testbox.toml`): whoever runs the box must report them if they exist afterwards.
    pub must_stay_absent: Vec<PathBuf>,
    /// What the user must know although it does not hinder the run, each a whole sentence.
    pub notes: Vec<String>,
}

/// The Python of a box, found without running anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The interpreter as the command will see it; it may be a symbolic link.
    pub path: PathBuf,
    /// The installation that brings the standard library, resolved.
    pub base_prefix: PathBuf,
    /// The virtual or conda environment.
    pub venv: Option<PathBuf>,
    /// `3.12.4` or `3.12`, as far as files tell.
    pub version: Option<String>,
    /// The version of pytest in it, if it has one.
    pub pytest: Option<String>,
    /// What led to it: `VIRTUAL_ENV`, `.venv in the project`, `pytest in PATH`.
    pub found_by: String,
}

/// What runs in the box.
#[derive(Debug, Clone)]
pub struct Process {
    /// Command and arguments; the command is searched in the PATH of `env` if it holds no slash.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory in the box.
    pub cwd: PathBuf,
    /// It gets a pseudo terminal.
    pub tty: bool,
    /// Rows and columns that this terminal starts with; its starter knows them.
    pub terminal_size: Option<(u16, u16)>,
    /// testbox's pytest plugin is part of it, and its socket has to be passed.
    pub plugin: bool,
}

/// Host user and the user that the box shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id on the host; never 0.
    pub host_uid: u32,
    /// Group id on the host; 0 only if an unprivileged caller has that group itself.
    pub host_gid: u32,
    /// User id in the box.
    pub box_uid: u32,
    /// Group id in the box.
    pub box_gid: u32,
}

/// One mount of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxMount {
    /// Where in the box.
    pub destination: PathBuf,
    /// What.
    pub source: Source,
    /// Writes are refused (recursively for binds).
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path of the host, with all that is mounted below it.
    Bind {
        /// The path, resolved (no symbolic links).
        path: PathBuf,
        /// It is a folder.
        is_dir: bool,
        /// Shift the owner: files of host user and group 0 appear as the box's user.
        shift_root: bool,
    },
    /// An overlay whose lower layer is this host folder (never changed) and whose upper layer is on the scratch.
    View {
        /// The lower folder, resolved.
        lower: PathBuf,
        /// As in `Bind`.
        shift_root: bool,
    },
    /// A folder of the scratch tmpfs, by its name there (`tmp`, `home`), owned by the box's user.
    Scratch {
        /// Folder name; one path component.
        name: &'static str,
        /// Permission bits, like 0o1777.
        mode: u32,
    },
    /// A tmpfs of its own.
    Tmpfs {
        /// Size in bytes.
        size_bytes: u64,
        /// Inodes.
        inodes: u64,
        /// Permission bits of its root.
        mode: u32,
    },
    /// A new proc.
    Proc,
    /// A new sysfs, read-only; needs an own network namespace.
    Sysfs,
    /// A new instance of devpts.
    Devpts,
    /// A new mqueue.
    Mqueue,
}

/// One entry of the root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Dir {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A generated file.
    File {
        /// Where.
        path: PathBuf,
        /// Its content.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
}

/// A resource limit; soft and hard are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// The value.
    pub value: u64,
}

/// The resources that testbox limits (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Open files.
    Nofile,
    /// Core files; always 0.
    Core,
    /// Size of one file, bytes.
    Fsize,
}
