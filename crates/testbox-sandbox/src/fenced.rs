//! A box on a host that makes no namespaces, with the user's word for it: the launcher becomes its init.
//!
//! It gives up its privileges, makes the scratch folder, and forks the payload, which puts up the fence (Landlock and one
//! more seccomp filter) before anything of the command runs. As no kernel ends a process with its namespace here, the init
//! does it: it outlives main for as long as it takes to sweep, in a session of its own, so that what ends main's process
//! group does not end the sweeper.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::prctl;
use nix::sys::signal::SigSet;
use testbox_bundle::{Bundle, Host};
use testbox_model::{InitMessage, SetupStep};

use crate::error::{AtStep, StepFailure};
use crate::init::Init;
use crate::launcher::{self, CHANNEL_FD, Settled};
use crate::payload::Payload;
use crate::{identity, scratch, sweep};

/// From a process that joined the cgroups to the end of the box's last process.
pub(crate) fn live(settled: &Settled<'_>, bundle: &mut Bundle, place: &Path) -> Result<(), StepFailure> {
    let fence = bundle.fence(&Host::current(), place).map_err(|error| StepFailure {
        step: SetupStep::Landlock,
        errno: 0,
        detail: error.to_string(),
    })?;
    let bounded = identity::become_host_user(&bundle.identity)?;
    // A change of user forgets it.
    launcher::tie_to(settled.main.as_fd())?;
    scratch::make(place, &fence.files)?;
    let payload = Payload::new(bundle, settled.nproc_limit, CHANNEL_FD).fenced(fence.openings, bounded);
    let init = Init::new(payload, CHANNEL_FD);
    let pid = std::process::id() as i32;
    settled.channel.send(&InitMessage::Created { pid }, &[]).at(SetupStep::Fork, || "announce the init".to_owned())?;
    become_init().at(SetupStep::Fork, || "prepare the init".to_owned())?;
    let prepared = init.prepare()?;
    let lived = init.live(&settled.channel, prepared, Some(settled.main.as_fd()));
    sweep::sweep();
    lived
}

/// Whoever loses its parent below this process becomes its child, and main's end is something to react to.
fn become_init() -> std::io::Result<()> {
    SigSet::all().thread_set_mask()?;
    rustix::process::setsid()?;
    prctl::set_child_subreaper(true)?;
    Ok(prctl::set_pdeathsig(None)?)
}
