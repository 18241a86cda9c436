//! The namespaces of a box that need neither its first process nor its mounts: user, network, ipc and uts. They are made
//! beside main's own work, because the kernel takes most of a millisecond for them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use testbox_bundle::Identity;
use testbox_model::{Net, SetupStep};

use crate::error::{AtStep, StepFailure};
use crate::sys::{HolderStep, NamespaceHolder};
use crate::{SandboxError, identity};

/// Namespaces in the making. A process holds them open until the launcher has entered them and this is dropped.
#[derive(Debug)]
#[must_use = "the namespaces are gone when this is dropped, unless somebody entered them"]
pub(crate) struct Namespaces {
    holder: NamespaceHolder,
    network: bool,
}

/// The way into namespaces that are made and mapped, as it travels to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entrance {
    /// Of the process that holds them.
    pid: i32,
    network: bool,
    /// Whom they are mapped to.
    identity: Identity,
}

/// Namespaces that can be entered.
#[derive(Debug)]
pub(crate) struct Opened {
    user: OwnedFd,
    others: Vec<(CloneFlags, OwnedFd)>,
}

impl Namespaces {
    /// Starts to make them; returns before they are made. The caller must be single-threaded.
    ///
    /// # Errors
    /// There cannot be a user namespace.
    pub(crate) fn start(net: Net) -> Result<Self, SandboxError> {
        let network = net == Net::None;
        let mut made = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
        made.set(CloneFlags::CLONE_NEWNET, network);
        let holder = NamespaceHolder::start(made).at(SetupStep::Namespaces, || "create a user namespace".to_owned())?;
        Ok(Self { holder, network })
    }

    /// Waits until they are made, and maps the box's host user to root in them and nobody else: the way in, as long as
    /// this lives.
    pub(crate) fn map(&self, identity: Identity) -> Result<Entrance, StepFailure> {
        match self.holder.wait() {
            Ok(()) => {}
            Err((HolderStep::Namespaces, error)) => {
                return Err(error).at(SetupStep::Namespaces, || "create the box's namespaces".to_owned());
            }
            Err((HolderStep::Loopback, error)) => {
                return Err(error).at(SetupStep::Loopback, || "set `lo` up".to_owned());
            }
        }
        let pid = self.holder.pid().to_string();
        identity::with_own_proc_files(|| identity::map(&pid, (0, identity.host_uid), (0, identity.host_gid)))
            .at(SetupStep::Namespaces, || "map the user".to_owned())?;
        Ok(Entrance { pid: self.holder.pid().as_raw(), network: self.network, identity })
    }
}

impl Entrance {
    /// Opens them for a box with this identity.
    pub(crate) fn open(&self, identity: &Identity) -> Result<Opened, StepFailure> {
        if *identity != self.identity {
            let detail = format!("{identity:?} was {:?} a moment ago: the project changed hands", self.identity);
            return Err(StepFailure { step: SetupStep::Identity, errno: 0, detail });
        }
        let opened = |name: &str| -> io::Result<OwnedFd> {
            let path = format!("/proc/{}/ns/{name}", self.pid);
            Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let network = self.network.then_some((CloneFlags::CLONE_NEWNET, "net"));
        let names = [(CloneFlags::CLONE_NEWIPC, "ipc"), (CloneFlags::CLONE_NEWUTS, "uts")];
        let others = names.into_iter().chain(network);
        let others = others.map(|(flag, name)| Ok((flag, opened(name)?))).collect::<io::Result<_>>();
        let describe = || "open the box's namespaces".to_owned();
        let user = opened("user").at(SetupStep::Namespaces, describe)?;
        Ok(Opened { user, others: others.at(SetupStep::Namespaces, describe)? })
    }
}

impl Opened {
    /// The user namespace: it says how owners are shifted, too.
    pub(crate) fn user(&self) -> BorrowedFd<'_> {
        self.user.as_fd()
    }

    /// Moves the calling process into them: root of the user namespace then, and nobody outside of it (F3: the host user
    /// is never 0). `between` is done by true root, if it is that, when it is in the user namespace already.
    pub(crate) fn enter(&self, identity: &Identity, between: impl FnOnce()) -> Result<(), StepFailure> {
        if rustix::process::geteuid().is_root() {
            identity::leave_root_groups(identity)?;
            self.enter_user()?;
            between();
            identity::become_root_inside()?;
        } else {
            self.enter_user()?;
        }
        for (flag, namespace) in &self.others {
            setns(namespace, *flag).at(SetupStep::Namespaces, || "enter the box's namespaces".to_owned())?;
        }
        Ok(())
    }

    fn enter_user(&self) -> Result<(), StepFailure> {
        setns(&self.user, CloneFlags::CLONE_NEWUSER)
            .at(SetupStep::Namespaces, || "enter the box's user namespace".to_owned())
    }
}
