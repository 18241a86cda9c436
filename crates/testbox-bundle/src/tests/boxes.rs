//! What a box looks like: mounts, root file system, identity, environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use testbox_model::{Bytes, EnvRule, Net};

use super::fixture::{Fake, PROJECT, lines, links, own_lines, set, site, variable};
use crate::bundle::{Bundle, Entry, Identity, Resource, Source};

fn file<'b>(bundle: &'b Bundle, path: &str) -> Option<&'b str> {
    bundle.skeleton.iter().find_map(|entry| match entry {
        Entry::File { path: at, content, .. } if at == Path::new(path) => Some(std::str::from_utf8(content).unwrap()),
        _ => None,
    })
}

#[test]
fn a_plain_box_shows_the_system_and_a_view_of_the_project() {
    let bundle = Fake::new().build("/bin/true").unwrap();
    assert_eq!(
        lines(&bundle),
        [
            "/dev tmpfs rw",
            "/dev/mqueue mqueue rw",
            "/dev/pts devpts rw",
            "/dev/shm tmpfs rw",
            "/home/testbox scratch home rw",
            "/home/u/proj view rw",
            "/proc proc rw",
            "/run scratch run rw",
            "/sys sysfs ro",
            "/tmp scratch tmp rw",
            "/usr folder ro",
            "/var/tmp scratch var-tmp rw",
        ]
    );
    assert!(bundle.skeleton.contains(&Entry::Symlink { path: "/bin".into(), target: "usr/bin".into() }));
    assert!(bundle.skeleton.contains(&Entry::Dir { path: "/home/u/proj".into(), mode: 0o755 }));
    assert_eq!(bundle.hostname, "testbox");
    let rlimits: Vec<_> = bundle.rlimits.iter().map(|rlimit| (rlimit.resource, rlimit.value)).collect();
    assert_eq!(rlimits, [(Resource::Nofile, 1024), (Resource::Core, 0)]);
    assert!(!bundle.filters.is_empty());
}

