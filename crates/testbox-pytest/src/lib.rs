//! What testbox knows about pytest: recognising it in a command, its version in a venv, the plugin that tells what it is
//! doing, and the protocol that the plugin speaks. Reads hostile input and runs nothing.

mod installed;
mod invocation;
mod order;
pub mod plugin;
mod rows;
mod session;
mod stack;
mod wire;

pub use installed::installed_version;
pub use invocation::{Recognised, is_python, recognise};
pub use order::{Order, QuotaSetting, Settings};
pub use session::Session;
pub use stack::calls;
pub use wire::{Decoder, DoneSaid, Frame, ImportSaid, MAX_FRAME, ReportSaid, UsageSaid, WireError};
