//! Requests on the left, plans and errors on the right.

mod bad_input;
mod paths;
mod precedence;
mod testing;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;
use testbox_model::{RunPlan, UnitError};

use crate::slot::{Raw, RawItem};
use crate::*;

const GIB: u64 = 1 << 30;

const MACHINE: Machine = Machine::SAMPLE;

/// A project in a folder of its own, and a request to run there.
struct Case {
    dir: tempfile::TempDir,
    request: Request,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for folder in ["home", "home/data", "project/.git", "project/sub", "outside"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let request = Request {
            command: vec!["pytest".into()],
            flags: Layer::default(),
            cwd: root.join("project"),
            environment: Vec::new(),
            machine: MACHINE,
            home: Some(root.join("home")),
        };
        Self { dir, request }
    }

    fn path(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(path)
    }

    fn file(self, path: &str, text: &str) -> Self {
        fs::write(self.path(path), text).unwrap();
        self
    }

    /// As typed on the command line.
    fn flag(mut self, key: &str, text: &str) -> Self {
        let origin = testbox_model::Origin::Flag(format!("--{key}"));
        let mut typed = Layer::default();
        let raw =
            Raw { items: vec![RawItem { text: text.to_owned(), origin: origin.clone() }], origin, is_list: false };
        assert!(typed.set(key, raw).unwrap(), "{key}");
        self.request.flags = typed.over(self.request.flags);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.request.environment.push((name.into(), value.into()));
        self
    }

    fn command(mut self, words: &[&str]) -> Self {
        self.request.command = words.iter().map(OsString::from).collect();
        self
    }

    fn in_folder(mut self, path: &str) -> Self {
        self.request.cwd = self.path(path);
        self
    }

    fn machine(mut self, machine: Machine) -> Self {
        self.request.machine = machine;
        self
    }

    fn plan(&self) -> RunPlan {
        resolve(&self.request).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> ConfigError {
        resolve(&self.request).unwrap_err()
    }
}

#[test]
fn the_default_plan() {
    let case = Case::new();
    let plan = case.plan();
    let limits = &plan.limits;
    assert_eq!(limits.memory_bytes.value.0, 6 * GIB);
    assert_eq!(limits.memory_bytes.origin.to_string(), "machine: 3/4 of 8.0 GiB available");
    assert_eq!((limits.tmp_bytes.value.0, limits.tmp_inodes.value), (3 * GIB / 2, 98304));
    assert_eq!((limits.pids.value, limits.nofile.value, limits.swap_bytes.value.0), (512, 4096, 0));
    assert_eq!((limits.cpus.value, limits.fsize_bytes.value, limits.io_read.value), (None, None, None));
    assert_eq!(plan.times.timeout.value, testbox_model::Duration::from_secs(1800));
    assert_eq!(plan.reports.dir.value, case.path("project/.testbox/last"));
    assert_eq!(plan.policy.origin.to_string(), "policy default");
    assert!(
        !plan.view.write.value
            && plan.terminal.color.value
            && plan.view.outputs.value.contains(&".coverage".to_owned())
    );
    assert!(notes(&plan).is_empty());
}

#[test]
fn every_policy_gives_a_plan() {
    for name in policy_names() {
        let plan = Case::new().flag("policy", name).plan();
        assert_eq!(plan.policy.value, name);
    }
}

#[test]
fn memory_is_derived_so_that_the_machine_stays_usable() {
    let derived = |total, available| {
        let machine = Machine { memory_total_bytes: total, memory_available_bytes: available, ..MACHINE };
        let memory = Case::new().machine(machine).plan().limits.memory_bytes;
        (memory.value.0, memory.origin.to_string())
    };
    assert_eq!(derived(2 * GIB, 2 * GIB), (3 * GIB / 2, "machine: 3/4 of 2.0 GiB available".to_owned()));
    assert_eq!(derived(3 * GIB, 3 * GIB).1, "machine: 3/4 of 3.0 GiB available");
    assert_eq!(derived(GIB, GIB).0, 3 * GIB / 4);
    let busy = Machine { memory_available_bytes: GIB / 100, ..MACHINE };
    assert!(Case::new().machine(busy).error().to_string().contains("`memory = auto` is too small"));
}

#[test]
fn a_low_hard_limit_of_open_files_lowers_the_default_only() {
    let machine = Machine { nofile_max: 1024, ..MACHINE };
    let plan = Case::new().machine(machine).plan();
    assert_eq!(plan.limits.nofile.value, 1024);
    assert_eq!(plan.limits.nofile.origin.to_string(), "machine: the hard limit of 1024 open files");
    assert!(Case::new().machine(machine).flag("nofile", "2048").error().to_string().contains("too large"));
}

#[test]
fn the_description_shows_each_value_with_its_origin() {
    let case = Case::new().flag("memory", "1G").file("project/testbox.toml", "\nhide = [\"a\", \"b\"]\n");
    let text = describe(&case.command(&["pytest", "-k", "a b\u{1b}"]).plan());
    let line =
        |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in\n{text}"));
    assert!(line("command").contains("pytest -k 'a b\\u{1b}'"));
    assert!(line("memory").contains("1.0 GiB") && line("memory").ends_with("(flag --memory)"));
    assert!(line("hide").ends_with("testbox.toml:2)"));
    assert!(line("report-dir").ends_with("(policy default)"));
    assert!(line("quota").contains("  none ") && line("quota").ends_with("(policy default)"));
    for key in Layer::KEYS.iter().map(|key| key.name) {
        let decides_what_is_read = key == "no-project-file";
        assert!(decides_what_is_read || text.lines().any(|line| line.split("  ").next() == Some(key)), "{key}");
    }
}

#[test]
fn values_read_by_flags_and_files_are_the_same_types() {
    fn accepts<T: FromStr<Err = UnitError>>(text: &str) -> bool {
        text.parse::<Typed<T>>().is_ok()
    }
    assert!(accepts::<NameOrFile>("strict") && accepts::<Cpus>("1.5") && accepts::<WallName>("memory"));
    assert!(!accepts::<Cpus>("-1") && !accepts::<WallName>("walls") && !accepts::<Verbosity>("loud"));
    assert_eq!(Path::new("x"), "x".parse::<HostPath>().unwrap().0);
}
