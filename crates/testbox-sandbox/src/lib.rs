//! Bundle to running box: the only crate that sees libcontainer, and the only one with unsafe code (`sys.rs`).
//!
//! # Theory of operation
//!
//! Processes, from outside to inside; each is forked by the one before it, none has a second thread:
//!
//! 1. *main* is testbox itself. Its first act is [`seal::ensure`]: unless its binary belongs to root and only root can
//!    write it, it executes itself from a sealed memfd, so that no process of the box can ever get a writable handle on
//!    the real binary (CVE-2019-5736).
//! 2. The *reaper* ([`Reaper`]) is a copy of main in a session of its own, forked before anything of the box exists. It
//!    removes what dead runs left, then waits on a pipe. When main dies, or the box is dead and main goes on to its
//!    reports, it kills what is left of the box and removes its cgroups.
//! 3. The *launcher* (`launcher.rs`) makes the bundle while main makes the cgroups, tells main its outline, and builds
//!    the box on main's word, which came meanwhile: it joins the cgroups through descriptors that main opened (on cgroup
//!    v2 it goes on as a process that is born there), clones every bind (as true root where testbox was started so),
//!    enters the namespaces that were made meanwhile (`namespaces.rs`) and becomes the unprivileged host user, lays out
//!    the root file system on a tmpfs, mounts the overlay view of the project (where the kernel refuses it, a copy), and
//!    drives libcontainer. Nothing of it is on disk: when the namespace dies, all is gone. Its end, which takes the
//!    kernel a while, is waited for after the box's.
//! 4. The *init* (`init.rs`) is PID 1 of the box: libcontainer's Executor, a child of main. It is not dumpable, so the
//!    box cannot look into it; it dies with main (PDEATHSIG). It forks the payload, starts it on main's second word,
//!    forwards signals, reaps, and tells main the raw wait status. It never executes anything.
//! 5. The *payload* (`payload.rs`) is the command: in a user namespace of its own (so that it sees its own uid, not 0),
//!    without capabilities, under seccomp; it reads its set-up back and compares it before it executes.
//!
//! Pipes: launcher, init and payload hold one end of a SOCK_SEQPACKET socket (`channel.rs`) until exec; the launcher
//! reads main's first word from it, the init all others. Messages are [`testbox_model::InitMessage`]; descriptors of the scratch space and of a pty travel with them. The payload keeps
//! descriptors 0, 1 and 2, for pytest the plugin's socket, and nothing else.
//!
//! Privileges: true root exists only in main, in the reaper and in the launcher before it becomes the host user. The
//! init has capabilities only in the launcher's user namespace and drops them once the payload is forked.
//!
//! The end: SIGKILL to the init ends every process of its pid namespace (pid_namespaces(7)). This crate never signals
//! by pid number outside the box.
//!
//! Where the kernel refuses namespaces and the user allows it (`fence.rs`), 3 and 4 are one process (`fenced.rs`): the
//! launcher becomes the host user, makes a scratch folder (`scratch.rs`), and becomes the init; the payload closes the
//! host's files to itself (`landlock.rs`) and what Landlock cannot close (`call_filter.rs`); at the end the init ends
//! everything below it (`sweep.rs`).

#![deny(unsafe_code)]

mod call_filter;
mod channel;
mod container;
mod copy;
mod daemon;
mod error;
mod fence;
mod fenced;
mod fuse;
mod identity;
mod init;
mod landlock;
mod launch;
mod launcher;
mod namespaces;
mod payload;
mod readback;
mod reaper;
mod scratch;
pub mod seal;
mod staging;
mod sweep;
#[expect(unsafe_code, reason = "the one file with system calls that no library wraps safely")]
mod sys;
mod trail;
mod view;

pub use channel::Channel;
pub use daemon::Daemon;
pub use error::{SandboxError, Told};
pub use fence::Fence;
pub use landlock::{landlock_version, scopes_abstract_sockets};
pub use launch::{CopyMade, FuseMade, Launch, Launcher, Leaving, Running, Streams, Wiring, reap_children};
pub use reaper::{CleaningUp, MainsEnd, Reaper};
pub use scratch::{collect_scratch, remove_scratch};
