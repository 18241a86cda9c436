//! Where the kernel makes no overlay: mounts that go away with the command.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, starter, testbox_bin};

/// A project of root on overlayfs.
pub(crate) const OVERLAY: &str = "mkdir -p layers p; mount -t tmpfs none layers; mkdir layers/l layers/u layers/w; \
                       mount -t overlay none -o lowerdir=layers/l,upperdir=layers/u,workdir=layers/w p; cd p";
/// A project on an overlay whose lower layer is an overlay, which is as many as the kernel allows.
pub(crate) const DEEP: &str = "mkdir -p layers q p; mount -t tmpfs none layers; mkdir layers/l layers/u layers/w layers/v layers/x; \
                    mount -t overlay none -o lowerdir=layers/l,upperdir=layers/u,workdir=layers/w q; \
                    mount -t overlay none -o lowerdir=q,upperdir=layers/v,workdir=layers/x p; cd p";

/// What is mounted and made goes away with the command: it happens in a mount namespace of its own, which an ordinary
/// user has in a user namespace.
pub(crate) struct Ground<'a> {
    pub(crate) outer: Project,
    pub(crate) mounts: &'a str,
    /// Makes the project; its folder is the current one.
    pub(crate) prepare: &'a str,
    /// After the run, in the same place.
    pub(crate) look: &'a str,
    /// With the venv of the tests.
    pub(crate) venv: bool,
}

impl<'a> Ground<'a> {
    pub(crate) fn of_root(prepare: &'a str) -> Self {
        Self { outer: Project::new(), mounts: OVERLAY, prepare, look: "", venv: false }
    }

    /// `testbox run OPTIONS -- COMMAND` in the project, and what is looked at afterwards.
    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Finished {
        let report = self.outer.path().join("report");
        let mut words = vec![testbox_bin().to_string_lossy().into_owned()];
        words.extend(self.outer.run_words());
        words.extend(["--report-dir".to_owned(), report.to_string_lossy().into_owned()]);
        words.extend(options.iter().map(|option| (*option).to_owned()));
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
        self.start(&words)
    }

    pub(crate) fn start(&self, words: &[String]) -> Finished {
        let owner = fs_err::metadata(self.outer.path()).expect("a folder");
        let (uid, gid) = (owner.uid(), owner.gid());
        let (namespaces, user) = match (Need::Root.missing(), uid) {
            (Some(_), _) => (
                format!("--mount --user --map-user={uid} --map-group={gid} --keep-caps"),
                "setpriv --ambient-caps=-all --inh-caps=-all ".to_owned(),
            ),
            (None, 0) => ("--mount".to_owned(), String::new()),
            (None, _) => ("--mount".to_owned(), format!("setpriv --reuid {uid} --regid {gid} --clear-groups ")),
        };
        let Self { mounts, prepare, look, .. } = self;
        let script = format!(
            "set -e; {mounts}; {prepare}; {user}\"$@\" || code=$?; {look}\nexit ${{code:-0}}",
            look = or_nothing(look)
        );
        let mut command = starter("unshare");
        command.args(namespaces.split(' ')).args(["sh", "-c", &script, "sh"]).args(words);
        command.current_dir(self.outer.path());
        if let Some(venv) = std::env::var_os("TESTBOX_TEST_VENV").filter(|_| self.venv) {
            command.env("VIRTUAL_ENV", venv);
        }
        Finished::of(command.env("HOME", "/nonexistent"))
    }

    pub(crate) fn sh(&self, options: &[&str], script: &str) -> Finished {
        self.run(options, &["sh", "-c", script])
    }

    pub(crate) fn report(&self) -> Value {
        self.outer.report_in("report")
    }

    /// The view of a run in which it was a copy.
    #[track_caller]
    pub(crate) fn copy(&self, because: &str) -> Value {
        let view = self.report()["view"].clone();
        assert_eq!(view["way"], "copy", "{view}");
        assert!(view["because"].as_str().is_some_and(|text| text.contains(because)), "{view}");
        view
    }

    pub(crate) fn warnings(&self) -> String {
        self.report()["warnings"].to_string()
    }
}

fn or_nothing(script: &str) -> &str {
    if script.is_empty() { ":" } else { script }
}
