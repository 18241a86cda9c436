//! The in-box init: forks the payload, reaps, forwards signals, and tells main how the payload ended. With namespaces it is
//! PID 1, and libcontainer starts it; without, it is what becomes of the launcher (`fenced.rs`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::WaitOptions;
use testbox_model::{InitMessage, SetupStep, SupervisorMessage};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::launcher::{MAIN_FD, die_with};
use crate::payload;
use crate::payload::Payload;
use crate::sys::{self, Fork};

/// Everything that the init needs; it travels from the launcher by fork.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    payload: Payload,
    channel: i32,
    /// Between `validate` and `exec`.
    prepared: Rc<RefCell<Option<Prepared>>>,
}

/// A payload that waits for its start.
#[derive(Debug)]
pub(crate) struct Prepared {
    payload: Pid,
    /// The master of its terminal.
    master: Option<OwnedFd>,
    /// A byte in it is the start.
    start: OwnedFd,
}

impl Init {
    /// The init of this payload, which speaks over descriptor `channel`.
    pub(crate) fn new(payload: Payload, channel: i32) -> Self {
        Self { payload, channel, prepared: Rc::default() }
    }

    /// As PID 1: from here on it must not outlive main, also where no cgroup would end it.
    fn prepare_as_first(&self) -> Result<Prepared, StepFailure> {
        let describe = || "prepare the init".to_owned();
        let main = ManuallyDrop::new(sys::adopt(MAIN_FD).at(SetupStep::Fork, describe)?);
        die_with(main.as_fd()).at(SetupStep::Fork, describe)?;
        self.prepare()
    }

    /// Forks the payload, which prepares itself and then waits for its start.
    pub(crate) fn prepare(&self) -> Result<Prepared, StepFailure> {
        let describe = || "prepare the init".to_owned();
        nix::sys::prctl::set_dumpable(false).at(SetupStep::Fork, describe)?;
        let _ = nix::sys::prctl::set_name(c"testbox-init");
        let (master, slave) = self.payload.terminal()?.unzip();
        let (waiting, start) = pipe_with(PipeFlags::CLOEXEC).at(SetupStep::Fork, describe)?;
        SigSet::all().thread_set_mask().at(SetupStep::Fork, describe)?;
        match sys::fork().at(SetupStep::Fork, || "fork the command".to_owned())? {
            Fork::Child => {
                drop((master, start));
                let channel = self.own_channel().at(SetupStep::Fork, describe)?;
                payload::run(&self.payload, &channel, slave, waiting)
            }
            Fork::Parent(payload) => Ok(Prepared { payload, master, start }),
        }
    }

    /// From the start to the end of the box's last process, of main, or, if it has an `ender`, to a signal of main's.
    pub(crate) fn live(
        &self,
        channel: &Channel,
        prepared: Prepared,
        ender: Option<BorrowedFd<'_>>,
    ) -> Result<(), StepFailure> {
        let describe = || "start the command".to_owned();
        let Prepared { payload, master, start } = prepared;
        tell_that_the_box_stands(channel, master.as_ref())?;
        await_start(channel).at(SetupStep::Fork, describe)?;
        rustix::io::write(&start, b"!").at(SetupStep::Fork, describe)?;
        // libcontainer's descriptors go as well; and the plugin's socket, which ends with the command.
        std::mem::forget((master, start));
        let main = self.keep(ender).at(SetupStep::Fork, describe)?;
        self.payload.drop_capabilities().at(SetupStep::Privileges, || "drop the init's capabilities".to_owned())?;
        let mine = [Signal::SIGCHLD, Signal::SIGTERM];
        let signals = signals(&mine[..1 + main.iter().len()]).at(SetupStep::Fork, describe)?;
        watch(payload, channel, &signals, main.as_ref()).at(SetupStep::Fork, || "watch the command".to_owned())
    }

    /// Closes all descriptors above the channel but `main`, which moves down to it.
    fn keep(&self, main: Option<BorrowedFd<'_>>) -> io::Result<Option<OwnedFd>> {
        let mut number = self.channel + 1;
        if let Some(main) = main {
            sys::dup_to(main, number)?;
            number += 1;
        }
        sys::close_from(number)?;
        main.map(|_| sys::adopt(self.channel + 1)).transpose()
    }

