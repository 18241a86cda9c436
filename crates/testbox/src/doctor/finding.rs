//! A finding: what one probe saw.

use serde::Serialize;
use testbox_model::{Fault, Wall, WallReport};

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was probed: the name of a wall, or a word like `kernel`.
    pub(super) subject: &'static str,
    pub(super) state: State,
    /// The mechanism that stands, or what failed.
    pub(super) text: String,
    /// Causes and settings of the host that explain a failure.
    pub(super) because: Vec<String>,
    /// What to do about it.
    pub(super) fix: Option<String>,
    /// Commands of root that do it, where some do.
    pub(super) commands: Vec<String>,
    /// A run is possible without it: a box in the weaker form was built.
    #[serde(skip)]
    pub(super) weaker: bool,
}

/// How a probe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It stands.
    Ok,
    /// A default run needs it, and it cannot be built.
    Missing,
    /// It cannot be built, and no run needs it, or only one that asks for it.
    Absent,
    /// It could not be probed, because something that it stands on is missing.
    Unknown,
    /// Information.
    Note,
}

/// Whether a default run would be fully enforced.
pub(super) fn fully_enforced(findings: &[Finding]) -> bool {
    !findings.iter().any(|finding| matches!(finding.state, State::Missing | State::Unknown))
}

impl Finding {
    /// Something that stands.
    pub(super) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, State::Ok, text)
    }

    /// Information.
    pub(super) fn note(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, State::Note, text)
    }

    /// Something that a default run needs, without the error of another room.
    pub(super) fn missing(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, State::Missing, text)
    }

    /// Something that no default run needs.
    pub(super) fn absent(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(subject, State::Absent, text)
    }

    /// Something that stands on what is missing.
    pub(super) fn unknown(subject: &'static str) -> Self {
        Self::new(subject, State::Unknown, "not probed, because no box with namespaces can be built here")
    }

    /// Something that failed.
    pub(super) fn failed(subject: &'static str, state: State, fault: &Fault) -> Self {
        let mut finding = Self::new(subject, state, fault.message.clone());
        finding.because.clone_from(&fault.causes);
        finding.fix.clone_from(&fault.hint);
        finding.commands = fault.hint.as_deref().map(commands_in).unwrap_or_default();
        finding
    }

    /// A wall of which the cgroups say that it stands.
    pub(super) fn wall(wall: Wall, report: &WallReport) -> Self {
        let mut finding = Self::ok(wall.name(), format!("{}, written and read back", report.by));
        finding.because.extend(report.note.clone());
        finding
    }

    /// The same finding with more causes.
    pub(super) fn because(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.because.extend(causes);
        self
    }

    /// The same finding with what to do about it.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same finding with the commands of root that fix it.
    pub(super) fn commands(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands.extend(commands);
        self
    }

    /// The same finding of something that a box can do without, in this way.
    pub(super) fn or_weaker(mut self, way: &str) -> Self {
        self.weaker = true;
        self.fix = Some(match self.fix.take() {
            Some(fix) if fix.contains(way) => fix,
            Some(fix) => format!("{fix}; or {way}"),
            None => way.to_owned(),
        });
        self
    }

    fn new(subject: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { subject, state, text: text.into(), because: Vec::new(), fix: None, commands: Vec::new(), weaker: false }
    }
}

/// The commands of root that a fix quotes: "`sudo COMMAND`" and "as root, `COMMAND`".
fn commands_in(fix: &str) -> Vec<String> {
    let quoted = |marker| fix.split(marker).skip(1).filter_map(|rest| rest.split_once('`'));
    quoted("`sudo ").chain(quoted("as root, `")).map(|(command, _)| command.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_root_are_read_from_the_fix() {
        let fix = "let one run with `sudo loginctl enable-linger 7`, or accept it with `--allow-degraded memory`";
        assert_eq!(commands_in(fix), ["loginctl enable-linger 7"]);
        assert_eq!(commands_in("pass it on: as root, `a > b && c`, which ends what runs"), ["a > b && c"]);
        assert!(commands_in("run testbox as root (with `sudo`), or with `--allow-degraded io`").is_empty());
    }
}
