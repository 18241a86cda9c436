//! Landlock: with the host's network it keeps a box from abstract unix sockets that others made (R7); where there are no
//! namespaces it is the fence around the box (landlock(7)).

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use testbox_bundle::{Access, Opening};
use testbox_model::SetupStep;

use crate::error::{AtStep, StepFailure};
use crate::sys::{self, LandlockRuleset};

/// The first version of Landlock's interface with scopes (Linux 6.12).
pub(crate) const FIRST_WITH_SCOPES: i64 = 6;
/// The first version that guards truncation (Linux 6.2): below it every file of the user could be emptied.
const FIRST_THAT_FENCES: i64 = 3;
const FIRST_WITH_TCP: i64 = 4;
const FIRST_WITH_DEVICE_IOCTL: i64 = 5;

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE: u64 = 1 << 4 | 1 << 5;
/// Folders, regular files, sockets, FIFOs and symbolic links; no device nodes.
const MAKE: u64 = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEVICE: u64 = 1 << 15;
/// Every right of the first version that fences.
const ALL: u64 = (1 << 15) - 1;
/// The rights that a rule for something else than a folder can give.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE;

/// Binding and connecting TCP sockets.
const TCP: u64 = 0b11;
const ABSTRACT_SOCKETS: u64 = 1;
const SIGNALS: u64 = 1 << 1;

/// The version of Landlock's interface that this kernel has; `None` if it has none or it is switched off.
pub fn landlock_version() -> Option<i64> {
    Some(sys::landlock_version()).filter(|version| *version > 0)
}

/// Can this kernel keep a box from the host's abstract unix sockets (`--net host`)? Where it cannot, reports must say so.
pub fn scopes_abstract_sockets() -> bool {
    sys::landlock_version() >= FIRST_WITH_SCOPES
}

/// The version, if it can be the fence of a box without namespaces.
pub(crate) fn fencing_version() -> Option<i64> {
    landlock_version().filter(|version| *version >= FIRST_THAT_FENCES)
}

/// Lets the calling process and its children connect only to abstract unix sockets of their own; nothing where the
/// kernel cannot. Needs no_new_privs.
pub(crate) fn scope_if_possible() -> io::Result<()> {
    if !scopes_abstract_sockets() {
        return Ok(());
    }
    sys::landlock_restrict_self(&sys::landlock_ruleset(LandlockRuleset {
        scoped: ABSTRACT_SOCKETS,
        ..Default::default()
    })?)
}

/// Closes the host's files to the calling process and its children but for `openings`, and what else this kernel's
/// Landlock can close: signals to others, abstract sockets, and without a `network` TCP. Needs no_new_privs.
pub(crate) fn fence(openings: &[Opening], network: bool) -> Result<(), StepFailure> {
    let ruleset = ruleset(sys::landlock_version(), network);
    let describe = || "make a Landlock ruleset".to_owned();
    let made = sys::landlock_ruleset(ruleset).at(SetupStep::Landlock, describe)?;
    for opening in openings {
        allow(&made, opening, ruleset.handled_access_fs)
            .at(SetupStep::Landlock, || format!("open {} to the command", opening.path.display()))?;
    }
    sys::landlock_restrict_self(&made).at(SetupStep::Landlock, || "put up the Landlock fence".to_owned())
}

/// Everything that this version handles.
fn ruleset(version: i64, network: bool) -> LandlockRuleset {
    let from = |first: i64, bits: u64| if version >= first { bits } else { 0 };
    LandlockRuleset {
        handled_access_fs: ALL | from(FIRST_WITH_DEVICE_IOCTL, IOCTL_DEVICE),
        handled_access_net: if network { 0 } else { from(FIRST_WITH_TCP, TCP) },
        scoped: from(FIRST_WITH_SCOPES, ABSTRACT_SOCKETS | SIGNALS),
    }
}

