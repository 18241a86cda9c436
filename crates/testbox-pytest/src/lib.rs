//! What testbox knows about pytest: recognising it in a command, its version in a venv.

mod installed;
mod invocation;

pub use installed::installed_version;
pub use invocation::{Recognised, is_python, recognise};
