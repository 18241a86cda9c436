//! The plugin's files, and how it comes into a command without touching the user's venv.

use std::ffi::OsString;

use crate::invocation::{Recognised, is_isolated, recognise};

/// The plugin, a package of plain Python files: path below a folder on PYTHONPATH, and text.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/plugin.rs"));
/// Its module, as `-p` names it.
pub const MODULE: &str = "testbox_plugin";
/// The variable that holds the number of its socket.
pub const CHANNEL_VARIABLE: &str = "TESTBOX_CHANNEL";

/// The command with the plugin's option, if it is pytest and its interpreter reads PYTHONPATH.
///
/// The option comes first, so that `-p no:testbox_plugin` of the user wins. It is an option and no variable: a pytest
/// that a test starts must not have the plugin.
pub fn with_plugin(command: &[OsString]) -> Option<Vec<OsString>> {
    let Recognised::Pytest { arguments_at } = recognise(command)? else { return None };
    if is_isolated(&command[..arguments_at]) {
        return None;
    }
    let (before, after) = command.split_at(arguments_at);
    let option = ["-p", MODULE].map(OsString::from);
    Some(before.iter().cloned().chain(option).chain(after.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_package_is_whole() {
        assert!(SOURCES.iter().any(|(path, _)| *path == "testbox_plugin/__init__.py"));
        assert!(SOURCES.iter().all(|(path, text)| path.starts_with("testbox_plugin/") && !text.is_empty()));
    }

    #[test]
    fn the_option_comes_before_the_users() {
        for (typed, expected) in [
            ("pytest -x", "pytest -p testbox_plugin -x"),
            ("python -X dev -m pytest tests", "python -X dev -m pytest -p testbox_plugin tests"),
            ("coverage run -m pytest -q", "coverage run -m pytest -p testbox_plugin -q"),
            ("pytest", "pytest -p testbox_plugin"),
        ] {
            assert_eq!(with_plugin(&words(typed)), Some(words(expected)), "{typed}");
        }
    }

    #[test]
    fn other_commands_and_isolated_interpreters_stay_as_they_are() {
        for typed in ["make test", "python x.py", "python -I -m pytest", "python -sE -m pytest", "uv run pytest"] {
            assert_eq!(with_plugin(&words(typed)), None, "{typed}");
        }
    }
}
