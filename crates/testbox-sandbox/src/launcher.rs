//! The launcher: a short-lived child of main that builds the box from the inside, one step after the other.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountPropagationFlags, mount_change};
use serde::{Deserialize, Serialize};
use testbox_bundle::{Bundle, BundleError, Outline};
use testbox_model::{InitMessage, SetupStep};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure, Told};
use crate::fuse::Means;
use crate::init::Init;
use crate::namespaces::Entrance;
use crate::payload::Payload;
use crate::staging::{self, Clones, Site};
use crate::sys::Fork;
use crate::{container, fenced, identity, sys};

/// Number of the status socket in launcher and init.
pub(crate) const CHANNEL_FD: i32 = 3;
/// Number of the plugin's socket in launcher, init and payload.
pub(crate) const PLUGIN_FD: i32 = 4;
/// Number of main's pidfd in launcher and init.
pub(crate) const MAIN_FD: i32 = 5;

/// What the launcher is born with.
pub(crate) struct Orders {
    /// A pidfd.
    pub(crate) main: OwnedFd,
    pub(crate) channel: Channel,
    pub(crate) stdio: Stdio,
}

/// The launcher's first message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Planned {
    /// There is a bundle.
    Bundle(Outline),
    /// There can be none.
    Refused(Told),
}

/// main's word, with a descriptor for each group to join; main does not wait for the bundle with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Go {
    pub(crate) box_id: String,
    pub(crate) nproc_limit: Option<u64>,
    /// The last descriptor is a directory to be born in, in place of joining.
    pub(crate) birthplace: bool,
    /// What the launcher's membership must read back as.
    pub(crate) membership: Vec<(String, String)>,
    pub(crate) ground: Ground,
}

/// What the box stands on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ground {
    /// Namespaces.
    Namespaces(Entrance),
    /// The host's own ground, fenced: the folder is the box's scratch space.
    Fenced(PathBuf),
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

/// Makes the bundle, then the box; the launcher's whole life.
pub(crate) fn run(orders: Orders, bundle: impl FnOnce() -> Result<Bundle, BundleError>) -> ! {
    let fallback = orders.channel.as_fd().try_clone_to_owned();
    let code = match serve(orders, bundle) {
        Ok(()) => 0,
        Err(failure) => {
            if let Ok(fd) = fallback {
                Channel::from_fd(fd).report(failure);
            }
            1
        }
    };
    sys::exit_now(code)
}

fn serve(mut orders: Orders, bundle: impl FnOnce() -> Result<Bundle, BundleError>) -> Result<(), StepFailure> {
    tie_to(orders.main.as_fd())?;
    let describe = || "speak with testbox".to_owned();
    let mut bundle = match bundle() {
        Ok(bundle) => bundle,
        Err(error) => {
            let refused = Planned::Refused(Told::of(&error, error.hint()));
            return orders.channel.send(&refused, &[]).at(SetupStep::Fork, describe);
        }
    };
    let outline = Outline::of(&bundle);
    if !outline.plugin {
        orders.stdio.plugin = None;
    }
    orders.channel.send(&Planned::Bundle(outline), &[]).at(SetupStep::Fork, describe)?;
    // No word: main gave up.
    let Some((go, mut groups)) = orders.channel.receive::<Go>().at(SetupStep::Fork, describe)? else { return Ok(()) };
    if go.birthplace && !goes_on(&orders, &mut groups)? {
        return Ok(());
    }
    // Their numbers will be closed or belong to others; dropping them would close the wrong ones.
    let groups = ManuallyDrop::new(groups);
    let settled = settle(orders, &go, &groups)?;
    let built = match &go.ground {
        Ground::Namespaces(entrance) => build(&settled, &bundle, entrance),
        Ground::Fenced(scratch) => fenced::live(&settled, &mut bundle, scratch),
    };
    let built = built.map_err(|failure| settled.channel.report(failure));
    sys::exit_now(i32::from(built.is_err()))
}

/// As a process that is born in the box's group, whose directory is the last of `groups`, so that none of them need be
/// joined; `false` in the one that has nothing more to do. Where the kernel refuses, this one joins, and waits for it.
fn goes_on(orders: &Orders, groups: &mut Vec<OwnedFd>) -> Result<bool, StepFailure> {
    let Some(directory) = groups.pop() else { return Ok(true) };
    match sys::fork_into(directory.as_fd()) {
        Ok(Fork::Parent(_)) => return Ok(false),
        Ok(Fork::Child) => groups.clear(),
        Err(_) => return Ok(true),
    }
    tie_to(orders.main.as_fd())?;
    let moved = InitMessage::Moved { pid: std::process::id() as i32 };
    orders.channel.send(&moved, &[]).at(SetupStep::Fork, || "speak with testbox".to_owned())?;
    Ok(true)
}

/// The launcher with its descriptors laid out: stdio, the status socket, and nothing else.
pub(crate) struct Settled<'a> {
    pub(crate) main: ManuallyDrop<OwnedFd>,
    box_id: &'a str,
    pub(crate) nproc_limit: Option<u64>,
    pub(crate) channel: Channel,
}

