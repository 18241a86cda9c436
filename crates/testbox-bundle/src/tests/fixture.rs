//! A fake host: a file system in a temporary folder, a caller, and plans for it.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use tempfile::TempDir;
use testbox_model::{Bytes, EnvRule, RunPlan};

use crate::bundle::{BoxMount, Bundle, Entry, Source};
use crate::{BundleError, Host};

/// The project of most tests.
pub(crate) const PROJECT: &str = "/home/u/proj";

/// A fake host with merged /usr, a system Python 3.11 and a project.
pub(crate) struct Fake {
    dir: TempDir,
    pub(crate) host: Host,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host {
            root: dir.path().to_owned(),
            euid: 1000,
            egid: 1000,
            environment: vec![("PATH".into(), "/home/u/bin:/usr/bin:/bin".into())],
            home: Some("/home/u".into()),
            sudo_uid: None,
            sudo_gid: None,
            listed: Default::default(),
            known: Default::default(),
        };
        let fake = Self { dir, host };
        fake.link("/bin", "usr/bin").link("/lib", "usr/lib").link("/sbin", "usr/sbin");
        fake.dir("/usr/sbin").program("/usr/bin/make").program("/usr/bin/true");
        fake.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n");
        fake.python("/usr", "3.11").dir(PROJECT);
        fake.dir("/home/u/.ssh").file("/home/u/.ssh/id", "secret");
        fake
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.host.environment.retain(|(key, _)| key != name);
        self.host.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn real(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn dir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.real(path)).unwrap();
        self
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        fs::create_dir_all(self.real(path).parent().unwrap()).unwrap();
        fs::write(self.real(path), text).unwrap();
        self
    }

    pub(crate) fn program(&self, path: &str) -> &Self {
        self.script(path, "\x7fELF")
    }

    pub(crate) fn script(&self, path: &str, text: &str) -> &Self {
        self.file(path, text);
        fs::set_permissions(self.real(path), std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        fs::create_dir_all(self.real(path).parent().unwrap()).unwrap();
        symlink(target, self.real(path)).unwrap();
        self
    }

    /// A Python installation.
    pub(crate) fn python(&self, prefix: &str, version: &str) -> &Self {
        self.program(&format!("{prefix}/bin/python{version}"));
        self.link(&format!("{prefix}/bin/python3"), &format!("python{version}"));
        self.link(&format!("{prefix}/bin/python"), "python3");
        self.file(&format!("{prefix}/lib/python{version}/os.py"), "")
    }

    /// A virtual environment with pytest, whose Python is `<home>/python<version>`.
    pub(crate) fn venv(&self, root: &str, home: &str, version: &str) -> &Self {
        self.file(&format!("{root}/pyvenv.cfg"), &format!("home = {home}\nversion = {version}.1\n"));
        self.link(&format!("{root}/bin/python"), &format!("{home}/python{version}"));
        self.link(&format!("{root}/bin/python3"), "python");
        self.script(&format!("{root}/bin/pytest"), &format!("#!{root}/bin/python\n"));
        self.dir(&format!("{}/pytest-8.3.2.dist-info", site(root, version)))
    }

    pub(crate) fn plan(&self, command: &str) -> RunPlan {
        let command = command.split(' ').map(OsString::from).collect();
        plan(command, Path::new(PROJECT))
    }

    pub(crate) fn build(&self, command: &str) -> Result<Bundle, BundleError> {
        crate::build(&self.plan(command), &self.host)
    }

    /// The message and the hint of the error that a command gives.
    pub(crate) fn error(&self, command: &str) -> (String, String) {
        told(&self.build(command).unwrap_err())
    }
}

/// The `site-packages` folder of an environment.
pub(crate) fn site(root: &str, version: &str) -> String {
    format!("{root}/lib/python{version}/site-packages")
}

pub(crate) fn told(error: &BundleError) -> (String, String) {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    (text, error.hint().unwrap_or_default())
}

/// A plan with small limits.
pub(crate) fn plan(command: Vec<OsString>, project: &Path) -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    (plan.command, plan.project, plan.cwd) = (command, project.to_owned(), project.to_owned());
    plan.limits.memory_bytes = set(Bytes(512 << 20));
    plan.limits.pids = set(64);
    plan.limits.cpus = set(Some(1.5));
    plan.limits.nofile = set(1024);
    plan.limits.tmp_bytes = set(Bytes(64 << 20));
    plan.limits.tmp_inodes = set(4096);
    plan.env = set(vec![EnvRule::Pass("TERM".to_owned()), EnvRule::Pass("LC_*".to_owned())]);
    plan.reports.dir = set(project.join(".testbox/last"));
    plan
}

pub(crate) use testbox_model::sample::set;

/// The mounts as lines: place, kind, access.
pub(crate) fn lines(bundle: &Bundle) -> Vec<String> {
    bundle.mounts.iter().map(line).collect()
}

fn line(mount: &BoxMount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let kind = match &mount.source {
        Source::Bind { path, is_dir, shift_root } => {
            assert!(path == &mount.destination, "{mount:?} is not at its own place");
            format!("{}{}", if *is_dir { "folder" } else { "file" }, if *shift_root { " shifted" } else { "" })
        }
        Source::View { shift_root, .. } => format!("view{}", if *shift_root { " shifted" } else { "" }),
        Source::Scratch { name, .. } => format!("scratch {name}"),
        Source::Tmpfs { .. } => "tmpfs".to_owned(),
        Source::Proc => "proc".to_owned(),
        Source::Sysfs => "sysfs".to_owned(),
        Source::Devpts => "devpts".to_owned(),
        Source::Mqueue => "mqueue".to_owned(),
    };
    format!("{} {kind} {access}", mount.destination.display())
}

/// The lines beyond those of every box.
pub(crate) fn own_lines(bundle: &Bundle) -> Vec<String> {
    let every = ["/dev", "/proc", "/run", "/sys", "/tmp", "/usr", "/var/tmp", "/home/testbox"];
    let is_own = |line: &String| !every.iter().any(|place| line.starts_with(&format!("{place} ")));
    lines(bundle).into_iter().filter(|line| is_own(line) && !line.starts_with("/dev/")).collect()
}

/// The links that the root file system holds beyond those of every box, as `path -> target`.
pub(crate) fn links(bundle: &Bundle) -> Vec<String> {
    let every = ["/bin", "/lib", "/sbin", "/etc/mtab", "/var/lock", "/var/run"];
    let links = bundle.skeleton.iter().filter_map(|entry| match entry {
        Entry::Symlink { path, target } if !every.iter().any(|own| path == Path::new(own)) => {
            Some(format!("{} -> {}", path.display(), target.display()))
        }
        _ => None,
    });
    links.collect()
}

/// A variable of the command.
pub(crate) fn variable(bundle: &Bundle, name: &str) -> Option<String> {
    let found = bundle.process.env.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.to_string_lossy().into_owned())
}
