//! One layer of settings, as typed: what the flags say, or the environment, or a file. Nothing is resolved here.

use testbox_model::{Duration, EnvRule, Net, Origin, Rate, Size};

use crate::element::{Cpus, Glob, HostPath, Isolation, JsonTarget, NameOrFile, QuotaEntry, Verbosity, WallName};
use crate::slot::{Many, One, Raw, Slot};
use crate::{Auto, ConfigError, Count, OrNone, Switch};

/// A key of the configuration: one flag, one variable, one line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name in files; the flag is `--name`, the variable `TESTBOX_NAME` with `_` for `-`.
    pub name: &'static str,
    /// Where, beside the command line, it may be set.
    pub scope: Scope,
}

/// Where, beside the command line, a key may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Limits, times, how tests are divided, and reports: environment, project file and policy.
    Anywhere,
    /// Walls: project file and policy. No environment variable changes a wall.
    Files,
    /// What belongs to the person at the terminal: policy only.
    Policy,
    /// What belongs to the project: project file only.
    Project,
}

/// Writes the layer and everything that walks over its keys from one table.
macro_rules! keys {
    ($($(#[$doc:meta])* $field:ident: $slot:ident<$type:ty>, $name:literal, $scope:ident;)*) => {
        /// One layer of settings, as typed.
        #[derive(Debug, Clone, Default)]
        pub struct Layer {
            $($(#[$doc])* pub $field: $slot<$type>,)*
            /// Limits of some tests: a table of files alone, so no [`Key`].
            pub quota: Option<Vec<QuotaEntry>>,
        }

        impl Layer {
            /// Every key, in the order of the documentation.
            pub const KEYS: &[Key] = &[$(Key { name: $name, scope: Scope::$scope },)*];

            /// Sets `key` to what was typed; `false` if there is no such key.
            pub(crate) fn set(&mut self, key: &str, raw: Raw) -> Result<bool, ConfigError> {
                match key {
                    $($name => self.$field.fill($name, raw)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// This layer above a weaker one: single values win, lists are added to.
            pub(crate) fn over(self, weaker: Self) -> Self {
                Self { quota: quotas_over(self.quota, weaker.quota), $($field: self.$field.over(weaker.$field),)* }
            }

            /// This layer in place of `base`: whatever it says wins, lists too.
            pub(crate) fn instead_of(self, base: Self) -> Self {
                Self { quota: self.quota.or(base.quota), $($field: self.$field.or(base.$field),)* }
            }

            /// What was typed for `key`, if anything was; a list is joined with spaces.
            pub fn text(&self, key: &str) -> Option<String> {
                match key {
                    $($name => self.$field.text(),)*
                    _ => None,
                }
            }
        }
    };
}

keys! {
    /// Memory of the whole box.
    memory: One<Auto<Size>>, "memory", Anywhere;
    /// Swap on top of the memory.
    swap: One<Size>, "swap", Anywhere;
    /// Processes and threads of the whole box.
    pids: One<Count>, "pids", Anywhere;
    /// CPUs' worth of time.
    cpus: One<Cpus>, "cpus", Anywhere;
    /// Open files of each process.
    nofile: One<Count>, "nofile", Anywhere;
    /// Reads from the device of the project.
    io_read: One<OrNone<Rate>>, "io-read", Anywhere;
    /// Writes to the device of the project.
    io_write: One<OrNone<Rate>>, "io-write", Anywhere;
    /// Scratch space: /tmp, HOME and the written layer of the project.
    tmp_size: One<Auto<Size>>, "tmp-size", Anywhere;
    /// Output of the command.
    output_limit: One<Size>, "output-limit", Anywhere;
    /// Size of one file.
    fsize: One<OrNone<Size>>, "fsize", Anywhere;
    /// Wall time of the whole run.
    timeout: One<Duration>, "timeout", Anywhere;
    /// Time without output and without CPU use.
    idle_timeout: One<OrNone<Duration>>, "idle-timeout", Anywhere;
    /// From SIGTERM to SIGKILL.
    grace: One<Duration>, "grace", Anywhere;
    /// Which tests share a worker.
    isolate: One<Isolation>, "isolate", Anywhere;
    /// Workers at once.
    jobs: One<Auto<Count>>, "jobs", Anywhere;
    /// Memory of a worker that runs one test.
    test_memory: One<OrNone<Size>>, "test-memory", Anywhere;
    /// Memory of a worker that runs one file.
    file_memory: One<OrNone<Size>>, "file-memory", Anywhere;
    /// Wall time of configuration and collection.
    collect_timeout: One<OrNone<Duration>>, "collect-timeout", Anywhere;
    /// Wall time of one test's setup and call.
    test_timeout: One<OrNone<Duration>>, "test-timeout", Anywhere;
    /// Wall time of one test's teardown.
    teardown_timeout: One<OrNone<Duration>>, "teardown-timeout", Anywhere;
    /// Killed workers after which the run ends.
    max_kills: One<Count>, "max-kills", Anywhere;
    /// Further attempts of a killed test.
    retry_killed: One<Count>, "retry-killed", Anywhere;
    /// Rows of the table of the tests that used most memory.
    memories: One<Count>, "memories", Anywhere;
    /// The project is mounted read-write.
    write: One<Switch>, "write", Files;
    /// More paths to show read-only.
    ro: Many<HostPath>, "ro", Files;
    /// More paths to show read-write.
    rw: Many<HostPath>, "rw", Files;
    /// Paths that the box must not see.
    hide: Many<HostPath>, "hide", Files;
    /// Files carried out of the view of the project.
    output: Many<Glob>, "output", Files;
    /// The command runs without testbox's pytest plugin.
    no_plugin: One<Switch>, "no-plugin", Files;
    /// What passes into the environment.
    env: Many<EnvRule>, "env", Files;
    /// The working directory of the command.
    cwd: One<HostPath>, "cwd", Project;
    /// The network.
    net: One<Net>, "net", Files;
    /// The policy.
    policy: One<NameOrFile>, "policy", Project;
    /// The seccomp profile.
    seccomp: One<NameOrFile>, "seccomp", Files;
    /// Walls that may be weaker than promised.
    allow_degraded: Many<WallName>, "allow-degraded", Files;
    /// Where reports go.
    report_dir: One<HostPath>, "report-dir", Anywhere;
    /// The JSON report goes to stdout as well.
    json: One<OrNone<JsonTarget>>, "json", Anywhere;
    /// How much testbox says.
    verbosity: One<Verbosity>, "verbosity", Anywhere;
    /// No colours.
    no_color: One<Switch>, "no-color", Anywhere;
    /// The project file is not read.
    no_project_file: One<Switch>, "no-project-file", Policy;
    /// The command gets a terminal of its own.
    tty: One<Switch>, "tty", Policy;
    /// The command's output is passed on without the filter of control sequences.
    raw_output: One<Switch>, "raw-output", Policy;
}

impl Key {
    /// The key of this name.
    pub fn find(name: &str) -> Option<Self> {
        Layer::KEYS.iter().copied().find(|key| key.name == name)
    }

    /// The environment variable of this key: `TESTBOX_IO_READ`.
    pub fn variable(self) -> String {
        format!("TESTBOX_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The quotas of both, the stronger one where both name the same tests.
fn quotas_over(stronger: Option<Vec<QuotaEntry>>, weaker: Option<Vec<QuotaEntry>>) -> Option<Vec<QuotaEntry>> {
    let (Some(stronger), Some(mut all)) = (&stronger, weaker.clone()) else { return stronger.or(weaker) };
    all.retain(|quota| stronger.iter().all(|other| other.of != quota.of));
    all.extend(stronger.iter().cloned());
    Some(all)
}

/// A single value typed as the flag `--key`.
pub fn flag<T>(key: &str, typed: Option<crate::Typed<T>>) -> One<T> {
    typed.map(|typed| testbox_model::Setting::new(typed, Origin::Flag(format!("--{key}"))))
}

/// The values typed as the repeatable flag `--key`; none typed is not an empty list.
pub fn flags<T>(key: &str, typed: Vec<crate::Typed<T>>) -> Many<T> {
    let settings: Vec<_> = typed.into_iter().filter_map(|typed| flag(key, Some(typed))).collect();
    (!settings.is_empty()).then_some(settings)
}
