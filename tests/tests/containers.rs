//! testbox in containers of podman, with and without root: what the engine takes away is named with its cause, what the
//! doctor asks of podman makes the finding go away, and what is left is a box that contains.
//!
//! A container has the /usr of the machine and nothing else of it, on an overlay of its own.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case, checked_in, starter, testbox_bin};

const ROOT: &[Need] = &[Need::Place, Need::Podman, Need::Root];
const USER: &[Need] = &[Need::Place, Need::Podman, Need::UserSystemd];
/// No option of podman.
const DEFAULTS: &[&str] = &[];

fn main() {
    testbox_tests::run(vec![
        case("with podman's defaults nothing starts, and each missing wall has cause and remedy", ROOT, defaults),
        case("started as the doctor asks, testbox alone in the container has every wall", ROOT, alone),
        case("beside a shell, the command of the doctor brings the limits", ROOT, beside_a_shell),
        case("entered from outside, as CI agents do it, a container has every wall", ROOT, entered),
        case("in a privileged container pytest runs in a box with every wall", ROOT, privileged),
        case("with runc as with crun", ROOT, with_runc),
        case("an ordinary user of a container gets a box without limits", ROOT, ordinary_user),
        case("with the groups of the host, root has every wall", ROOT, groups_of_the_host),
        case("a rootless container is told as precisely", USER, defaults),
        case("a rootless container, started as the doctor asks, has every wall", USER, alone),
        case(
            "beside a shell of a rootless container, the command of the doctor brings the limits",
            USER,
            beside_a_shell,
        ),
        case("entered from outside, a rootless container has every wall", USER, entered),
        case("in a privileged rootless container pytest runs in a box with every wall", USER, privileged),
        case("a rootless container that keeps its user's number gives it a box", USER, keep_id),
    ]);
}

/// The root file system of containers, with a project in it.
struct Image(Project);

impl Image {
    fn make() -> Self {
        let image = Self(Project::on_a_disk());
        let script = "mkdir -p dev etc home/tester mnt opt proc root run sys tmp usr var/tmp work; chmod 1777 tmp var/tmp; \
                      for name in bin lib lib64 sbin; do ln -s usr/$name $name; done; touch testbox; \
                      printf 'root:x:0:0::/root:/bin/sh\ntester:x:1000:1000::/home/tester:/bin/sh\n' > etc/passwd; \
                      printf 'root:x:0:\ntester:x:1000:\n' > etc/group; \
                      printf 'def test_good(): pass\ndef test_bad(): assert 0\n' > work/test_it.py; chmod 755 .; chmod 777 work";
        Finished::of(starter("sh").args(["-ec", script]).current_dir(image.0.path())).expect_code(0);
        image
    }

    /// `podman run OPTIONS` with this command, in the project.
    fn run(&self, options: &[&str], command: &[&str]) -> Finished {
        let venv = std::env::var("TESTBOX_TEST_VENV").expect("a venv");
        let (program, root) = (testbox_bin(), self.0.path());
        let mut words =
            ["run", "--rm", "--network=none", "--workdir=/work", "--volume=/usr:/usr:ro"].map(str::to_owned).to_vec();
        words.push(format!("--volume={}:/testbox:ro", program.display()));
        words.extend([format!("--volume={venv}:{venv}:ro"), format!("--env=VIRTUAL_ENV={venv}")]);
        words.extend(options.iter().map(|option| (*option).to_owned()));
        words.extend(["--rootfs".to_owned(), format!("{}:O", root.display())]);
        let words: Vec<&str> = words.iter().map(String::as_str).chain(command.iter().copied()).collect();
        podman(&words)
    }

    fn sh(&self, options: &[&str], script: &str) -> Finished {
        self.run(options, &["sh", "-c", script])
    }

    /// `testbox doctor --json` as the only process of a container.
    fn doctor(&self, options: &[&str]) -> Report {
        Report::of(&self.run(options, &["/testbox", "doctor", "--json"]))
    }
}

