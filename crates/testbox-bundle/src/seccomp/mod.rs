//! Seccomp policies: what the kernel answers to each system call of the box.
//!
//! A policy (`policies/seccomp/*.json`) is a stack of filters. It exists in two forms that mean the same: as programs
//! for the kernel ([`load`], compiled once at build time for the built-in policies) and as one list of rules for OCI
//! runtimes ([`oci`]). Nothing here installs a filter.

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the seccomp policies are written for x86_64: another architecture needs its own table and review");

mod builtin;
mod error;
mod policy;
mod program;
mod table;

mod decision;
mod oci;
mod region;

#[cfg(test)]
mod tests;

use std::path::Path;

use oci_spec::runtime::LinuxSeccomp;
use testbox_model::SeccompChoice;

pub use error::SeccompError;

use builtin::Builtin;
use decision::Decisions;
use policy::{Filter, Policy};

/// The first executes the command; the second loads every program after the first.
const NEEDED: [&str; 2] = ["execve", "seccomp"];

/// The names of the built-in policies, from the widest to the narrowest.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    Builtin::ALL.iter().map(|builtin| builtin.name)
}

/// The filters of a policy, in the order of loading; each is a program in the kernel's `struct sock_filter` layout.
///
/// # Errors
/// The name is unknown; the file cannot be read, is no policy (with line and column), is too large for the kernel, or
/// refuses what the start of every command needs.
pub fn load(choice: &SeccompChoice) -> Result<Vec<Vec<u8>>, SeccompError> {
    match choice {
        SeccompChoice::Builtin(name) => {
            Ok(Builtin::find(name)?.programs.iter().map(|program| program.to_vec()).collect())
        }
        SeccompChoice::File(path) => load_file(path),
    }
}

/// The same policy as one list of rules for OCI runtimes.
///
/// Every rule has at most one condition for each argument and no call matches two rules: runc reads several
/// conditions of one argument as alternatives, and libseccomp leaves the order of overlapping rules open.
///
/// # Errors
/// As [`load`].
pub fn oci(choice: &SeccompChoice) -> Result<LinuxSeccomp, SeccompError> {
    let filters = match choice {
        SeccompChoice::Builtin(name) => Builtin::find(name)?.filters()?,
        SeccompChoice::File(path) => read(path)?,
    };
    oci::profile(&Decisions::of(&filters)).map_err(SeccompError::Oci)
}

fn load_file(path: &Path) -> Result<Vec<Vec<u8>>, SeccompError> {
    let filters = read(path)?;
    let programs =
        program::compile(&filters).map_err(|source| SeccompError::Compile { path: path.to_owned(), source })?;
    let decisions = Decisions::of(&filters);
    let mut needed = NEEDED.into_iter().take(programs.len());
    match needed.find(|name| decisions.always_refuse(name)) {
        Some(syscall) => Err(SeccompError::Unusable { path: path.to_owned(), syscall }),
        None => Ok(programs),
    }
}

/// The filters of a user's policy, after those of the built-in one that it extends.
fn read(path: &Path) -> Result<Vec<Filter>, SeccompError> {
    let json = fs_err::read_to_string(path).map_err(SeccompError::Read)?;
    let parse = |source| SeccompError::Parse { origin: path.display().to_string(), source };
    let policy = Policy::parse(&json).map_err(parse)?;
    let mut filters = match policy.extends {
        None => Vec::new(),
        Some(name) => match Builtin::find(&name) {
            Ok(builtin) => builtin.filters()?,
            Err(_) => return Err(SeccompError::Extends { path: path.to_owned(), name }),
        },
    };
    filters.extend(policy.filters.into_iter().map(|(_, filter)| filter));
    Ok(filters)
}