    fn own_channel(&self) -> io::Result<Channel> {
        Ok(Channel::from_fd(sys::adopt(self.channel)?))
    }
}

/// The last message before the payload's own, with the master of its terminal.
fn tell_that_the_box_stands(channel: &Channel, master: Option<&OwnedFd>) -> Result<(), StepFailure> {
    let names = master.iter().map(|_| "pty".to_owned()).collect();
    let fds: Vec<_> = master.into_iter().map(AsFd::as_fd).collect();
    channel
        .send(&InitMessage::Descriptors { names }, &fds)
        .at(SetupStep::Fork, || "pass descriptors to testbox".to_owned())
}

/// main's word is usually there already; without it nothing of the command runs.
fn await_start(channel: &Channel) -> io::Result<()> {
    match channel.receive()? {
        Some((SupervisorMessage::Start, _)) => Ok(()),
        Some(_) => Err(io::Error::other("testbox sent another word first")),
        None => Err(io::Error::other("testbox is gone")),
    }
}

impl Executor for Init {
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let channel = self.own_channel().map_err(|error| ExecutorError::Other(error.to_string()))?;
        let prepared = self.prepared.take().ok_or_else(|| ExecutorError::Other("nothing is prepared".to_owned()))?;
        let code = match self.live(&channel, prepared, None) {
            Ok(()) => 0,
            Err(failure) => {
                channel.report(failure);
                1
            }
        };
        sys::exit_now(code)
    }

    /// The last moment before libcontainer waits for its start, which takes a while: the payload uses it.
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        let prepared = self.prepare_as_first().map_err(|failure| {
            let detail = failure.detail.clone();
            if let Ok(channel) = self.own_channel() {
                channel.report(failure);
                std::mem::forget(channel);
            }
            ExecutorValidationError::ArgValidationError(detail)
        })?;
        self.prepared.replace(Some(prepared));
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The init executes nothing; the payload gets its environment with exec.
        Ok(())
    }
}

/// These signals as a descriptor; every signal is blocked already.
pub(crate) fn signals(which: &[Signal]) -> io::Result<SignalFd> {
    let set: SigSet = which.iter().copied().collect();
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Until nobody is left, or main ends the box: reaps everything, reports the payload's end, forwards signals.
fn watch(payload: Pid, channel: &Channel, signals: &SignalFd, main: Option<&OwnedFd>) -> io::Result<()> {
    let mut alive = true;
    loop {
        match reap(payload, channel, alive)? {
            Left::Payload => {}
            Left::Others => alive = false,
            // Every process of the box is a descendant of this one: the box is empty, and needs no kill.
            Left::Nobody => return Ok(()),
        }
        let mut fds = vec![PollFd::new(signals, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
        fds.extend(main.map(|main| PollFd::new(main, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].revents().intersects(PollFlags::NVAL | PollFlags::ERR) {
            return Err(io::Error::other("the descriptor of signals is gone"));
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                return Ok(());
            }
        }
        if fds.get(2).is_some_and(|main| !main.revents().is_empty()) {
            return Ok(());
        }
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

/// Who is left in the box.
enum Left {
    /// The payload, perhaps with others.
    Payload,
    /// Processes that the payload left behind.
    Others,
    /// Nobody but the init.
    Nobody,
}

/// Reaps whoever ended. Wait statuses stay raw: a death by a real-time signal has no name in most libraries.
fn reap(payload: Pid, channel: &Channel, mut alive: bool) -> io::Result<Left> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) => return Ok(if alive { Left::Payload } else { Left::Others }),
            Err(rustix::io::Errno::CHILD) => return Ok(Left::Nobody),
            Ok(Some((pid, status))) if pid.as_raw_pid() == payload.as_raw() => {
                alive = false;
                channel.send(&InitMessage::Exited { status: status.as_raw() }, &[])?;
            }
            Ok(Some(_)) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
