//! Flags, environment, project files and policies into one [`RunPlan`](testbox_model::RunPlan). Reads files, starts and
//! changes nothing.
//!
//! A [`Layer`] is what was typed in one place. [`resolve`] lays them over each other (flags, then `TESTBOX_*`, then
//! `testbox.toml` or `[tool.testbox]`, then the policy) and turns the result, element by element, into the plan: each
//! value checked against the [`Machine`] and with its origin. Single values win; lists are added to, except that a
//! policy's list stands in place of the default policy's.
//!
//! Paths on flags and in variables are relative to the working directory; in a project file to that file, in a policy
//! to the project; in files a leading `~/` is the home directory.

mod anchor;
mod describe;
mod element;
mod environment;
mod error;
mod layer;
mod machine;
mod notes;
mod place;
mod policy;
mod project;
mod project_file;
mod quota_files;
mod quota_source;
mod resolve;
mod slot;
mod toml_source;
mod typed;

pub use describe::describe;
pub use element::{
    Cpus, Glob, HostPath, Isolation, JsonTarget, NameOrFile, QuotaEntry, SECCOMP_PROFILES, Verbosity, WallName,
};
pub use environment::INSIDE_VARIABLE;
pub use error::ConfigError;
pub use layer::{Key, Layer, Scope, flag, flags};
pub use machine::Machine;
pub use notes::{notes, unheeded};
pub use place::Place;
pub use policy::{defaults, policy_names, policy_text};
pub use quota_files::count as count_quota_files;
pub use resolve::{Request, resolve};
pub use slot::{Many, One};
pub use typed::{Auto, Count, OrNone, Switch, Typed};

#[cfg(test)]
mod tests;
