//! The OCI configuration of the box that testbox launches itself.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxCapabilities, LinuxNamespaceType, Mount, Spec};
use testbox_model::Net;

use super::fixture::{Fake, set};
use crate::bundle::{BoxMount, Bundle, Source};
use crate::{BundleError, Placement, oci_spec};

fn launched(bundle: &Bundle) -> Spec {
    let staged = |mount: &BoxMount, index: usize| {
        let is_staged = matches!(mount.source, Source::View { .. } | Source::Scratch { .. } | Source::Bind { .. });
        is_staged.then(|| PathBuf::from(format!("/stage/{index}")))
    };
    let rootfs = Path::new("/stage/root");
    let placement = Placement::launched(rootfs, &staged, LinuxCapabilities::default(), "/testbox-1".into());
    oci_spec(bundle, &placement).unwrap()
}

fn options<'s>(spec: &'s Spec, place: &str) -> (&'s Mount, String) {
    let mounts = spec.mounts().as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.destination() == Path::new(place)).unwrap();
    (mount, mount.options().as_ref().unwrap().join(","))
}

#[test]
fn staged_mounts_are_binds_and_the_kernels_are_typed() {
    let spec = launched(&Fake::new().build("/bin/true").unwrap());
    let (project, project_options) = options(&spec, "/home/u/proj");
    assert_eq!(project_options, "rbind,rw,rnosuid,rnodev");
    assert!(project.source().as_ref().unwrap().starts_with("/stage"));
    assert_eq!(options(&spec, "/usr").1, "rbind,rro,rnosuid,rnodev");
    assert_eq!(options(&spec, "/tmp").1, "rbind,rw,rnosuid,rnodev");
    assert_eq!(options(&spec, "/sys").1, "nosuid,noexec,nodev,ro");
    assert_eq!(options(&spec, "/dev").1, "nosuid,mode=755,size=1048576,nr_inodes=1024");
    assert_eq!(options(&spec, "/dev/shm").1, "nosuid,nodev,mode=1777,size=67108864,nr_inodes=4096");
    assert_eq!(options(&spec, "/dev/pts").1, "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
}

#[test]
fn the_runtime_is_left_no_cgroup_work_and_no_user_namespace() {
    let fake = Fake::new();
    let spec = launched(&fake.build("/bin/true").unwrap());
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.resources().is_none() && linux.seccomp().is_none() && linux.devices().is_none());
    assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/testbox-1")));
    let types = |spec: &Spec| -> Vec<LinuxNamespaceType> {
        let namespaces = spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
        namespaces.iter().map(|namespace| namespace.typ()).collect()
    };
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    assert_eq!(types(&spec), [Pid, Mount, Ipc, Uts, Cgroup, Network]);
    let mut plan = fake.plan("/bin/true");
    plan.net = set(Net::Host);
    assert!(!types(&launched(&crate::build(&plan, &fake.host).unwrap())).contains(&Network));
    let process = spec.process().as_ref().unwrap();
    assert_eq!((process.user().uid(), process.user().gid()), (0, 0));
    assert_eq!(process.no_new_privileges(), Some(true));
    assert!(spec.root().as_ref().unwrap().readonly().unwrap() && spec.hooks().is_none());
}

#[test]
fn a_view_needs_a_place_for_what_is_written() {
    let bundle = Fake::new().build("/bin/true").unwrap();
    let placement =
        Placement::launched(Path::new("/r"), &|_, _| None, LinuxCapabilities::default(), "/testbox-1".into());
    let error = oci_spec(&bundle, &placement).unwrap_err();
    assert!(matches!(error, BundleError::NoLayers { .. }), "{error}");
}
