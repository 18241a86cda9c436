//! The event loop: descriptors in, record out.
//!
//! [`supervise`] gets a running box as descriptors (the pidfd of its init, its status socket, the command's streams)
//! and a [`Meter`] that knows its numbers. It passes the output on, keeps the limits of time and output, samples, stops
//! and kills, and returns the evidence. It starts no process and asks nothing of namespaces or cgroups (only
//! [`GroupMeter`] does), so its tests supervise plain children. When it returns, every process of the box's pid namespace
//! is gone.
//!
//! Read in this order: `inputs` and `meter` are what goes in; `supervise` is the loop, its phases and its reactions;
//! `timers`, `stop` and `storm` are its pure decisions; `streams` moves the bytes; `sampler` looks at the box.
//!
//! [`carry_out`] then brings declared outputs out of the dead box's written layer into the project.
//!
//! Signals: [`Signals::install`] comes before the launch, and every child calls [`Signals::restore_mask`] before exec.
//! Terminal: [`SavedTerminal::of`] comes before the reaper is forked, so that it can restore the modes as well.

mod disks;
mod error;
mod events;
mod group_meter;
mod init;
mod inputs;
mod meter;
mod outputs;
mod process_stat;
mod pty;
mod sampler;
mod scan;
mod signals;
mod stall;
mod status;
mod stop;
mod storm;
mod streams;
mod supervise;
#[cfg(test)]
mod tests;
mod timers;
mod tree;
mod watchdog;
mod witness;

pub use error::SupervisorError;
pub use group_meter::GroupMeter;
pub use inputs::{HostStreams, Inputs, Notice, Outcome, OutputFilter, Stream, Streams, Unfiltered};
pub use meter::{Counters, Meter, MeterError, Usage};
pub use outputs::{Caps, CarryOut, Written, carry_out};
pub use pty::{RawTerminal, SavedTerminal};
pub use signals::Signals;
pub use supervise::supervise;
pub use watchdog::{Watchdog, WatchdogLimits};
