//! What can go wrong between a plan and a bundle; each message names operation, object and value.

use std::io;
use std::path::PathBuf;

use crate::python::PythonError;
use crate::seccomp::SeccompError;
use crate::walk::WalkError;

/// A bundle that cannot be built, converted or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The compiled-in image is wrong: a fault of testbox.
    #[error("the compiled-in image `images/base.toml` is not valid")]
    Image(#[from] serde_json::Error),
    /// The project is far more than a project.
    #[error("cannot show `{}` as the project: {why}", .project.display())]
    ProjectTooBroad {
        /// The project's root.
        project: PathBuf,
        /// Why not.
        why: String,
    },
    /// The project cannot be listed.
    #[error("cannot read the project `{}`", .project.display())]
    ProjectUnreadable {
        /// The project's root.
        project: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The working directory is not below the project.
    #[error("the working directory `{}` is not in the project `{}`", .cwd.display(), .project.display())]
    OutsideProject {
        /// The working directory.
        cwd: PathBuf,
        /// The project's root.
        project: PathBuf,
    },
    /// A path cannot be written into a config.json.
    #[error("{what} is not UTF-8: `{}`", .path.display())]
    NotUtf8 {
        /// What it is.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A path leads nowhere.
    #[error("cannot find `{}`", .path.display())]
    Unresolvable {
        /// The path.
        path: PathBuf,
        /// Where it ends.
        source: WalkError,
    },
    /// A path of `--ro` or `--rw` leads nowhere.
    #[error("`{flag} {}` names nothing on this machine", .path.display())]
    ShownMissing {
        /// The flag.
        flag: &'static str,
        /// Its value.
        path: PathBuf,
        /// Where it ends.
        source: WalkError,
    },
    /// A path of `--ro` or `--rw` cannot be shown.
    #[error("`{flag} {}` cannot be shown in the box: {why}", .path.display())]
    CannotShow {
        /// The flag.
        flag: &'static str,
        /// Its value.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A path of `--hide` holds the working directory.
    #[error("`--hide {}` would hide the working directory `{}`", .path.display(), .cwd.display())]
    HidesProject {
        /// The flag's value.
        path: PathBuf,
        /// The working directory.
        cwd: PathBuf,
    },
    /// A folder of `--hide` below a shown one, where there are no namespaces.
    #[error("cannot hide the folder `{}` in a box without namespaces", .path.display())]
    CannotHide {
        /// The folder.
        path: PathBuf,
    },
    /// No free path for HOME.
    #[error("no path is free for the box's HOME; tried {}", .tried.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    NoHome {
        /// The candidates.
        tried: Vec<PathBuf>,
    },
    /// A file that the box needs a copy of cannot be read.
    #[error("cannot read `{}` for a copy in the box", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The project's Python.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// The seccomp profile.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// oci-spec refused a value: a fault of testbox.
    #[error("cannot write {what} as OCI configuration")]
    Spec {
        /// Which part.
        what: &'static str,
        /// Why.
        source: oci_spec::OciSpecError,
    },
    /// The runtime would have to mount a view without a place for its written layer: a fault of testbox.
    #[error("the view of `{}` has no place for its written layer", .destination.display())]
    NoLayers {
        /// The view.
        destination: PathBuf,
    },
    /// An argument or variable cannot be written into a config.json.
    #[error("cannot export {what} `{value}`: it is not UTF-8, as config.json must be")]
    ExportNotUtf8 {
        /// `the argument`, `the variable`.
        what: &'static str,
        /// The value or name, shown with replacements.
        value: String,
    },
    /// The folder of an export is in use.
    #[error("cannot export to `{}`: it exists and is not an empty folder", .dir.display())]
    ExportNotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder of an export lies in the project, whose view would hold itself.
    #[error("cannot export to `{}`: it lies in the project `{}`", .dir.display(), .project.display())]
    ExportInside {
        /// The folder.
        dir: PathBuf,
        /// The project.
        project: PathBuf,
    },
    /// The folder's path cannot be used in mount options.
    #[error("cannot export to `{}`: its path is not UTF-8 or holds one of `,`, `:`, `\\`", .dir.display())]
    ExportPath {
        /// The folder.
        dir: PathBuf,
    },
    /// A step of an export failed.
    #[error("cannot {step} `{}`", .path.display())]
    Export {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BundleError {
    /// The exact fix, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Python(error) => error.hint(),
            Self::Seccomp(error) => error.hint(),
            Self::ProjectTooBroad { .. } => {
                Some("run testbox in the project's own folder, or mark its root with a `testbox.toml`".to_owned())
            }
            Self::ProjectUnreadable { project, .. } => {
                Some(format!("make it readable: `chmod u+rx {}`", project.display()))
            }
            Self::OutsideProject { project, .. } => {
                Some(format!("choose a folder in it: `--cwd {}`", project.display()))
            }
            Self::NotUtf8 { .. } => Some("rename it: OCI's config.json is JSON, which holds UTF-8 only".to_owned()),
            Self::Unresolvable { source: WalkError::Missing { missing, .. }, .. } => {
                Some(format!("`{}` must exist", missing.display()))
            }
            Self::ShownMissing { flag, path, .. } => {
                Some(format!("create `{}`, or leave `{flag}` out", path.display()))
            }
            Self::HidesProject { .. } => Some("hide single files or folders in it".to_owned()),
            Self::ExportNotUtf8 { what: "the variable", value } => {
                Some(format!("give it another value: `--env {value}=...`"))
            }
            Self::ExportNotEmpty { dir } => {
                Some(format!("choose another folder, or remove it: `rm -r {}`", dir.display()))
            }
            Self::ExportInside { .. } => Some("choose a folder outside of it, like `-o /tmp/bundle`".to_owned()),
            Self::ExportPath { .. } => Some("choose a folder with a plain path, like `/tmp/bundle`".to_owned()),
            _ => None,
        }
    }
}
