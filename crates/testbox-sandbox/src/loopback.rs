//! Brings up the loopback interface of the box's network namespace.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use testbox_model::SetupStep;

use crate::error::{AtStep, StepFailure};
use crate::sys;

/// Brings up `lo`; needs CAP_NET_ADMIN over the network namespace.
pub(crate) fn bring_up() -> Result<(), StepFailure> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .at(SetupStep::Loopback, || "open a socket".to_owned())?;
    sys::set_loopback_up(&socket).at(SetupStep::Loopback, || "set `lo` up".to_owned())
}
