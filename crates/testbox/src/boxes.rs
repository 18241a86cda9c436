//! The boxes of this host as the caller may see them. There is no state file: a box is found by the names of its cgroups
//! and, where it has none, by its reaper; what it is about, it says in the journal that its testbox holds open.
//!
//! Names prove nothing, because whoever may make groups chooses theirs: a box counts only where its groups belong to
//! the user of the process that they name.

mod choose;
mod owner;
mod process;

use std::collections::BTreeMap;
use std::path::Path;

use testbox_cgroup::{BoxGroup, BoxId, FoundBox, Host};
use testbox_model::Fault;

use crate::fault::OrFault;
pub(crate) use choose::choose;
pub(crate) use owner::Owner;
use process::Process;

/// One box.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: BoxId,
    /// The user of its testbox.
    pub(crate) uid: u32,
    pub(crate) state: State,
    /// Its cgroups; `None`: no cgroup guards it.
    pub(crate) group: Option<BoxGroup>,
}

/// What its testbox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It supervises the box.
    Running,
    /// It was stopped, by SIGSTOP or Ctrl-Z.
    Stopped,
    /// It is dead, and somebody must remove what it left.
    Orphaned,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Boxes {
    /// Those that the caller may do something about, the oldest first.
    pub(crate) own: Vec<Seen>,
    /// Names of boxes that are of another boot or pid namespace, or whose groups belong to somebody else than the
    /// process that they name.
    pub(crate) foreign: usize,
}

impl State {
    /// The word in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Orphaned => "orphaned",
        }
    }
}

impl Seen {
    /// The name without what all boxes of this boot share: `PID-START`.
    pub(crate) fn short_id(&self) -> String {
        short(&self.id)
    }

    /// Its testbox, if that lives.
    pub(crate) fn owner(&self) -> Option<Owner> {
        Owner::of(&self.id)
    }
}

/// `PID-START`.
pub(crate) fn short(id: &BoxId) -> String {
    format!("{}-{}", id.pid, id.start_ticks)
}

/// Looks for all boxes of the caller; as root, for those of every user.
pub(crate) fn all() -> Result<Boxes, Box<Fault>> {
    let root = Path::new("/");
    let found = testbox_cgroup::find_boxes(&Host::detect(root).or_fault()?).or_fault()?;
    let mut boxes = Boxes { foreign: found.elsewhere, ..Boxes::default() };
    let mut own: BTreeMap<BoxId, Seen> = BTreeMap::new();
    for FoundBox { id, uid, group } in found.boxes {
        match seen(root, &id, uid) {
            Some(state) if is_ours(uid) => {
                own.insert(id.clone(), Seen { id, uid, state, group: Some(group) });
            }
            Some(_) => {}
            None => boxes.foreign += 1,
        }
    }
    for process in Process::all().filter(Process::is_a_reaper) {
        let Some((id, owner)) = owned(root, &process).filter(|(_, owner)| is_ours(owner.uid)) else { continue };
        own.entry(id.clone()).or_insert(Seen { id, uid: owner.uid, state: state_of(&owner), group: None });
    }
    boxes.own = own.into_values().collect();
    boxes.own.sort_by_key(|seen| (seen.id.start_ticks, seen.id.pid));
    Ok(boxes)
}

fn is_ours(uid: u32) -> bool {
    let euid = rustix::process::geteuid();
    euid.is_root() || euid.as_raw() == uid
}

/// How the owner of groups that belong to `uid` is; `None` if it is another user's process.
fn seen(root: &Path, id: &BoxId, uid: u32) -> Option<State> {
    match Process::read(id.pid).filter(|_| id.owner_alive(root)) {
        None => Some(State::Orphaned),
        Some(owner) => (owner.uid == uid).then(|| state_of(&owner)),
    }
}

fn state_of(owner: &Process) -> State {
    if matches!(owner.state, 'T' | 't') { State::Stopped } else { State::Running }
}

/// The testbox that this reaper serves: the parent that it was forked from, which executes the same file for the same
/// user. A reaper whose testbox died has another parent.
fn owned(root: &Path, reaper: &Process) -> Option<(BoxId, Process)> {
    let id = BoxId::of_process(root, reaper.parent).ok()?;
    let owner = Process::read(reaper.parent)?;
    (owner.uid == reaper.uid && owner.is_like(reaper) && id.owner_alive(root)).then_some((id, owner))
}
