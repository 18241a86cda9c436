//! A group where the caller may make none: systemd is asked for a transient scope that is delegated to the caller.
//!
//! An ordinary user cannot make groups, nor leave the group of the login session: only the user's systemd can do both.
//! It moves testbox, which has one process and one thread then, into `testbox-<id>.scope`; from there all is as in any
//! other delegated group (`delegation`). Testbox and its reaper stay in the scope, the box's group lies below it. When
//! the last of them ends, however it ends, systemd removes the scope.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use zbus::{OwnedObjectPath, Variant};

use crate::bus::{Bus, Method};
use crate::host::Hierarchy;
use crate::wait::{Backoff, wait};
use crate::{BoxId, CgroupError, delegation, kernel};

/// Longest time that systemd may take for all of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time in which a scope without processes goes away.
const STOPPING: Duration = Duration::from_secs(2);
/// Characters of a command that systemd shows.
const LONGEST_TITLE: usize = 200;
const SUFFIX: &str = ".scope";

const START: Method<'static> = Method {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
    signature: "ssa(sv)a(sa(sv))",
};
const STOP: Method<'static> = Method { member: "StopUnit", signature: "ss", ..START };
const JOB_ENDED: &str = "type='signal',sender='org.freedesktop.systemd1',\
    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

type Property<'a> = (&'a str, Variant<'a>);

/// Whether this is a group that systemd made for a box, and delegated with it.
pub(crate) fn is_one(group: &Path) -> bool {
    id_of(&group.file_name().unwrap_or_default().to_string_lossy()).is_some()
}

/// The box of the scope of this name.
pub(crate) fn id_of(name: &str) -> Option<BoxId> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// Whether another place could help: the error is about groups of v2 that are not the caller's, and nobody has delegated
/// a group to the caller alone.
pub(crate) fn could_help(unified: &Hierarchy, error: &CgroupError) -> bool {
    let own = unified.own.as_deref();
    let in_a_leaf = delegation::divisible(unified).is_some_and(|group| own != Some(&group));
    let is_about_places =
        matches!(error, CgroupError::NotDelegated { unified: true, .. } | CgroupError::NotEnabled { .. });
    is_about_places && !in_a_leaf && !unified.read_only
}

/// Asks the systemd of this user to move the calling process into a scope of its own. `Ok(false)`: no systemd runs here.
///
/// # Errors
/// Why it did not, and what helps.
pub(crate) fn enter(root: &Path, id: &BoxId, command: &str) -> Result<bool, String> {
    if !root.join("run/systemd/system").is_dir() {
        return Ok(false);
    }
    let uid = rustix::process::geteuid().as_raw();
    let socket = own_socket(root)?;
    let started = start(&socket, id, uid, command);
    started.map(|()| true).map_err(|error| {
        let (systemd, run) =
            if uid == 0 { ("systemd", "systemd-run") } else { ("`systemd --user`", "systemd-run --user") };
        format!("{systemd} did not make a scope: {error}; see what `{run} --scope -p Delegate=yes true` says")
    })
}

/// Has systemd remove a scope of this user that holds no process and never will: its box is dead.
///
/// # Errors
/// Why it is still there.
pub(crate) fn stop(root: &Path, scope: &Path) -> Result<(), String> {
    let name = scope.file_name().unwrap_or_default().to_string_lossy();
    let asked = own_socket(root).and_then(|socket| ask_to_stop(&socket, &name).map_err(|error| error.to_string()));
    // Its job ends soon after the answer; and what somebody else stopped meanwhile systemd does not know any more.
    let gone = goes_away(scope);
    match asked {
        _ if gone => Ok(()),
        Ok(()) => Err(format!("systemd was asked to stop it and did not within {} s", STOPPING.as_secs())),
        Err(error) => Err(format!("systemd did not stop it: {error}")),
    }
}

