//! Start to exit of /bin/true: what a box costs. The yardstick is bubblewrap with the same namespaces and mounts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::Effort;
use crate::bench::line::Line;
use crate::bench::pairs::{Rounds, Run};
use crate::bench::place::{Place, User};
use crate::bench::priority::Priority;
use crate::error::Error;
use crate::program::Program;
use crate::testbox::Testbox;

/// At most this many times bubblewrap's time.
const BOUND: f64 = 1.5;
/// runc must be well above: at most this share of its time.
const RUNC_BOUND: f64 = 0.5;

/// One line for each user, and one that shows runc.
pub(crate) fn measure(place: &Place<'_>, effort: Effort) -> Result<Vec<Line>, Error> {
    let mut lines = vec![];
    for (user, who) in Place::users() {
        let project = place.project(&format!("start-{}", who.replace(' ', "-")), user)?;
        let testbox = place.testbox(user, &project)?;
        let bundle = Bundle::export(place, &testbox, (user, who), &project)?;
        let boxed = || testbox_true(place, &testbox, user, &project).timed();
        let pair: [Run<'_>; 2] = [Box::new(boxed), Box::new(|| bundle.bubblewrap(place, user, &project).timed())];
        let priority = Priority::raise();
        let rounds = Rounds::run(&pair, effort.starts)?;
        let how = format!("{} {}", given_up(&testbox), priority.shown());
        lines.push(line(&rounds, ["testbox", "bubblewrap"], who, BOUND, effort, &how));
        drop(priority);
        if user == User::Caller && crate::cache::is_root() {
            // At ordinary priority: its group of the v1 controller `cpu` takes no real-time process.
            let pair: [Run<'_>; 2] = [Box::new(boxed), Box::new(|| bundle.runc(place).timed())];
            let rounds = Rounds::run(&pair, effort.starts)?;
            lines.push(line(&rounds, ["testbox", "runc"], who, RUNC_BOUND, effort, "at ordinary priority"));
        }
    }
    Ok(lines)
}

fn given_up(testbox: &Testbox) -> String {
    match testbox.degraded.is_empty() {
        true => String::new(),
        false => format!(", without {}", testbox.degraded.join(" and ")),
    }
}

fn line(rounds: &Rounds, names: [&str; 2], who: &str, bound: f64, effort: Effort, how: &str) -> Line {
    let ratio = rounds.ratio(0, 1);
    Line {
        name: format!("start of /bin/true: {} / {}, {who}", names[0], names[1]),
        value: ratio.median,
        unit: "x",
        bound: Some(bound),
        enforced: effort.enforced,
        detail: format!("{} {how}", rounds.detail(&names, &ratio)),
    }
}

fn testbox_true(place: &Place<'_>, testbox: &Testbox, user: User, project: &Path) -> Program {
    place
        .program(user, &testbox.binary)
        .args(["run", "-q"])
        .args(testbox.degraded_flags())
        .args(["--", "/bin/true"])
        .dir(project)
}

/// The bundle of the same box, from which the yardsticks are made.
struct Bundle {
    dir: PathBuf,
    /// Destinations, types and sources of its mounts.
    mounts: Vec<Mount>,
    /// What testbox covers or makes read-only, as far as it is there: as many mounts again.
    covers: Vec<Cover>,
}

struct Mount {
    destination: String,
    kind: String,
    source: String,
    read_only: bool,
}

impl Bundle {
    fn export(place: &Place<'_>, testbox: &Testbox, (user, who): (User, &str), project: &Path) -> Result<Self, Error> {
        let dir = place.project(&format!("{}-bundle", who.replace(' ', "-")), user)?.join("bundle");
        place
            .program(user, &testbox.binary)
            .args(["bundle", "-o"])
            .arg(&dir)
            .args(testbox.degraded_flags())
            .args(["--", "/bin/true"])
            .dir(project)
            .stdout()?;
        let file = dir.join("config.json");
        let text = fs_err::read_to_string(&file)?;
        let config: Value =
            serde_json::from_str(&text).map_err(|source| Error::Json { what: file.display().to_string(), source })?;
        let mounts = config["mounts"].as_array().into_iter().flatten().filter_map(Mount::of).collect();
        Ok(Self { dir, mounts, covers: Cover::all(&config["linux"], project) })
    }

    fn runc(&self, place: &Place<'_>) -> Program {
        let runc = Path::new("runc");
        place.program(User::Caller, runc).args(["run", "--bundle"]).arg(&self.dir).arg("testbox-bench")
    }

    /// bubblewrap with all namespaces and as many mounts as the bundle's; what it cannot make (an overlay, a sysfs) is a
    /// tmpfs. By itself it has a PID 1 of its own and a second user namespace for the command, as the box has.
    fn bubblewrap(&self, place: &Place<'_>, user: User, project: &Path) -> Program {
        let mut program = place
            .program(user, Path::new("bwrap"))
            .args(["--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"])
            .args(["--cap-drop", "ALL", "--hostname", "box"]);
        for mount in &self.mounts {
            program = program.args(mount.for_bubblewrap());
        }
        for cover in &self.covers {
            program = program.args(cover.for_bubblewrap());
        }
        program = program.args(["--remount-ro", "/sys"]);
        for link in ["bin", "sbin", "lib", "lib64"] {
            if Path::new("/").join(link).is_symlink() {
                program = program.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
            }
        }
        program.args(["--chdir", "/", "/usr/bin/true"]).dir(project)
    }
}

impl Mount {
    fn of(value: &Value) -> Option<Self> {
        let options = value["options"].as_array();
        let read_only = options.into_iter().flatten().any(|option| option == "ro" || option == "rro");
        Some(Self {
            destination: value["destination"].as_str()?.to_owned(),
            kind: value["type"].as_str().unwrap_or("bind").to_owned(),
            source: value["source"].as_str().unwrap_or_default().to_owned(),
            read_only,
        })
    }

    /// Flags of bubblewrap for the same mount; devices and devpts come with its `--dev`.
    fn for_bubblewrap(&self) -> Vec<&str> {
        let below = |dir: &str| self.destination.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        match self.kind.as_str() {
            "proc" => vec!["--proc", &self.destination],
            "tmpfs" if self.destination == "/dev" => vec!["--dev", "/dev"],
            "tmpfs" | "overlay" | "sysfs" => vec!["--tmpfs", &self.destination],
            "mqueue" => vec!["--mqueue", &self.destination],
            "bind" | "none" if below("/dev") || below("/proc") => vec![],
            "bind" | "none" if Path::new(&self.source).is_absolute() => {
                let flag = if self.read_only { "--ro-bind" } else { "--bind" };
                vec![flag, &self.source, &self.destination]
            }
            _ => vec![],
        }
    }
}

/// What bubblewrap makes read-only with its `--proc`.
const BY_PROC: [&str; 2] = ["/proc/bus", "/proc/irq"];

/// A path that is covered or made read-only, and how.
enum Cover {
    File(String),
    Folder(String),
    ReadOnly(String),
}

impl Cover {
    /// The masked and the read-only paths of a configuration that are there; those of the project are covered in its view.
    fn all(linux: &Value, project: &Path) -> Vec<Self> {
        let paths = |key: &str| {
            let list = linux[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            let made = |path: &String| Path::new(path).exists() && !BY_PROC.contains(&path.as_str());
            list.filter(made).collect::<Vec<_>>()
        };
        let mut masks = paths("maskedPaths");
        // What lies below a covered folder is covered with it.
        masks.sort();
        masks.dedup_by(|path, above| Path::new(path).starts_with(above));
        let is_folder = |path: &str| Path::new(path).is_dir();
        let masked = masks.into_iter().map(|path| {
            let folder = is_folder(&path) || Path::new(&path).starts_with(project);
            if folder { Self::Folder(path) } else { Self::File(path) }
        });
        masked.chain(paths("readonlyPaths").into_iter().map(Self::ReadOnly)).collect()
    }

    fn for_bubblewrap(&self) -> Vec<&str> {
        match self {
            Self::File(path) => vec!["--ro-bind", "/dev/null", path],
            Self::Folder(path) => vec!["--tmpfs", path, "--remount-ro", path],
            Self::ReadOnly(path) => vec!["--ro-bind", path, path],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yardstick_gets_the_mounts_of_the_bundle() {
        let flags = |json: &str| Mount::of(&serde_json::from_str(json).unwrap()).unwrap().for_bubblewrap().join(" ");
        let usr = r#"{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "rro"]}"#;
        assert_eq!(flags(usr), "--ro-bind /usr /usr");
        assert_eq!(flags(r#"{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}"#), "--tmpfs /tmp");
        assert_eq!(flags(r#"{"destination": "/dev/pts", "type": "devpts", "source": "devpts"}"#), "");
    }

    #[test]
    fn the_yardstick_covers_what_the_bundle_covers() {
        let json =
            r#"{"maskedPaths": ["/proc/keys", "/proc/acpi", "/none"], "readonlyPaths": ["/proc/irq", "/proc/sys"]}"#;
        let linux: Value = serde_json::from_str(json).unwrap();
        let covers = Cover::all(&linux, Path::new("/project"));
        let flags: Vec<String> = covers.iter().map(|cover| cover.for_bubblewrap().join(" ")).collect();
        assert!(flags.contains(&"--ro-bind /proc/sys /proc/sys".to_owned()));
        assert!(!flags.iter().any(|flag| flag.contains("/none") || flag.contains("/proc/irq")));
        assert_eq!(Path::new("/proc/keys").exists(), flags.contains(&"--ro-bind /dev/null /proc/keys".to_owned()));
    }
}
