//! What testbox knows about pytest: recognising it in a command, its version in a venv, the plugin that tells what it is
//! doing, and the protocol that the plugin speaks. Reads hostile input and runs nothing.

mod installed;
mod invocation;
pub mod plugin;
mod session;
mod stack;
mod wire;

pub use installed::installed_version;
pub use invocation::{Recognised, is_python, recognise};
pub use session::Session;
pub use stack::calls;
pub use wire::{Decoder, Frame, MAX_FRAME, WireError};