fn goes_away(group: &Path) -> bool {
    let mut pauses = Backoff::until(Instant::now() + STOPPING);
    while group.exists() {
        let Some(pause) = pauses.next() else { return false };
        let _interrupted_is_fine = wait(None, PollFlags::empty(), pause);
    }
    true
}

fn ask_to_stop(socket: &Path, unit: &str) -> io::Result<()> {
    let mut bus = Bus::connect(socket, PATIENCE)?;
    let call = bus.call(STOP, &(unit, "replace"))?;
    while !bus.next()?.answers(call)? {}
    Ok(())
}

/// Whether no process is in the group, or in one below it.
pub(crate) fn is_empty(scope: &Path) -> bool {
    let events = kernel::read(&scope.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 0")
}

fn own_socket(root: &Path) -> Result<PathBuf, String> {
    let uid = rustix::process::geteuid().as_raw();
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    socket(root, uid, runtime_dir.as_deref())
}

/// The bus on which the systemd of this user listens.
fn socket(root: &Path, uid: u32, runtime_dir: Option<&Path>) -> Result<PathBuf, String> {
    if uid == 0 {
        return Ok(root.join("run/dbus/system_bus_socket"));
    }
    let usual = root.join(format!("run/user/{uid}"));
    let is_ours = |path: &Path| fs_err::metadata(path).is_ok_and(|found| found.uid() == uid);
    // After `su`, XDG_RUNTIME_DIR may still be another user's.
    let dir = runtime_dir.into_iter().chain([usual.as_path()]).find(|dir| is_ours(dir));
    let Some(dir) = dir else {
        return Err(format!(
            "no systemd runs for user {uid} (there is no `{}`), as it would after a login: \
             let one run with `sudo loginctl enable-linger {uid}`",
            usual.display()
        ));
    };
    let socket = dir.join("bus");
    match fs_err::metadata(&socket) {
        Ok(found) if found.file_type().is_socket() && found.uid() == uid => Ok(socket),
        _ => Err(format!(
            "user {uid} has no bus (there is no `{}`): install it with `sudo apt-get install dbus-user-session` and log in \
             again",
            socket.display()
        )),
    }
}

fn start(socket: &Path, id: &BoxId, uid: u32, command: &str) -> io::Result<()> {
    let unit = format!("{id}{SUFFIX}");
    let mut bus = Bus::connect(socket, PATIENCE)?;
    // Only its own: many boxes that start at once would otherwise all be told of all of them.
    bus.subscribe(&format!("{JOB_ENDED},arg2='{unit}'"))?;
    let title = title(command);
    let auxiliary: Vec<(&str, Vec<Property<'_>>)> = Vec::new();
    let call = bus.call(START, &(unit.as_str(), "fail", properties(uid, &title), auxiliary))?;
    let (mut accepted, mut result) = (false, None);
    loop {
        let message = bus.next()?;
        accepted |= message.answers(call)?;
        if let Some((_, _, of, ended)) = message.signal::<(u32, OwnedObjectPath, &str, &str)>("JobRemoved")
            && of == unit
        {
            result = Some(ended.to_owned());
        }
        match result.as_deref() {
            Some("done") if accepted => return Ok(()),
            Some(other) if accepted => return Err(io::Error::other(format!("the job of `{unit}` ended as `{other}`"))),
            _ => {}
        }
    }
}

fn properties(uid: u32, title: &str) -> Vec<Property<'_>> {
    let mut properties = vec![
        ("Description", Variant::from(title)),
        ("PIDs", Variant::from(vec![std::process::id()])),
        ("Delegate", Variant::from(true)),
        ("CollectMode", Variant::from("inactive-or-failed")),
    ];
    if uid != 0 {
        properties.push(("Slice", Variant::from("app.slice")));
    }
    properties
}

/// One line for `systemctl status`.
fn title(command: &str) -> String {
    let line: String = command.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TITLE).collect();
    format!("testbox: {line}")
}

#[cfg(test)]
mod tests;