fn podman(words: &[&str]) -> Finished {
    let mut podman = starter("podman");
    podman.env("XDG_RUNTIME_DIR", format!("/run/user/{}", nix::unistd::geteuid()));
    podman.env("HOME", std::env::var_os("HOME").expect("a home")).current_dir("/");
    Finished::of(podman.args(words))
}

/// A container that goes on until this is dropped.
struct Going(String);

impl Drop for Going {
    fn drop(&mut self) {
        let removed = podman(&["rm", "--force", "--time=0", &self.0]);
        assert!(removed.code == 0 || std::thread::panicking(), "{removed:?}");
    }
}

/// What the doctor said.
struct Report(Value);

impl Report {
    fn of(finished: &Finished) -> Self {
        Self(serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}")))
    }

    fn finding(&self, subject: &str) -> &Value {
        let findings = self.0["findings"].as_array().expect("findings");
        findings.iter().find(|finding| finding["subject"] == subject).expect("the finding")
    }

    fn missing(&self) -> Vec<&str> {
        self.0["missing"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
    }

    /// The options of podman that the fixes of missing walls name.
    fn asks(&self) -> BTreeSet<String> {
        let fixes = self.missing().into_iter().filter_map(|wall| self.finding(wall)["fix"].as_str());
        let named = fixes.filter_map(|fix| fix.split_once("podman: `")?.1.split_once('`'));
        let words: Vec<&str> = named.flat_map(|(options, _)| options.split(' ')).collect();
        words.chunks(2).map(|pair| pair.join("=")).collect()
    }

    /// Fails the test unless this wall is missing with this last cause and this in its fix.
    #[track_caller]
    fn expect(&self, wall: &str, cause: &str, fix: &str) {
        let finding = self.finding(wall);
        assert_eq!(finding["state"], "missing", "{finding:#}");
        let last = finding["because"].as_array().and_then(|causes| causes.last()).and_then(Value::as_str);
        assert!(last.unwrap_or_default().contains(cause), "{finding:#}");
        assert!(finding["fix"].as_str().unwrap_or_default().contains(fix), "{finding:#}");
    }

    #[track_caller]
    fn expect_every_wall(&self) {
        assert_eq!((self.missing(), &self.0["fully_enforced"]), (vec![], &Value::from(true)), "{:#}", self.0);
    }
}

/// The options with which the doctor wants containers to be started whose options are `first`.
fn asked(image: &Image, first: &[&str]) -> Vec<String> {
    let asks = image.doctor(first).asks();
    assert!(!asks.is_empty(), "podman would have to do nothing");
    first.iter().map(|option| (*option).to_owned()).chain(asks).collect()
}

fn strs(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn defaults() {
    let image = Image::make();
    let report = image.doctor(DEFAULTS);
    assert_eq!(report.missing(), ["memory", "pids", "namespaces"]);
    for wall in ["memory", "pids"] {
        report.expect(wall, "Read-only file system", "--security-opt unmask=ALL");
    }
    report.expect("namespaces", "without CAP_SYS_ADMIN", "--cap-add SYS_ADMIN");
    let refused = image.run(DEFAULTS, &["/testbox", "run", "--", "/bin/echo", "STARTED"]).expect_code(125);
    assert!(refused.stderr.contains("cannot build the wall `memory`"), "{refused:?}");
    let degraded = ["/testbox", "run", "--allow-degraded", "memory,pids", "--", "/bin/echo", "STARTED"];
    let refused = image.run(DEFAULTS, &degraded).expect_code(125);
    assert!(refused.stderr.contains("error: cannot prepare the mounts"), "{refused:?}");
    assert!(refused.stderr.contains("`testbox doctor`") && !refused.stdout.contains("STARTED"), "{refused:?}");
}

fn alone() {
    let image = Image::make();
    let options = asked(&image, DEFAULTS);
    image.doctor(&strs(&options)).expect_every_wall();
    let readme = fs_err::read_to_string(checked_in("README.md")).expect("README.md");
    for option in &options {
        assert!(readme.contains(&option.replacen('=', " ", 1)), "README.md lacks `{option}`");
    }
    for (memory, code) in [("32M", 120), ("512M", 0)] {
        let eat = [
            "/testbox",
            "run",
            "-q",
            "--memory",
            memory,
            "--",
            "/bin/sh",
            "-c",
            "head -c 100M /dev/zero | tail > /dev/null",
        ];
        image.run(&strs(&options), &eat).expect_code(code);
    }
}

/// As in a CI job: testbox is not the container's first process, and testbox moves nobody but itself.
fn beside_a_shell() {
    let image = Image::make();
    let options = asked(&image, DEFAULTS);
    let script = "/testbox doctor; /testbox doctor --fix --yes > /dev/null; /testbox doctor && \
                  /testbox run -q --memory 32M -- /bin/sh -c 'head -c 100M /dev/zero | tail > /dev/null'; echo $?; /testbox gc";
    let finished = image.sh(&strs(&options), script).expect_code(0);
    let (before, after) = finished.stdout.split_once("\n2 walls are missing (memory, pids)").expect("two looks");
    assert!(before.contains("`/sys/fs/cgroup/cgroup.subtree_control`"), "{before}");
    assert!(before.contains("fix: let this container's processes sit in a group of their own"), "{before}");
    assert!(after.contains("\na default run is fully enforced here\n120\n"), "{finished:?}");
}

/// What an agent starts is no child of the container's first process, and comes into its group once more.
fn entered() {
    let image = Image::make();
    let mut options = asked(&image, DEFAULTS);
    options.push("--detach".to_owned());
    let started = image.run(&strs(&options), &["sleep", "600"]).expect_code(0);
    let container = Going(started.stdout.trim().to_owned());
    let exec = |words: &[&str]| podman(&[&["exec", &container.0, "/testbox"], words].concat());
    let fixed = exec(&["doctor", "--fix", "--yes"]).expect_code(0);
    assert!(fixed.stdout.ends_with("\na default run is fully enforced here\n"), "{fixed:?}");
    exec(&["run", "-q", "--memory", "32M", "--", "/bin/sh", "-c", "head -c 100M /dev/zero | tail > /dev/null"])
        .expect_code(120);
    Report::of(&exec(&["doctor", "--json"])).expect_every_wall();
}

fn privileged() {
    let image = Image::make();
    image.doctor(&["--privileged"]).expect_every_wall();
    runs_pytest(&image, &["--privileged"], &[]);
}

/// The sample's two tests, in a box with these words.
#[track_caller]
fn runs_pytest(image: &Image, options: &[&str], words: &[&str]) -> Finished {
    let run = [&["/testbox", "run"][..], words, &["--", "pytest", "-q", "-p", "no:cacheprovider"]].concat();
    let finished = image.run(options, &run).expect_code(1);
    assert!(finished.stdout.contains("1 failed, 1 passed"), "{finished:?}");
    assert_eq!(finished.stderr.contains("DEGRADED"), words.contains(&"--allow-degraded"), "{finished:?}");
    finished
}

fn with_runc() {
    let image = Image::make();
    let options = asked(&image, &["--runtime=runc"]);
    image.doctor(&strs(&options)).expect_every_wall();
}

/// The groups of a container are its root's.
fn ordinary_user() {
    let image = Image::make();
    let options = asked(&image, &["--user=tester"]);
    assert!(
        image.doctor(&["--user=tester"]).finding("memory")["fix"].to_string().contains("start testbox as its root")
    );
    let report = image.doctor(&strs(&options));
    assert_eq!(report.missing(), ["memory", "pids"]);
    assert!(report.finding("memory")["fix"].as_str().is_some_and(|fix| fix.starts_with("start testbox as root of")));
    runs_pytest(&image, &strs(&options), &["--allow-degraded", "memory,pids"]);
}

fn groups_of_the_host() {
    Image::make().doctor(&["--privileged", "--cgroupns=host"]).expect_every_wall();
}

fn keep_id() {
    let image = Image::make();
    let options = asked(&image, &["--userns=keep-id"]);
    let report = image.doctor(&strs(&options));
    assert_eq!(report.finding("namespaces")["state"], "ok");
    runs_pytest(&image, &strs(&options), &["--allow-degraded", "memory,pids"]);
}
