//! RunPlan to OCI bundle: venv discovery, mounts, generated files, seccomp filters. Runs nothing in the box.

mod bundle;

pub use bundle::{Bundle, BoxMount, Entry, Identity, Process, Resource, Rlimit, Source};