/// Joins the cgroups and gives up every descriptor that is not needed (R2).
fn settle<'a>(orders: Orders, go: &'a Go, groups: &[OwnedFd]) -> Result<Settled<'a>, StepFailure> {
    for members in groups {
        rustix::io::write(members, b"0").at(SetupStep::JoinCgroup, || "write `0` to the file of members".to_owned())?;
    }
    testbox_cgroup::verify_member(&go.membership, Path::new("/"), std::process::id() as i32)
        .map_err(std::io::Error::other)
        .at(SetupStep::JoinCgroup, || "read the membership back".to_owned())?;
    // The box's user may not enter the caller's folder, and libcontainer goes back to where it was started.
    rustix::process::chdir("/").at(SetupStep::Fork, || "leave the caller's folder".to_owned())?;
    lay_out_descriptors(&orders).at(SetupStep::Fork, || "lay out the descriptors".to_owned())?;
    let channel = Channel::from_fd(sys::adopt(CHANNEL_FD).at(SetupStep::Fork, || "keep the status socket".to_owned())?);
    let main = ManuallyDrop::new(sys::adopt(MAIN_FD).at(SetupStep::Fork, || "keep main's pidfd".to_owned())?);
    std::mem::forget(orders);
    Ok(Settled { main, box_id: &go.box_id, nproc_limit: go.nproc_limit, channel })
}

fn lay_out_descriptors(orders: &Orders) -> std::io::Result<()> {
    let null = fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let null_fd = null.file().as_fd();
    let stdout = orders.stdio.stdout.as_ref().map_or(null_fd, AsFd::as_fd);
    let sources = [
        orders.stdio.stdin.as_ref().map_or(null_fd, AsFd::as_fd),
        stdout,
        orders.stdio.stderr.as_ref().map_or(stdout, AsFd::as_fd),
        orders.channel.as_fd(),
        orders.stdio.plugin.as_ref().map_or(null_fd, AsFd::as_fd),
        orders.main.as_fd(),
    ];
    let high: Vec<_> = sources.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, MAIN_FD + 1)).collect();
    let first_free = high.len() as i32;
    for (number, fd) in (0..).zip(high) {
        sys::dup_to(fd?, number)?;
    }
    std::mem::forget(null);
    sys::close_from(first_free)?;
    sys::cloexec_from(CHANNEL_FD)
}

pub(crate) fn tie_to(main: BorrowedFd<'_>) -> Result<(), StepFailure> {
    die_with(main).at(SetupStep::Fork, || "tie the launcher's life to testbox".to_owned())
}

/// From now on this process dies with main; an error if main is dead already, which nobody would ever say.
pub(crate) fn die_with(main: BorrowedFd<'_>) -> std::io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::new(&main, PollFlags::IN)], Some(&now))? {
        0 => Ok(()),
        _ => Err(std::io::Error::other("testbox is gone")),
    }
}

/// From a joined process to a standing box.
fn build(settled: &Settled<'_>, bundle: &Bundle, entrance: &Entrance) -> Result<(), StepFailure> {
    let entrance = entrance.open(&bundle.identity)?;
    let as_root = rustix::process::geteuid().is_root();
    // Only true root can open what lies below an unsearchable folder, and shift owners.
    let early = as_root.then(|| Clones::take(bundle, entrance.user())?.copied_as_root(bundle, &settled.channel));
    let early = early.transpose()?;
    let mut fuse = Means::find();
    entrance.enter(&bundle.identity, || fuse.open_as_root())?;
    // A change of user forgets it.
    tie_to(settled.main.as_fd())?;
    own_mounts(bundle)?;
    let clones = early.map_or_else(|| Clones::take(bundle, entrance.user()), Ok)?;
    finish(settled, Site { bundle, channel: &settled.channel, main: settled.main.as_fd(), fuse: Some(fuse) }, clones)
}

fn finish(settled: &Settled<'_>, site: Site<'_>, clones: Clones) -> Result<(), StepFailure> {
    let bundle = site.bundle;
    identity::cap_user_quotas()?;
    staging::show_cgroups_read_only()?;
    let staged = staging::lay_out(site, clones)?;
    let names = staged.folders.iter().map(|(name, _)| name.clone()).collect();
    let folders: Vec<_> = staged.folders.iter().map(|(_, folder)| folder.as_fd()).collect();
    settled
        .channel
        .send(&InitMessage::Descriptors { names }, &folders)
        .at(SetupStep::Mounts, || "pass the scratch space to testbox".to_owned())?;
    let init = Init::new(Payload::new(bundle, settled.nproc_limit, CHANNEL_FD), CHANNEL_FD);
    container::create(bundle, settled.box_id, &staged, init, &settled.channel)
}

/// Mounts from which nothing propagates, the box's groups as their root, and its name.
fn own_mounts(bundle: &Bundle) -> Result<(), StepFailure> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
        .at(SetupStep::Namespaces, || "create a mount and a cgroup namespace".to_owned())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(SetupStep::Namespaces, || "make the mounts private".to_owned())?;
    nix::unistd::sethostname(&bundle.hostname)
        .at(SetupStep::Namespaces, || format!("set the host name `{}`", bundle.hostname))
}
