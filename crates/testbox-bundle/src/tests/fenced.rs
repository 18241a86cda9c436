//! Bundles for hosts that make no namespaces: what is opened of the host's files.

use std::path::Path;

use super::fixture::{Fake, PROJECT, set};
use crate::{Access, Bundle, BundleError, Entry, Fence};

const SCRATCH: &str = "/tmp/testbox-x";

fn fence(fake: &Fake, bundle: &mut Bundle) -> Fence {
    bundle.fence(&fake.host, Path::new(SCRATCH)).unwrap()
}

/// What a path is opened for, by the opening at it.
fn access(fence: &Fence, path: &str) -> Vec<Access> {
    let at = fence.openings.iter().filter(|opening| opening.path == Path::new(path));
    at.map(|opening| opening.access).collect()
}

fn below_project(fence: &Fence) -> Vec<(String, Access)> {
    let below = fence.openings.iter().filter_map(|opening| {
        let rest = opening.path.strip_prefix(PROJECT).ok()?;
        Some((rest.to_string_lossy().into_owned(), opening.access))
    });
    below.collect()
}

#[test]
fn the_system_is_read_and_scratch_is_written() {
    let fake = Fake::new();
    fake.dir("/dev/shm").file("/etc/shadow", "x").file(&format!("{PROJECT}/a.py"), "");
    let mut bundle = fake.build("/bin/true").unwrap();
    let fence = fence(&fake, &mut bundle);
    assert_eq!(access(&fence, "/usr"), [Access::Read]);
    assert_eq!(access(&fence, "/etc/passwd"), [Access::Read]);
    assert_eq!(access(&fence, "/dev/shm"), [Access::Write]);
    assert_eq!(access(&fence, "/dev/null"), [Access::Device]);
    for closed in ["/", "/etc", "/etc/shadow", "/home", "/home/u", "/home/u/.ssh", "/tmp", "/dev", "/dev/pts", "/sys"] {
        assert_eq!(access(&fence, closed), [], "{closed}");
    }
    // The folder of reports is never opened, and so not the project whole.
    assert_eq!(below_project(&fence), [(String::new(), Access::List), ("a.py".to_owned(), Access::Read)]);
    for name in ["home", "tmp"] {
        assert_eq!(access(&fence, &format!("{SCRATCH}/{name}")), [Access::Write]);
    }
    let env = |name: &str| bundle.process.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    assert_eq!(env("HOME").unwrap(), format!("{SCRATCH}/home").as_str());
    assert_eq!(env("TMPDIR").unwrap(), format!("{SCRATCH}/tmp").as_str());
}

#[test]
fn what_the_host_obeys_stays_closed_to_writing() {
    let fake = Fake::new();
    let path = |name: &str| format!("{PROJECT}/{name}");
    fake.file(&path(".git/config"), "").file(&path("a.py"), "").file(&path(".testbox/last/testbox.json"), "");
    fake.file(&path("src/.env"), "").file(&path("src/b.py"), "").link(&path("link"), "/etc/shadow");
    let mut plan = fake.plan("/bin/true");
    plan.view.write = set(true);
    plan.view.hide = set(vec!["src/.env".into()]);
    let mut bundle = crate::build(&plan, &fake.host).unwrap();
    let mut opened = below_project(&fence(&fake, &mut bundle));
    opened.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("", Access::List),
        (".git", Access::Read),
        ("a.py", Access::Write),
        ("src", Access::List),
        ("src/b.py", Access::Write),
    ];
    assert_eq!(opened, expected.map(|(name, access)| (name.to_owned(), access)));
}

#[test]
fn a_folder_whose_names_could_be_listed_cannot_be_hidden() {
    let fake = Fake::new();
    fake.dir(&format!("{PROJECT}/secrets"));
    let mut plan = fake.plan("/bin/true");
    plan.view.hide = set(vec!["secrets".into()]);
    let mut bundle = crate::build(&plan, &fake.host).unwrap();
    let error = bundle.fence(&fake.host, Path::new(SCRATCH)).unwrap_err();
    assert!(matches!(error, BundleError::CannotHide { path } if path.ends_with("secrets")));
    plan.view.hide = set(vec!["/home/u/.ssh".into()]);
    let mut bundle = crate::build(&plan, &fake.host).unwrap();
    fence(&fake, &mut bundle);
}

#[test]
fn the_plugin_lies_in_the_scratch_folder() {
    let fake = Fake::new();
    fake.file("/usr/lib/python3.11/site-packages/pytest/__init__.py", "");
    fake.file("/usr/lib/python3.11/site-packages/pytest-8.0.dist-info/METADATA", "Version: 8.0\n");
    let mut bundle = fake.build("python3 -m pytest").unwrap();
    let fence = fence(&fake, &mut bundle);
    let init = Path::new(SCRATCH).join("python/testbox_plugin/__init__.py");
    assert!(fence.files.iter().any(|entry| matches!(entry, Entry::File { path, .. } if *path == init)));
    let path = bundle.process.env.iter().find(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value.clone());
    assert_eq!(path.unwrap(), format!("{SCRATCH}/python").as_str());
}
