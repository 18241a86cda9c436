//! `testbox kill`: asks the testbox of a box to end it, so that a report is written; by force where that does not help.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use testbox_model::Fault;

use crate::boxes::{self, Owner, Seen, State, choose};
use crate::cli::KillArgs;
use crate::fault::{self, OrFault, Outcome};
use crate::print;

/// Without force: longest wait for a run to end. `--grace` of a run may be long.
const PATIENCE: Duration = Duration::from_secs(120);
/// With force: how long a run may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);
/// How long a reaper, or the kernel, may take to remove what a killed testbox leaves.
const REMOVAL: Duration = Duration::from_secs(10);

/// Ends the boxes that were named, or all of the caller's.
pub(crate) fn kill(args: &KillArgs) -> Outcome {
    let boxes = boxes::all()?.own;
    let chosen = match args.all_mine {
        true => mine(&boxes, args.force),
        false => args.ids.iter().map(|id| choose(&boxes, id)).collect::<Result<Vec<_>, _>>()?,
    };
    // All are asked before any is waited for.
    let asked: Vec<_> = chosen.into_iter().map(|seen| (seen, ask(seen, args.force))).collect();
    let mut failure = None;
    for (seen, owner) in asked {
        match owner.and_then(|owner| finish(seen, owner, args.force)) {
            Ok(how) => drop(print::text(&format!("{}: {how}\n", seen.short_id()))?),
            Err(fault) => drop(failure.replace(fault).map(|earlier| print::fault(&earlier))),
        }
    }
    failure.map_or(Ok(0), Err)
}

/// The caller's own, also as root; what dead runs left only by force.
fn mine(boxes: &[Seen], force: bool) -> Vec<&Seen> {
    let uid = rustix::process::geteuid().as_raw();
    boxes.iter().filter(|seen| seen.uid == uid && (force || seen.state != State::Orphaned)).collect()
}

/// Asks the testbox of a box to end; `None` if it is dead.
fn ask(seen: &Seen, force: bool) -> Result<Option<Owner>, Box<Fault>> {
    let Some(owner) = seen.owner() else {
        return if force { Ok(None) } else { Err(dead(seen)) };
    };
    let asked = owner.signal(Signal::TERM).and_then(|()| match seen.state {
        State::Stopped => owner.signal(Signal::CONT),
        _ => Ok(()),
    });
    asked.map_err(|error| {
        let message = format!("cannot signal process {}, the testbox of `{}`: {error}", seen.id.pid, seen.short_id());
        fault::plain(message, "run `testbox kill` as the user who started it, or as root")
    })?;
    Ok(Some(owner))
}

/// Waits until the box is gone, and says how it went.
fn finish(seen: &Seen, owner: Option<Owner>, force: bool) -> Result<&'static str, Box<Fault>> {
    let Some(owner) = owner else { return remove(seen).map(|()| "removed what a dead run left") };
    if owner.has_ended(if force { GRACE } else { PATIENCE }) {
        return Ok("ended");
    }
    if !force {
        let seconds = PATIENCE.as_secs();
        let message = format!("`{}` was asked to end and has not after {seconds} s", seen.short_id());
        return Err(fault::plain(message, format!("kill it with `testbox kill --force {}`", seen.short_id())));
    }
    owner.signal(Signal::KILL).map_err(|error| fault::of(&error, None))?;
    if !owner.has_ended(REMOVAL) {
        let message = format!("process {}, the testbox of `{}`, does not die", seen.id.pid, seen.short_id());
        return Err(fault::plain(message, "it waits for the kernel: look at the disk that it uses"));
    }
    remove(seen).map(|()| "killed")
}

/// Kills and removes the groups of a box whose testbox is dead; its reaper may be doing the same.
fn remove(seen: &Seen) -> Result<(), Box<Fault>> {
    let Some(group) = &seen.group else { return Ok(()) };
    if seen.owner().is_some() {
        return Err(fault::plain(format!("the testbox of `{}` lives", seen.short_id()), "try again"));
    }
    group.kill().or_fault()?;
    group.remove(Instant::now() + REMOVAL).or_fault()
}

fn dead(seen: &Seen) -> Box<Fault> {
    let id = seen.short_id();
    let message = format!("the testbox of `{id}` is dead: nobody is left who could end the box and write its report");
    fault::plain(message, format!("remove it with `testbox kill --force {id}` or `testbox gc`"))
}
