//! RunPlan to OCI bundle: venv discovery, mounts, generated files, seccomp filters. Runs nothing in the box.
//!
//! [`build`] makes a [`Bundle`] of a plan and a [`Host`]. The sandbox stages its mounts and asks [`oci_spec()`] for the
//! configuration that libcontainer gets; [`export`] writes the same bundle as a folder that any OCI runtime executes.

mod assemble;
mod bundle;
mod environment;
mod error;
mod etc;
mod export;
mod fence;
mod host;
mod identity;
mod image;
mod mounts;
mod outline;
mod plugin;
mod project;
mod python;
pub mod seccomp;
mod skeleton;
mod spec;
mod trust;
mod walk;

pub use assemble::build;
pub use bundle::{BoxMount, Bundle, Entry, Identity, Interpreter, Process, Resource, Rlimit, Source};
pub use error::BundleError;
pub use export::export;
pub use fence::{Access, Fence, Opening};
pub use host::Host;
pub use identity::identity;
pub use outline::Outline;
pub use python::PythonError;
pub use spec::{Layers, Namespaces, Placement, oci_spec};
pub use testbox_pytest::plugin::CHANNEL_VARIABLE;
pub use walk::WalkError;

#[cfg(test)]
mod tests;
