//! With the host's network the box shares its abstract unix sockets: Landlock keeps it from those that others made (R7).

use std::io;

use crate::sys;

/// The first version of Landlock's interface with scopes (Linux 6.12).
const FIRST_WITH_SCOPES: i64 = 6;

/// The version of Landlock's interface that this kernel has; `None` if it has none or it is switched off.
pub fn landlock_version() -> Option<i64> {
    Some(sys::landlock_version()).filter(|version| *version > 0)
}

/// Can this kernel keep a box from the host's abstract unix sockets (`--net host`)? Where it cannot, reports must say so.
pub fn scopes_abstract_sockets() -> bool {
    sys::landlock_version() >= FIRST_WITH_SCOPES
}

/// Lets the calling process and its children connect only to abstract unix sockets of their own; nothing where the
/// kernel cannot. Needs no_new_privs.
pub(crate) fn scope_if_possible() -> io::Result<()> {
    if scopes_abstract_sockets() { sys::scope_abstract_sockets() } else { Ok(()) }
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
    fn in_scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let confined = move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            scope_if_possible().unwrap();
            work()
        };
        std::thread::spawn(confined).join().unwrap()
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
}
