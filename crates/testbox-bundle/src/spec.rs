//! A bundle as an OCI runtime configuration: for the sandbox, which staged the mounts, or for an exported folder.

mod mount;
mod resources;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCapabilities, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources,
    LinuxSeccomp, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};
use testbox_model::Net;

pub(crate) use resources::of_limits as resources_of_limits;

use crate::bundle::{BoxMount, Bundle, Resource, Rlimit, Source};
use crate::error::BundleError;

/// The version of the runtime specification that every value here is part of.
const OCI_VERSION: &str = "1.0.2";

/// Where the pieces of a box lie, and what the runtime itself has to do.
pub struct Placement<'a> {
    /// The root file system with the skeleton.
    pub rootfs: &'a Path,
    /// Is a mount of this kind in the root file system already? The runtime makes the others.
    pub staged: fn(&Source) -> bool,
    /// The written layer of a view that the runtime mounts itself.
    pub layers: &'a dyn Fn(&BoxMount, usize) -> Option<Layers>,
    /// User and group of the process, as the runtime's user namespace numbers them.
    pub user: (u32, u32),
    /// The five capability sets.
    pub capabilities: LinuxCapabilities,
    /// The cgroup that the runtime joins.
    pub cgroups_path: Option<PathBuf>,
    /// The limits that the runtime sets on it.
    pub resources: Option<LinuxResources>,
    /// The filter that the runtime loads.
    pub seccomp: Option<LinuxSeccomp>,
    /// The runtime makes a pseudo terminal.
    pub terminal: bool,
    /// Which namespaces the runtime makes.
    pub namespaces: Namespaces,
}

/// The namespaces that a runtime makes; never the user's, which the launcher made, or an export does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespaces {
    /// All that the bundle asks for.
    All,
    /// Only those that take a new process or a new root: whoever calls the runtime is in the others already.
    PidAndMount,
}

/// The written layer of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// Receives what is written.
    pub upper: PathBuf,
    /// overlayfs' own; empty, on the same file system.
    pub work: PathBuf,
}

impl<'a> Placement<'a> {
    /// The box that testbox launches itself: mounts staged, limits and filters applied by testbox's own processes, the
    /// process root of the launcher's user namespace and in its other namespaces.
    pub fn launched(
        rootfs: &'a Path,
        staged: fn(&Source) -> bool,
        capabilities: LinuxCapabilities,
        cgroups_path: PathBuf,
    ) -> Self {
        Self {
            rootfs,
            staged,
            layers: &|_, _| None,
            user: (0, 0),
            capabilities,
            cgroups_path: Some(cgroups_path),
            resources: None,
            seccomp: None,
            terminal: false,
            namespaces: Namespaces::PidAndMount,
        }
    }
}

/// The OCI configuration of a bundle. Arguments and variables that are not UTF-8 are shown with replacements: whoever
/// launches takes them from [`Bundle::process`].
///
/// # Errors
/// A view is neither staged nor has layers; or oci-spec refuses a value, which is a fault of testbox.
pub fn oci_spec(bundle: &Bundle, placement: &Placement<'_>) -> Result<Spec, BundleError> {
    let mounts = bundle.mounts.iter().enumerate().filter(|(_, item)| !(placement.staged)(&item.source));
    let mounts = mounts.map(|(index, item)| mount::convert(bundle, item, index, placement));
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    let root = RootBuilder::default().path(placement.rootfs).readonly(true).build().map_err(faulty("the root"))?;
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        .root(root)
        .mounts(mounts)
        .process(process(bundle, placement)?)
        .linux(linux(bundle, placement)?)
        .build()
        .map_err(faulty("the configuration"))?;
    spec.set_hostname((placement.namespaces == Namespaces::All).then(|| bundle.hostname.clone()));
    Ok(spec)
}

fn process(bundle: &Bundle, placement: &Placement<'_>) -> Result<Process, BundleError> {
    let (uid, gid) = placement.user;
    let user = UserBuilder::default().uid(uid).gid(gid).build().map_err(faulty("the user"))?;
    let rlimits = bundle.rlimits.iter().map(rlimit).collect::<Result<Vec<_>, _>>()?;
    let variable = |(name, value): &(OsString, OsString)| format!("{}={}", name.display(), value.display());
    let (mut args, mut env): (&[_], Vec<_>) = (&bundle.process.argv, bundle.process.env.iter().collect());
    if placement.namespaces == Namespaces::PidAndMount {
        // Whoever launches executes the command itself; the runtime only wants to see one, and a HOME.
        args = args.get(..1).unwrap_or_default();
        env.retain(|(name, _)| name == "HOME");
    }
    ProcessBuilder::default()
        .terminal(placement.terminal)
        .user(user)
        .args(args.iter().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>())
        .env(env.into_iter().map(variable).collect::<Vec<_>>())
        .cwd(bundle.process.cwd.clone())
        .capabilities(placement.capabilities.clone())
        .rlimits(rlimits)
        .no_new_privileges(true)
        .build()
        .map_err(faulty("the process"))
}

fn rlimit(limit: &Rlimit) -> Result<PosixRlimit, BundleError> {
    let typ = match limit.resource {
        Resource::Nofile => PosixRlimitType::RlimitNofile,
        Resource::Core => PosixRlimitType::RlimitCore,
        Resource::Fsize => PosixRlimitType::RlimitFsize,
    };
    let builder = PosixRlimitBuilder::default().typ(typ).hard(limit.value).soft(limit.value);
    builder.build().map_err(faulty("a resource limit"))
}

fn linux(bundle: &Bundle, placement: &Placement<'_>) -> Result<Linux, BundleError> {
    let text = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let builder = LinuxBuilder::default()
        .namespaces(namespaces(placement.namespaces, bundle.net)?)
        .masked_paths(text(&bundle.masked_paths))
        .readonly_paths(text(&bundle.readonly_paths));
    let mut linux = builder.build().map_err(faulty("the Linux part"))?;
    linux.set_resources(placement.resources.clone());
    linux.set_cgroups_path(placement.cgroups_path.clone());
    linux.set_seccomp(placement.seccomp.clone());
    linux.set_devices(None);
    Ok(linux)
}

fn namespaces(wanted: Namespaces, net: Net) -> Result<Vec<LinuxNamespace>, BundleError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let types = match (wanted, net) {
        (Namespaces::PidAndMount, _) => vec![Pid, Mount],
        (Namespaces::All, Net::Host) => vec![Pid, Mount, Ipc, Uts, Cgroup],
        (Namespaces::All, Net::None) => vec![Pid, Mount, Ipc, Uts, Cgroup, Network],
    };
    let types = types.into_iter();
    types.map(|typ| LinuxNamespaceBuilder::default().typ(typ).build().map_err(faulty("a namespace"))).collect()
}

pub(crate) fn faulty(what: &'static str) -> impl Fn(OciSpecError) -> BundleError {
    move |source| BundleError::Spec { what, source }
}