/// What the user of the box could not reach anyway stays closed.
fn allow(ruleset: &OwnedFd, opening: &Opening, handled: u64) -> io::Result<()> {
    let Some((path, is_folder)) = reach(&opening.path)? else { return Ok(()) };
    let rights = rights(opening.access) & handled & if is_folder { u64::MAX } else { OF_FILES };
    if rights == 0 { Ok(()) } else { sys::landlock_allow(ruleset, &path, rights) }
}

fn reach(path: &Path) -> io::Result<Option<(OwnedFd, bool)>> {
    use rustix::io::Errno;
    // Paths are resolved: a link in the place of a file was put there since.
    match open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
        Ok(found) => match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => Ok(None),
            kind => Ok(Some((found, kind == FileType::Directory))),
        },
    }
}

fn rights(access: Access) -> u64 {
    let read = EXECUTE | READ_FILE | READ_DIR;
    match access {
        Access::List => READ_DIR,
        Access::Read => read,
        Access::Write => read | WRITE_FILE | REMOVE | MAKE | REFER | TRUNCATE,
        Access::Device => READ_FILE | WRITE_FILE | IOCTL_DEVICE,
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    fn address(of: &str) -> SocketAddr {
        SocketAddr::from_abstract_name(format!("testbox-test-{of}-{}", std::process::id())).unwrap()
    }

    // Landlock binds a thread: this one, and not the others of the test program.
    fn confined<T: Send + 'static>(
        confine: impl FnOnce() + Send + 'static,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let confined = move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            confine();
            work()
        };
        std::thread::spawn(confined).join().unwrap()
    }

    fn in_scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        confined(|| scope_if_possible().unwrap(), work)
    }

    #[test]
    fn an_abstract_socket_of_the_host_is_out_of_reach_where_the_kernel_scopes() {
        let _host = UnixListener::bind_addr(&address("host")).unwrap();
        let reached = in_scope(|| UnixStream::connect_addr(&address("host")).map(drop).map_err(|error| error.kind()));
        let expected = if scopes_abstract_sockets() { Err(io::ErrorKind::PermissionDenied) } else { Ok(()) };
        assert_eq!(reached, expected);
    }

    #[test]
    fn an_abstract_socket_of_its_own_works() {
        in_scope(|| {
            let _own = UnixListener::bind_addr(&address("own")).unwrap();
            UnixStream::connect_addr(&address("own")).unwrap();
        });
    }

    #[test]
    fn only_what_is_opened_can_be_read_or_written() {
        if fencing_version().is_none() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["read", "write", "list", "closed"] {
            fs_err::create_dir(path(name)).unwrap();
            fs_err::write(path(name).join("file"), "old").unwrap();
        }
        let open = |name: &str, access| Opening { path: path(name), access };
        let openings = vec![
            open("read", Access::Read),
            open("write", Access::Write),
            open("list", Access::List),
            open("missing", Access::Write),
            open("write/file", Access::Write),
        ];
        let at = path("");
        let seen = confined(
            move || fence(&openings, false).unwrap(),
            move || {
                let of = |name: &str| {
                    let folder = at.join(name);
                    (
                        fs_err::read(folder.join("file")).is_ok(),
                        fs_err::write(folder.join("file"), "new").is_ok(),
                        fs_err::write(folder.join("other"), "new").is_ok(),
                        fs_err::read_dir(&folder).is_ok(),
                    )
                };
                ["read", "write", "list", "closed"].map(of)
            },
        );
        assert_eq!(
            seen,
            [
                (true, false, false, true),
                (true, true, true, true),
                (false, false, false, true),
                (false, false, false, false)
            ]
        );
    }

    #[test]
    fn an_older_kernel_is_asked_for_what_it_knows() {
        let third = LandlockRuleset { handled_access_fs: 0x7fff, handled_access_net: 0, scoped: 0 };
        assert_eq!(ruleset(3, false), third);
        assert_eq!(ruleset(4, true), third);
        assert_eq!(ruleset(4, false), LandlockRuleset { handled_access_net: 3, ..third });
        let newest = LandlockRuleset { handled_access_fs: 0xffff, handled_access_net: 3, scoped: 3 };
        assert_eq!(ruleset(7, false), newest);
    }
}
