//! The OCI configuration of the box that testbox launches itself.

use std::path::Path;

use oci_spec::runtime::{LinuxCapabilities, LinuxNamespaceType, Mount, Spec};
use testbox_model::Net;

use super::fixture::{Fake, set};
use crate::bundle::{BoxMount, Bundle, Source};
use crate::{BundleError, Layers, Namespaces, Placement, oci_spec};

fn launched(bundle: &Bundle) -> Spec {
    oci_spec(bundle, &placement(|source| *source != Source::Proc)).unwrap()
}

fn placement(staged: fn(&Source) -> bool) -> Placement<'static> {
    Placement::launched(Path::new("/stage/root"), staged, LinuxCapabilities::default(), "/testbox-1".into())
}

fn types(spec: &Spec) -> Vec<LinuxNamespaceType> {
    let namespaces = spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
    namespaces.iter().map(|namespace| namespace.typ()).collect()
}

fn options<'s>(spec: &'s Spec, place: &str) -> (&'s Mount, String) {
    let mounts = spec.mounts().as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.destination() == Path::new(place)).unwrap();
    (mount, mount.options().as_ref().unwrap().join(","))
}

#[test]
fn what_is_staged_is_left_out() {
    let spec = launched(&Fake::new().build("/bin/true").unwrap());
    let places: Vec<_> = spec.mounts().iter().flatten().map(|mount| mount.destination().as_path()).collect();
    assert_eq!(places, [Path::new("/proc")]);
    assert_eq!(options(&spec, "/proc").1, "nosuid,noexec,nodev");
    assert_eq!(types(&spec), [LinuxNamespaceType::Pid, LinuxNamespaceType::Mount], "the others are entered before");
    assert_eq!(spec.hostname(), &None, "it is set before");
}

#[test]
fn what_a_runtime_makes_itself_is_typed() {
    let layers = |_: &BoxMount, _| Some(Layers { upper: "/upper".into(), work: "/work".into() });
    let runtime = Placement { layers: &layers, namespaces: Namespaces::All, ..placement(|_| false) };
    let fake = Fake::new();
    let spec = oci_spec(&fake.build("/bin/true").unwrap(), &runtime).unwrap();
    let (project, project_options) = options(&spec, "/home/u/proj");
    assert_eq!(project_options, "nosuid,nodev,lowerdir=/home/u/proj,upperdir=/upper,workdir=/work");
    assert_eq!(project.source().as_deref(), Some(Path::new("overlay")));
    assert_eq!(options(&spec, "/usr").1, "rbind,rro,rnosuid,rnodev");
    assert_eq!(options(&spec, "/tmp").1, "nosuid,nodev,mode=1777,size=67108864,nr_inodes=4096,uid=0,gid=0");
    assert_eq!(options(&spec, "/sys").1, "nosuid,noexec,nodev,ro");
    assert_eq!(options(&spec, "/dev").1, "nosuid,mode=755,size=1048576,nr_inodes=1024");
    assert_eq!(options(&spec, "/dev/shm").1, "nosuid,nodev,mode=1777,size=67108864,nr_inodes=4096");
    assert_eq!(options(&spec, "/dev/pts").1, "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    assert_eq!(types(&spec), [Pid, Mount, Ipc, Uts, Cgroup, Network]);
    let mut plan = fake.plan("/bin/true");
    plan.net = set(Net::Host);
    let shared = oci_spec(&crate::build(&plan, &fake.host).unwrap(), &runtime).unwrap();
    assert!(!types(&shared).contains(&Network));
}

#[test]
fn the_runtime_is_left_no_cgroup_work_and_no_user_namespace() {
    let spec = launched(&Fake::new().build("/bin/true").unwrap());
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.resources().is_none() && linux.seccomp().is_none() && linux.devices().is_none());
    assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/testbox-1")));
    let process = spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (0, 0));
    assert_eq!(process.no_new_privileges(), Some(true));
    assert!(spec.root().as_ref().unwrap().readonly().unwrap() && spec.hooks().is_none());
}

#[test]
fn a_view_needs_a_place_for_what_is_written() {
    let bundle = Fake::new().build("/bin/true").unwrap();
    let error = oci_spec(&bundle, &placement(|_| false)).unwrap_err();
    assert!(matches!(error, BundleError::NoLayers { .. }), "{error}");
}
