//! The policies are what they claim: complete, without dead rules, the same in every form, and obeyed by the kernel.

mod bpf;
mod calls;
mod forms;
mod kernel;
mod libseccomp;
mod policies;
mod python;
mod user;

use std::path::Path;

use testbox_model::SeccompChoice;

use super::builtin::Builtin;
use super::policy::Filter;

fn builtin(name: &str) -> SeccompChoice {
    SeccompChoice::Builtin(name.to_owned())
}

fn filters(name: &str) -> Vec<Filter> {
    Builtin::find(name).unwrap().filters().unwrap()
}

fn programs(name: &str) -> Vec<Vec<u8>> {
    super::load(&builtin(name)).unwrap()
}

fn policy_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/seccomp"))
}