#[test]
fn a_host_without_merged_usr_has_its_folders_bound() {
    let fake = Fake::new();
    fs_err::remove_file(fake.real("/bin")).unwrap();
    fake.program("/bin/true").dir("/lib64");
    let lines = lines(&fake.build("/bin/true").unwrap());
    assert!(
        lines.contains(&"/bin folder ro".to_owned()) && lines.contains(&"/lib64 folder ro".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn parents_come_before_children_and_no_place_twice() {
    let mut fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11").dir("/home/u/data/deep").dir(&format!("{PROJECT}/.git"));
    let mut plan = fake.plan("pytest");
    plan.view.write = set(true);
    plan.view.ro = set(vec!["/home/u/data".into(), "/home/u/data/deep".into()]);
    plan.view.rw = set(vec![format!("{PROJECT}/.venv/bin").into()]);
    fake.set("VIRTUAL_ENV", &format!("{PROJECT}/.venv"));
    let bundle = crate::build(&plan, &fake.host).unwrap();
    let places: Vec<&PathBuf> = bundle.mounts.iter().map(|mount| &mount.destination).collect();
    for (index, place) in places.iter().enumerate() {
        assert!(places[index + 1..].iter().all(|later| !place.starts_with(later)), "{place:?} after its child");
    }
    assert!(bundle.skeleton.iter().map(crate::skeleton::path_of).is_sorted());
}

#[test]
fn a_written_project_keeps_what_the_host_obeys_read_only() {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11").dir(&format!("{PROJECT}/.git"));
    fake.file(&format!("{PROJECT}/pyproject.toml"), "").dir("/srv/else").venv("/srv/env", "/usr/bin", "3.11");
    let mut plan = fake.plan("/srv/env/bin/pytest");
    plan.view.write = set(true);
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(
        own_lines(&bundle),
        [
            "/home/u/proj folder rw",
            "/home/u/proj/.git folder ro",
            "/home/u/proj/.venv folder ro",
            "/home/u/proj/pyproject.toml file ro",
            "/srv/env folder ro",
        ]
    );
    assert_eq!(bundle.must_stay_absent, [Path::new("/home/u/proj/testbox.toml")]);
    assert!(fake.build("/bin/true").unwrap().must_stay_absent.is_empty());
}

#[test]
fn flags_show_and_hide() {
    let fake = Fake::new();
    fake.dir("/home/u/data").file(&format!("{PROJECT}/.env"), "KEY").link(&format!("{PROJECT}/secret"), ".env");
    fake.dir(&format!("{PROJECT}/out"));
    let mut plan = fake.plan("/bin/true");
    plan.view.ro = set(vec!["/home/u/data".into(), "/usr/bin".into()]);
    plan.view.rw = set(vec!["out".into()]);
    plan.view.hide = set(vec!["secret".into(), "/home/u/.ssh/id".into(), "not-there".into()]);
    plan.view.hide_named = vec!["secret".into(), "not-there".into()];
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/data folder ro", "/home/u/proj view rw", "/home/u/proj/out folder rw"]);
    let masked: Vec<_> = bundle.masked_paths.iter().filter(|path| path.starts_with("/home")).collect();
    assert_eq!(masked, ["/home/u/proj/.env", "/home/u/proj/.testbox", "/home/u/proj/.testbox/last"].map(Path::new));
    assert_eq!(bundle.notes, ["`--hide not-there`: nothing is there to hide"]);
    plan.view.hide_named = vec![];
    assert!(crate::build(&plan, &fake.host).unwrap().notes.is_empty(), "a policy names what may be there");
}

#[test]
fn flags_that_cannot_hold_are_refused() {
    let fake = Fake::new();
    fake.dir("/proc/1").dir(&format!("{PROJECT}/sub"));
    for (ro, rw, hide, part) in [
        (Some("/proc/1"), None, None, "`--ro /proc/1` cannot be shown in the box: the box has its own"),
        (None, Some("/"), None, "`--rw /` cannot be shown"),
        (None, Some("/etc"), None, "it belongs to the system"),
        (None, Some("."), None, "read-write with `--write`"),
        (Some("/nope"), None, None, "`--ro /nope` names nothing on this machine: `/nope` does not exist"),
        (None, None, Some("."), "`--hide .` would hide the working directory"),
    ] {
        let mut plan = fake.plan("/bin/true");
        let list = |path: Option<&str>| set(path.map(PathBuf::from).into_iter().collect());
        (plan.view.ro, plan.view.rw, plan.view.hide) = (list(ro), list(rw), list(hide));
        let (message, _) = super::fixture::told(&crate::build(&plan, &fake.host).unwrap_err());
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn links_below_a_scratch_folder_become_binds() {
    let mut fake = Fake::new();
    fake.venv("/srv/env", "/usr/bin", "3.11").link("/tmp/env", "/srv/env");
    fake.set("VIRTUAL_ENV", "/tmp/env");
    let bundle = fake.build("pytest").unwrap();
    let bound = bundle.mounts.iter().find(|mount| mount.destination == Path::new("/tmp/env")).unwrap();
    assert!(matches!(&bound.source, Source::Bind { path, .. } if path == Path::new("/srv/env")));
    assert_eq!(links(&bundle), Vec::<String>::new());
}

#[test]
fn home_gives_way_to_what_lies_there() {
    let mut fake = Fake::new();
    fake.venv("/home/testbox/env", "/usr/bin", "3.11");
    fake.set("VIRTUAL_ENV", "/home/testbox/env");
    let bundle = fake.build("pytest").unwrap();
    assert_eq!(variable(&bundle, "HOME").unwrap(), "/home/testbox-home");
    assert!(file(&bundle, "/etc/passwd").unwrap().contains("testbox:x:1000:1000:testbox:/home/testbox-home:/bin/sh"));
    let mut plan = fake.plan("pytest");
    plan.view.ro = set(vec!["/home".into()]);
    assert_eq!(variable(&crate::build(&plan, &fake.host).unwrap(), "HOME").unwrap(), "/testbox-home");
}

#[test]
fn a_project_behind_a_link_or_in_tmp_keeps_both_names() {
    let fake = Fake::new();
    fake.dir("/tmp/work/p/sub").link("/home/u/p", "/tmp/work/p");
    let mut plan = super::fixture::plan(vec!["/bin/true".into()], Path::new("/home/u/p"));
    plan.cwd = "/home/u/p/sub".into();
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(own_lines(&bundle), ["/tmp/work/p view rw"]);
    assert_eq!(links(&bundle), ["/home/u/p -> /tmp/work/p"]);
    assert_eq!(bundle.process.cwd, Path::new("/tmp/work/p/sub"));
}

#[test]
fn projects_with_spaces_newlines_and_long_names_work_but_not_utf_8() {
    let fake = Fake::new();
    let odd = format!("/home/u/a b\n{}", "x".repeat(200));
    fake.dir(&odd);
    let plan = super::fixture::plan(vec!["/bin/true".into()], Path::new(&odd));
    assert!(crate::build(&plan, &fake.host).is_ok());

    let bad = PathBuf::from(OsString::from_vec(b"/home/u/\xff".to_vec()));
    fs_err::create_dir(fake.host.at(&bad)).unwrap();
    let error = crate::build(&super::fixture::plan(vec!["/bin/true".into()], &bad), &fake.host).unwrap_err();
    assert!(error.to_string().contains("the path of the project is not UTF-8"), "{error}");
}

#[test]
fn root_becomes_another_user_and_its_own_files_are_shifted() {
    let mut fake = Fake::new();
    fake.host.euid = 0;
    fake.dir("/srv/closed");
    let chmod = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs_err::set_permissions(fake.real("/srv/closed"), chmod(0o700)).unwrap();
    if fs_err::metadata(fake.real("/srv")).map(|found| std::os::unix::fs::MetadataExt::uid(&found)).unwrap() != 0 {
        let bundle = fake.build("/bin/true").unwrap();
        assert_ne!(bundle.identity.host_uid, 0);
        return;
    }
    let mut plan = fake.plan("/bin/true");
    plan.view.ro = set(vec!["/srv/closed".into()]);
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(bundle.identity, Identity { host_uid: 735_700, host_gid: 735_700, box_uid: 1000, box_gid: 1000 });
    assert_eq!(own_lines(&bundle), ["/home/u/proj view shifted rw", "/srv/closed folder shifted ro"]);
}

#[test]
fn the_environment_is_scrubbed_and_says_where_it_is() {
    let mut fake = Fake::new();
    fake.set("AWS_SECRET", "x").set("LC_ALL", "de_DE.UTF-8").set("TERM", "xterm").set("HOME", "/home/u");
    fake.host.environment.push(("LC_ODD".into(), OsString::from_vec(vec![0xff])));
    let mut plan = fake.plan("/bin/true");
    plan.env.value.push(EnvRule::Set { name: "MODE".into(), value: "a=b".into() });
    let bundle = crate::build(&plan, &fake.host).unwrap();
    let names: Vec<_> = bundle.process.env.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "HOME",
            "LANG",
            "LC_ALL",
            "LC_ODD",
            "LOGNAME",
            "MODE",
            "PATH",
            "SHELL",
            "TERM",
            "TESTBOX_BOX",
            "TMPDIR",
            "USER"
        ]
    );
    let odd = bundle.process.env.iter().find(|(name, _)| name == "LC_ODD").unwrap();
    assert_eq!(odd.1, OsString::from_vec(vec![0xff]));
    assert_eq!(variable(&bundle, "TERM").unwrap(), "xterm");
    assert_eq!(variable(&bundle, "HOME").unwrap(), "/home/testbox");
}

#[test]
fn etc_is_generated_and_copied() {
    let fake = Fake::new();
    fake.file("/etc/services", "http 80/tcp\n").file("/etc/shadow", "root:!").file("/etc/gitconfig", "token");
    fake.link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin").file("/usr/share/zoneinfo/Europe/Berlin", "TZif");
    fake.file("/etc/ld.so.conf.d/a.conf", "/opt/lib").dir("/etc/ssl/certs").dir("/etc/ssl/private");
    fake.link("/etc/resolv.conf", "../run/resolv.conf").file("/run/resolv.conf", "nameserver 10.0.0.1\n");
    let bundle = fake.build("/bin/true").unwrap();
    assert_eq!(file(&bundle, "/etc/services"), Some("http 80/tcp\n"));
    assert_eq!(file(&bundle, "/etc/ld.so.conf.d/a.conf"), Some("/opt/lib"));
    assert_eq!(file(&bundle, "/etc/resolv.conf"), Some(""));
    assert_eq!(file(&bundle, "/etc/hostname"), Some("testbox\n"));
    assert!(file(&bundle, "/etc/shadow").is_none() && file(&bundle, "/etc/gitconfig").is_none());
    assert_eq!(links(&bundle), ["/etc/localtime -> /usr/share/zoneinfo/Europe/Berlin"]);
    assert_eq!(own_lines(&bundle), ["/etc/ssl/certs folder ro", "/home/u/proj view rw"]);

    let mut plan = fake.plan("/bin/true");
    plan.net = set(Net::Host);
    let shared = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(file(&shared, "/etc/resolv.conf"), Some("nameserver 10.0.0.1\n"));
}

#[test]
fn a_file_size_limit_becomes_a_resource_limit() {
    let fake = Fake::new();
    let mut plan = fake.plan("/bin/true");
    plan.limits.fsize_bytes = set(Some(Bytes(1 << 20)));
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert!(bundle.rlimits.iter().any(|rlimit| rlimit.resource == Resource::Fsize && rlimit.value == 1 << 20));
}

#[test]
fn a_store_is_shown_as_a_whole() {
    let fake = Fake::new();
    fake.python("/nix/store/abc-python3-3.12", "3.12").dir("/nix/store/def-glibc");
    let prefix = "/nix/store/abc-python3-3.12";
    fake.dir(&format!("{}/pytest-8.0.0.dist-info", site(prefix, "3.12")));
    let bundle = fake.build(&format!("{prefix}/bin/python3 -m pytest")).unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/proj view rw", "/nix/store folder ro"]);
}
