//! The launcher: a short-lived child of main that builds the box from the inside, one step after the other.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use rustix::mount::{MountPropagationFlags, mount_change};
use testbox_bundle::Bundle;
use testbox_cgroup::BoxGroup;
use testbox_model::{InitMessage, SetupStep};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::init::Init;
use crate::staging::{self, Clones};
use crate::{container, identity, sys};

/// Number of the status socket in launcher and init.
const CHANNEL_FD: i32 = 3;
/// Number of the plugin's socket in launcher, init and payload.
pub(crate) const PLUGIN_FD: i32 = 4;

/// What main hands to the launcher.
pub(crate) struct Orders<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) group: &'a BoxGroup,
    pub(crate) box_id: &'a str,
    pub(crate) nproc_limit: Option<u64>,
    pub(crate) attach: Vec<OwnedFd>,
    pub(crate) channel: Channel,
    pub(crate) stdio: Stdio,
}

/// The command's ends of its streams; what is absent is /dev/null (stdin, and all of them with a pty) or stdout.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// The socket of pytest's plugin, which the command inherits beside its streams.
    pub(crate) plugin: Option<OwnedFd>,
}

/// Builds the box; the launcher's whole life.
pub(crate) fn run(orders: Orders<'_>) -> ! {
    let fallback = orders.channel.as_fd().try_clone_to_owned();
    let code = match settle(orders) {
        Ok(settled) => {
            let outcome = build(&settled);
            let code = i32::from(outcome.is_err());
            if let Err(failure) = outcome {
                settled.channel.report(failure);
            }
            code
        }
        Err(failure) => {
            if let Ok(fd) = fallback {
                Channel::from_fd(fd).report(failure);
            }
            1
        }
    };
    sys::exit_now(code)
}

/// The launcher with its descriptors laid out: stdio, the status socket, and nothing else.
struct Settled<'a> {
    bundle: &'a Bundle,
    box_id: &'a str,
    nproc_limit: Option<u64>,
    channel: Channel,
}

/// Joins the cgroups and gives up every descriptor that is not needed (R2).
fn settle(orders: Orders<'_>) -> Result<Settled<'_>, StepFailure> {
    die_with_parent()?;
    for procs in &orders.attach {
        rustix::io::write(procs, b"0").at(SetupStep::JoinCgroup, || "write `0` to the file of members".to_owned())?;
    }
    let own_pid = std::process::id() as i32;
    orders
        .group
        .verify_member(Path::new("/"), own_pid)
        .map_err(std::io::Error::other)
        .at(SetupStep::JoinCgroup, || "read the membership back".to_owned())?;
    // The box's user may not enter the caller's folder, and libcontainer goes back to where it was started.
    rustix::process::chdir("/").at(SetupStep::Fork, || "leave the caller's folder".to_owned())?;
    lay_out_descriptors(&orders).at(SetupStep::Fork, || "lay out the descriptors".to_owned())?;
    let channel = Channel::from_fd(sys::adopt(CHANNEL_FD).at(SetupStep::Fork, || "keep the status socket".to_owned())?);
    let settled = Settled { bundle: orders.bundle, box_id: orders.box_id, nproc_limit: orders.nproc_limit, channel };
    // Their numbers are closed or belong to others by now; dropping them would close the wrong ones.
    std::mem::forget((orders.attach, orders.channel, orders.stdio));
    Ok(settled)
}

fn lay_out_descriptors(orders: &Orders<'_>) -> std::io::Result<()> {
    let null = fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let null_fd = null.file().as_fd();
    let stdout = orders.stdio.stdout.as_ref().map_or(null_fd, AsFd::as_fd);
    let mut sources = vec![
        orders.stdio.stdin.as_ref().map_or(null_fd, AsFd::as_fd),
        stdout,
        orders.stdio.stderr.as_ref().map_or(stdout, AsFd::as_fd),
        orders.channel.as_fd(),
    ];
    sources.extend(orders.stdio.plugin.as_ref().map(AsFd::as_fd));
    let high: Vec<_> = sources.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, PLUGIN_FD + 1)).collect();
    let first_free = high.len() as i32;
    for (number, fd) in (0..).zip(high) {
        sys::dup_to(fd?, number)?;
    }
    std::mem::forget(null);
    sys::close_from(first_free)?;
    sys::cloexec_from(CHANNEL_FD)
}

fn die_with_parent() -> Result<(), StepFailure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .at(SetupStep::Fork, || "tie the launcher's life to testbox".to_owned())
}

/// From a joined process to a standing box.
fn build(settled: &Settled<'_>) -> Result<(), StepFailure> {
    let bundle = settled.bundle;
    let as_root = rustix::process::geteuid().is_root();
    if as_root {
        let clones = Clones::take(bundle)?;
        identity::become_user(&bundle.identity)?;
        die_with_parent()?;
        identity::enter_user_namespace(&bundle.identity)?;
        own_mounts()?;
        finish(settled, clones)
    } else {
        identity::enter_user_namespace(&bundle.identity)?;
        own_mounts()?;
        let clones = Clones::take(bundle)?;
        finish(settled, clones)
    }
}

fn finish(settled: &Settled<'_>, clones: Clones) -> Result<(), StepFailure> {
    identity::cap_user_quotas()?;
    staging::show_cgroups_read_only()?;
    let staged = staging::lay_out(settled.bundle, clones)?;
    settled
        .channel
        .send(&InitMessage::Descriptors { names: staged.names() }, &staged.descriptors())
        .at(SetupStep::Mounts, || "pass the scratch space to testbox".to_owned())?;
    let init = Init::new(settled.bundle, settled.nproc_limit, CHANNEL_FD);
    container::create(settled.bundle, settled.box_id, &staged, init, &settled.channel)
}

/// A mount namespace of its own, from which nothing propagates.
fn own_mounts() -> Result<(), StepFailure> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).at(SetupStep::Namespaces, || "create a mount namespace".to_owned())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(SetupStep::Namespaces, || "make the mounts private".to_owned())
}
