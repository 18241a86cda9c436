//! What can be wrong with a seccomp policy.

use std::io;
use std::path::PathBuf;

use super::builtin::Builtin;

/// A seccomp policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// No built-in policy has this name.
    #[error("`{name}` is not a built-in seccomp policy")]
    Unknown {
        /// The name as typed.
        name: String,
    },
    /// The file cannot be read; the source names it.
    #[error("cannot read the seccomp policy")]
    Read(#[source] io::Error),
    /// It is not a policy.
    #[error("cannot use seccomp policy `{origin}`, line {}, column {}", source.line(), source.column())]
    Parse {
        /// The file.
        origin: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// It extends a policy that does not exist.
    #[error("seccomp policy `{}` extends `{name}`, which is not a built-in policy", path.display())]
    Extends {
        /// The file.
        path: PathBuf,
        /// The name as written.
        name: String,
    },
    /// A filter cannot be compiled, mostly because it is larger than the kernel takes (4,096 instructions).
    #[error("cannot compile seccomp policy `{}`", path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// What the compiler says.
        source: seccompiler::BackendError,
    },
    /// It refuses a system call that the start of every command needs.
    #[error("seccomp policy `{}` refuses every `{syscall}`, so no command could be started", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The system call.
        syscall: &'static str,
    },
    /// The OCI form cannot be built.
    #[error("cannot express the seccomp policy in the OCI format")]
    Oci(#[source] oci_spec::OciSpecError),
}

impl SeccompError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name } | Self::Extends { name, .. } => Some(names(name)),
            Self::Read(_) | Self::Oci(_) => None,
            Self::Parse { .. } => {
                Some("a policy looks like policies/seccomp/default.json: the JSON format of seccompiler".to_owned())
            }
            Self::Compile { .. } => Some("split the filter in two".to_owned()),
            Self::Unusable { syscall, .. } => {
                Some(format!("allow `{syscall}`, or start from `\"extends\": \"default\"` and only add refusals"))
            }
        }
    }
}

/// Which names there are, and the one that was meant; a path is told apart from a name by its slash.
fn names(typed: &str) -> String {
    let known = || Builtin::ALL.iter().map(|builtin| builtin.name);
    let list = known().collect::<Vec<_>>().join(", ");
    match testbox_model::nearest(typed, known()) {
        Some(nearest) => format!("did you mean `{nearest}`? Built in are {list}"),
        None => format!("built in are {list}"),
    }
}
