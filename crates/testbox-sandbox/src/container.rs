//! Drives libcontainer: config.json on the stage, build, start.

use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, Spec};
use testbox_bundle::{Bundle, Placement, oci_spec};
use testbox_model::{InitMessage, SetupStep};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::init::Init;
use crate::staging::{self, Staged};
use crate::trail::Trail;

/// Builds the container and lets its init go on.
///
/// The cgroups path is fresh, absolute and never empty: libcontainer's clean-up kills what is listed in a path that it
/// takes for its own (`""` and `/` would be everybody).
pub(crate) fn create(
    bundle: &Bundle,
    box_id: &str,
    staged: &Staged,
    init: Init,
    channel: &Channel,
) -> Result<(), StepFailure> {
    let write = || "write config.json".to_owned();
    let text = serde_json::to_vec(&spec(bundle, box_id)?).at(SetupStep::Container, write)?;
    fs_err::write(staged.bundle.join("config.json"), text).at(SetupStep::Container, write)?;
    let trail = Trail::start().at(SetupStep::Container, || "collect libcontainer's errors".to_owned())?;
    let with_causes = |error: libcontainer::error::LibcontainerError| StepFailure {
        step: SetupStep::Container,
        errno: 0,
        detail: format!("{error}: {}", trail.read()),
    };
    let mut container = ContainerBuilder::new(box_id.to_owned(), SyscallType::default())
        .with_root_path(&staged.state)
        .map_err(with_causes)?
        .with_executor(init)
        .as_init(&staged.bundle)
        .with_systemd(false)
        .with_detach(true)
        .as_sibling(true)
        .build()
        .map_err(with_causes)?;
    let pid = container.pid().map(|pid| pid.as_raw()).unwrap_or_default();
    channel.send(&InitMessage::Created { pid }, &[]).at(SetupStep::Container, || "announce the init".to_owned())?;
    container.start().map_err(with_causes)
}

/// The configuration of what is left to do: everything that was staged is part of the root file system already.
fn spec(bundle: &Bundle, box_id: &str) -> Result<Spec, StepFailure> {
    let cgroups_path = PathBuf::from(format!("/{box_id}"));
    let placement = Placement::launched(Path::new("rootfs"), staging::stages, init_capabilities()?, cgroups_path);
    oci_spec(bundle, &placement)
        .map_err(std::io::Error::other)
        .at(SetupStep::Container, || "write config.json".to_owned())
}

/// What the init needs until the payload is forked: CAP_SETFCAP to map user 0 onto the payload's user
/// (user_namespaces(7)), CAP_SETPCAP to empty its bounding set afterwards.
fn init_capabilities() -> Result<LinuxCapabilities, StepFailure> {
    let needed: std::collections::HashSet<_> = [Capability::Setfcap, Capability::Setpcap].into_iter().collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(needed.clone())
        .effective(needed.clone())
        .permitted(needed)
        .inheritable(std::collections::HashSet::new())
        .ambient(std::collections::HashSet::new())
        .build()
        .map_err(std::io::Error::other)
        .at(SetupStep::Container, || "list the init's capabilities".to_owned())
}
