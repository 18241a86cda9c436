//! The in-box init, PID 1: forks the payload, reaps, forwards signals, and tells main how the payload ended.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::WaitOptions;
use testbox_bundle::Bundle;
use testbox_model::{InitMessage, Net, SetupStep, SupervisorMessage};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::payload::Payload;
use crate::sys::{self, Fork};
use crate::{loopback, payload};

/// Everything that the init needs; it travels from the launcher by fork.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    payload: Payload,
    net: Net,
    shared_memory: bool,
    channel: i32,
}

impl Init {
    /// The init of this bundle, which speaks over descriptor `channel`.
    pub(crate) fn new(bundle: &Bundle, nproc_limit: Option<u64>, channel: i32) -> Self {
        let shared_memory = bundle.mounts.iter().any(|mount| mount.destination.as_os_str() == "/dev/shm");
        Self { payload: Payload::new(bundle, nproc_limit, channel), net: bundle.net, shared_memory, channel }
    }

    fn live(&self, channel: &Channel) -> Result<(), StepFailure> {
        let fork = || "prepare the init".to_owned();
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).at(SetupStep::Fork, fork)?;
        nix::sys::prctl::set_dumpable(false).at(SetupStep::Fork, fork)?;
        let _ = nix::sys::prctl::set_name(c"testbox-init");
        sys::close_from(self.payload.first_free()).at(SetupStep::Fork, fork)?;
        if self.net == Net::None {
            loopback::bring_up()?;
        }
        let terminal = self.payload.terminal()?;
        self.pass_descriptors(channel, terminal.as_ref().map(|(master, _)| master))?;
        let signals = child_signals().at(SetupStep::Fork, fork)?;
        let slave = terminal.map(|(master, slave)| {
            drop(master);
            slave
        });
        match sys::fork().at(SetupStep::Fork, || "fork the command".to_owned())? {
            Fork::Child => payload::run(&self.payload, channel, slave),
            Fork::Parent(payload) => {
                drop(slave);
                // The plugin's socket ends with the command, not with the init.
                drop(self.payload.plugin_socket().at(SetupStep::Fork, fork)?);
                payload::drop_capabilities().at(SetupStep::Privileges, || "drop the init's capabilities".to_owned())?;
                watch(payload, channel, &signals).at(SetupStep::Fork, || "watch the command".to_owned())
            }
        }
    }

    /// Dies with main; an error if main is dead already.
    fn tie_to_main(&self) -> io::Result<()> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // Borrowed: the channel is adopted for good in `exec`.
        let channel = std::mem::ManuallyDrop::new(sys::adopt(self.channel)?);
        let mut fds = [PollFd::new(&*channel, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        match fds[0].revents().contains(PollFlags::HUP) {
            true => Err(io::Error::other("testbox is gone")),
            false => Ok(()),
        }
    }

    fn pass_descriptors(&self, channel: &Channel, master: Option<&OwnedFd>) -> Result<(), StepFailure> {
        let describe = || "pass descriptors to testbox".to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let shm = self.shared_memory.then(|| rustix::fs::open("/dev/shm", flags, Mode::empty()));
        let shm = shm.transpose().at(SetupStep::Mounts, || "open /dev/shm".to_owned())?;
        let (mut names, mut fds) = (Vec::new(), Vec::new());
        if let Some(fd) = &shm {
            names.push("/dev/shm".to_owned());
            fds.push(fd.as_fd());
        }
        if let Some(fd) = master {
            names.push("pty".to_owned());
            fds.push(fd.as_fd());
        }
        channel.send(&InitMessage::Descriptors { names }, &fds).at(SetupStep::Fork, describe)
    }
}

impl Executor for Init {
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let channel = sys::adopt(self.channel).map_err(|error| ExecutorError::Other(error.to_string()))?;
        let channel = Channel::from_fd(channel);
        let code = match self.live(&channel) {
            Ok(()) => 0,
            Err(failure) => {
                channel.report(failure);
                1
            }
        };
        sys::exit_now(code)
    }

    /// The last moment before libcontainer waits for its start: from here on the init must not outlive main, also where
    /// no cgroup would end it.
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        self.tie_to_main().map_err(|error| ExecutorValidationError::ArgValidationError(error.to_string()))
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The init executes nothing; the payload gets its environment with exec.
        Ok(())
    }
}

fn child_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::all();
    set.thread_set_mask()?;
    set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Until main kills the box: reaps everything, reports the payload's end, forwards signals.
fn watch(payload: Pid, channel: &Channel, signals: &SignalFd) -> io::Result<()> {
    let mut alive = true;
    loop {
        alive = reap(payload, channel, alive)?;
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].revents().intersects(PollFlags::NVAL | PollFlags::ERR) {
            return Err(io::Error::other("the descriptor of signals is gone"));
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        if fds[1].revents().is_empty() {
            continue;
        }
        match channel.receive()? {
            // main is gone: the box ends with its init.
            None => return Ok(()),
            Some((SupervisorMessage::Signal { signal }, _)) if alive => signal_payload(payload, signal),
            Some((SupervisorMessage::SignalLeader { signal }, _)) if alive => {
                let _gone_already = sys::signal_child(payload, signal);
            }
            Some(_) => {}
        }
    }
}

/// Signals the payload's process group and, should it be stopped, wakes it to see the signal.
fn signal_payload(payload: Pid, signal: i32) {
    // ESRCH: the group is gone already, which SIGCHLD tells as well.
    drop(sys::signal_child_group(payload, signal));
    if signal == libc::SIGTERM || signal == libc::SIGINT {
        drop(sys::signal_child_group(payload, libc::SIGCONT));
    }
}

/// Reaps whoever ended. Wait statuses stay raw: a death by a real-time signal has no name in most libraries.
fn reap(payload: Pid, channel: &Channel, mut alive: bool) -> io::Result<bool> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(alive),
            Ok(Some((pid, status))) if pid.as_raw_pid() == payload.as_raw() => {
                alive = false;
                channel.send(&InitMessage::Exited { status: status.as_raw() }, &[])?;
            }
            Ok(Some(_)) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
