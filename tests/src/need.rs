//! What a test needs of the host, probed by doing.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

use crate::project::{Finished, Project};

/// Something that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A box that runs `/bin/true` with every default wall enforced, those of `TESTBOX_TEST_DEGRADED` apart.
    Box,
    /// A box of the caller with every default wall enforced.
    Enforced,
    /// The caller is root.
    Root,
    /// cgroup v1 memory and pids limits.
    Cgroup1,
    /// An ordinary user can build a box with `--allow-degraded`.
    User,
    /// As `User`, and nobody gives this user cgroups.
    Degraded,
    /// The kernel's Landlock scopes signals (ABI 6): a box can do without namespaces.
    Landlock,
    /// systemd runs, and the limits of cgroup v2 are its to give.
    Systemd,
    /// The caller is an ordinary user whose systemd makes scopes.
    UserSystemd,
    /// `python3` on the host.
    Python3,
    /// A venv with pytest (`TESTBOX_TEST_VENV`).
    Pytest,
    /// runc.
    Runc,
    /// bubblewrap.
    Bwrap,
    /// fuse-overlayfs, and a kernel and a /dev/fuse for it.
    FuseOverlayfs,
    /// podman, which starts containers of the caller.
    Podman,
    /// The twin projects were fetched (`TESTBOX_TEST_TWINS`).
    Twins,
    /// A place of the guest that is known by name (`TESTBOX_TEST_PLACE`).
    Place,
}

static MISSING: LazyLock<Mutex<HashMap<Need, Option<String>>>> = LazyLock::new(Mutex::default);

impl Need {
    /// The name in `TESTBOX_TEST_MUST` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Enforced => "enforced",
            Self::Root => "root",
            Self::Cgroup1 => "cgroup1",
            Self::User => "user",
            Self::Degraded => "degraded",
            Self::Landlock => "landlock",
            Self::Systemd => "systemd",
            Self::UserSystemd => "user-systemd",
            Self::Python3 => "python3",
            Self::Pytest => "pytest",
            Self::Runc => "runc",
            Self::Bwrap => "bwrap",
            Self::FuseOverlayfs => "fuse-overlayfs",
            Self::Podman => "podman",
            Self::Twins => "twins",
            Self::Place => "place",
        }
    }

    /// Why this host does not have it; `None`: it does. Probed once.
    pub fn missing(self) -> Option<String> {
        if let Some(known) = MISSING.lock().ok().and_then(|known| known.get(&self).cloned()) {
            return known;
        }
        let missing = self.probe();
        if let Ok(mut known) = MISSING.lock() {
            known.insert(self, missing.clone());
        }
        missing
    }

    /// Whether an unmet need is a failure here.
    pub fn is_a_must(self) -> bool {
        let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
        must.split(',').any(|name| name.trim() == self.name())
    }

    fn probe(self) -> Option<String> {
        match self {
            Self::Box => boxed(),
            Self::Enforced => enforced(),
            Self::Root => (!nix::unistd::geteuid().is_root()).then(|| "not root".to_owned()),
            Self::Cgroup1 => {
                let group = std::path::Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
                (!group.exists()).then(|| format!("{} does not exist", group.display()))
            }
            Self::User => ordinary_user().err(),
            Self::Degraded => degraded(),
            Self::Landlock => landlock(),
            Self::Systemd => systemd(),
            Self::UserSystemd => systemd().or_else(user_systemd),
            Self::Python3 => runs("python3", &["-c", "pass"]),
            Self::Pytest => path_in("TESTBOX_TEST_VENV"),
            Self::Runc => runs("runc", &["--version"]),
            Self::Bwrap => runs("bwrap", &["--version"]),
            Self::FuseOverlayfs => {
                let device = fs_err::OpenOptions::new().read(true).write(true).open("/dev/fuse");
                runs("fuse-overlayfs", &["--version"]).or_else(|| device.err().map(|error| error.to_string()))
            }
            Self::Podman => systemd().or_else(|| runs("podman", &["info"])),
            Self::Twins => path_in("TESTBOX_TEST_TWINS").or_else(only_for_root),
            Self::Place => std::env::var_os("TESTBOX_TEST_PLACE")
                .is_none()
                .then(|| "only `cargo xtask test --part guest` sets TESTBOX_TEST_PLACE".to_owned()),
        }
    }
}

/// What the doctor says of it.
fn landlock() -> Option<String> {
    let finished = Finished::of(crate::testbox().arg("doctor").current_dir(Project::new().path()));
    let line = finished.stdout.lines().find(|line| line.starts_with("note    landlock")).unwrap_or_default();
    (!line.contains("out of reach")).then(|| format!("the doctor says `{line}`"))
}

fn boxed() -> Option<String> {
    first_complaint(&Project::new().run(&["-q", "--", "/bin/true"]))
}

fn enforced() -> Option<String> {
    let weaker = std::env::var("TESTBOX_TEST_DEGRADED").ok();
    weaker.map(|walls| format!("TESTBOX_TEST_DEGRADED={walls}")).or_else(boxed)
}

/// What an ordinary user's box says of its memory wall.
fn ordinary_user() -> Result<serde_json::Value, String> {
    let project = Project::unprivileged();
    let finished = project.run(&["--allow-degraded", "memory,pids,cpu,io", "-q", "--", "/bin/true"]);
    if let Some(complaint) = first_complaint(&finished) {
        return Err(complaint);
    }
    let report = project.report();
    let memory = report["walls"].as_array().into_iter().flatten().find(|wall| wall["wall"] == "memory");
    Ok(memory.cloned().unwrap_or_default())
}

fn degraded() -> Option<String> {
    match ordinary_user() {
        Ok(memory) if memory["state"] == "degraded" => None,
        Ok(memory) => Some(format!("memory is {} by {}", memory["state"], memory["by"])),
        Err(complaint) => Some(complaint),
    }
}

fn first_complaint(finished: &Finished) -> Option<String> {
    (finished.code != 0).then(|| finished.stderr.lines().next().unwrap_or("it failed").to_owned())
}

fn systemd() -> Option<String> {
    let needed = ["/run/systemd/system", "/sys/fs/cgroup/memory.stat"];
    needed.into_iter().find(|path| !std::path::Path::new(path).exists()).map(|path| format!("{path} does not exist"))
}

fn user_systemd() -> Option<String> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Some("root".to_owned());
    }
    let mut command = Command::new("systemd-run");
    command.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
    command.args(["--quiet", "--user", "--scope", "--property=Delegate=yes", "true"]);
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("systemd-run --user: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("systemd-run: {error}")),
    }
}

fn runs(program: &str, arguments: &[&str]) -> Option<String> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{program}: {status}")),
        Err(error) => Some(format!("{program}: {error}")),
    }
}

/// The plain half of a twin run is that of an ordinary user, who must be able to run the environment's Python.
fn only_for_root() -> Option<String> {
    let text = fs_err::read_to_string(std::env::var_os("TESTBOX_TEST_TWINS")?).ok()?;
    let places: serde_json::Value = serde_json::from_str(&text).ok()?;
    (places["for_every_user"] == false).then(|| "only root can run the environment's Python".to_owned())
}

fn path_in(variable: &str) -> Option<String> {
    match std::env::var_os(variable) {
        None => Some(format!("{variable} is not set; `cargo xtask test` sets it")),
        Some(path) if std::path::Path::new(&path).exists() => None,
        Some(path) => Some(format!("{variable}={} does not exist", path.to_string_lossy())),
    }
}
