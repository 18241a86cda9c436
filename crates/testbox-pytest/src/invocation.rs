//! Recognising pytest in a command line, as typed. Pure: no file is looked at.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What a command line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// pytest; its own arguments begin at this index of the command, which may be one past its end.
    Pytest {
        /// The index.
        arguments_at: usize,
    },
    /// A tool that prepares an environment and then starts pytest, like `uv run pytest`.
    Wrapped {
        /// The tool with its subcommand, as typed: `uv run`.
        tool: String,
        /// The pytest command behind it.
        inner: Vec<OsString>,
    },
}

/// Tools whose `run` prepares an environment, with those of their options that take a value of their own.
const WRAPPERS: [(&str, &[&str]); 7] = [
    ("uv", &["--with", "--python", "-p", "--extra", "--group", "--env-file", "--project", "--directory", "--package"]),
    ("poetry", &["-C", "--directory", "-P", "--project"]),
    ("pipenv", &[]),
    ("pdm", &["-p", "--project"]),
    ("hatch", &["-e", "--env"]),
    ("rye", &["--pyproject"]),
    ("conda", &["-n", "--name", "-p", "--prefix"]),
];

/// Options of the Python interpreter that take a value of their own.
const PYTHON_VALUES: [&str; 3] = ["-W", "-X", "--check-hash-based-pycs"];

/// Options of `coverage run` that take a value of their own.
const COVERAGE_VALUES: [&str; 8] =
    ["--concurrency", "--context", "--data-file", "--debug", "--include", "--omit", "--rcfile", "--source"];

/// Finds pytest in a command: `pytest`, `py.test`, `python3.12 -m pytest`, `coverage run -m pytest`, each also by path;
/// `uv run pytest` and its like are [`Recognised::Wrapped`].
pub fn recognise(command: &[OsString]) -> Option<Recognised> {
    wrapped(command).or_else(|| pytest_arguments(command).map(|arguments_at| Recognised::Pytest { arguments_at }))
}

fn wrapped(command: &[OsString]) -> Option<Recognised> {
    let tool = base_name(command.first()?)?;
    let (_, values) = WRAPPERS.iter().find(|(name, _)| *name == tool)?;
    let run = after_options(command, 1, values).filter(|index| command[*index] == "run")?;
    let start = after_options(command, run + 1, values)?;
    let inner = command[start..].to_vec();
    recognise(&inner).map(|_| Recognised::Wrapped { tool: format!("{tool} run"), inner })
}

/// The index where pytest's own arguments begin.
fn pytest_arguments(command: &[OsString]) -> Option<usize> {
    let program = base_name(command.first()?)?;
    if is_pytest(program) {
        return Some(1);
    }
    if program == "coverage" || program.starts_with("coverage-") || program == "coverage3" {
        return coverage_arguments(command, 1);
    }
    is_python(program).then(|| python_arguments(command))?
}

/// `python [options] -m pytest`, `python [options] path/to/pytest`, `python -m coverage run -m pytest`.
fn python_arguments(command: &[OsString]) -> Option<usize> {
    let mut index = 1;
    while let Some(argument) = command.get(index).and_then(|argument| argument.to_str()) {
        let next = command.get(index + 1).and_then(|argument| argument.to_str());
        let (module, after) = match argument {
            "-m" => (next, index + 2),
            _ if PYTHON_VALUES.contains(&argument) => {
                index += 2;
                continue;
            }
            _ if argument.starts_with("-m") => (argument.get(2..), index + 1),
            _ if argument.starts_with("-c") || argument == "-" => return None,
            _ if argument.starts_with('-') => {
                index += 1;
                continue;
            }
            _ => return base_name(OsStr::new(argument)).is_some_and(is_pytest).then_some(index + 1),
        };
        return match module {
            Some("pytest" | "py.test") => Some(after),
            Some("coverage") => coverage_arguments(command, after),
            _ => None,
        };
    }
    None
}

/// `run [options] -m pytest`, from `index` on.
fn coverage_arguments(command: &[OsString], index: usize) -> Option<usize> {
    if command.get(index)? != "run" {
        return None;
    }
    let start = command[index..].iter().position(|argument| argument == "-m" || argument == "--module");
    let first = after_options(command, index + 1, &COVERAGE_VALUES)?;
    match start.map(|offset| index + offset) {
        Some(module) if module < first => (command.get(module + 1)? == "pytest").then_some(module + 2),
        _ => base_name(&command[first]).is_some_and(is_pytest).then_some(first + 1),
    }
}

/// The index of the first argument from `index` on that is neither an option nor the value of one in `values`.
fn after_options(command: &[OsString], mut index: usize, values: &[&str]) -> Option<usize> {
    while let Some(option) = command.get(index)?.to_str().filter(|argument| argument.starts_with('-')) {
        if option == "--" {
            return Some(index + 1).filter(|index| *index < command.len());
        }
        index += if values.contains(&option) { 2 } else { 1 };
    }
    (index < command.len()).then_some(index)
}

fn base_name(program: &OsStr) -> Option<&str> {
    Path::new(program).file_name()?.to_str()
}

/// `pytest`, `py.test`, and the names that distributions give it: `pytest-3`, `pytest-3.12`.
fn is_pytest(name: &str) -> bool {
    let suffix = name.strip_prefix("pytest").or_else(|| name.strip_prefix("py.test"));
    suffix.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_version))
}

/// Is this the name of a Python interpreter: `python`, `python3`, `python3.13t`, `pypy3.10`?
pub fn is_python(name: &str) -> bool {
    let suffix = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
    suffix.is_some_and(|rest| rest.is_empty() || is_version(rest.trim_end_matches(['t', 'd'])))
}

/// Does the interpreter of this command ignore the environment (`-E`, `-I`, also combined: `-sE`)?
pub(crate) fn is_isolated(command: &[OsString]) -> bool {
    let options = command.iter().skip(1).filter_map(|argument| argument.to_str());
    let mut options = options.take_while(|argument| argument.starts_with('-') && !argument.starts_with("-m"));
    options.any(|option| !option.starts_with("--") && option.contains(['E', 'I']))
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn pytest_is_recognised_in_its_usual_forms() {
        for (text, arguments_at) in [
            ("pytest", 1),
            ("pytest -x tests", 1),
            ("py.test tests", 1),
            (".venv/bin/pytest tests", 1),
            ("pytest-3.12 x", 1),
            ("python -m pytest x", 3),
            ("python3.13t -mpytest", 2),
            ("/usr/bin/python3.11 -X dev -W error -B -m pytest -v", 8),
            ("python .venv/bin/pytest -v", 2),
            ("coverage run -m pytest -v", 4),
            ("coverage run --branch --source src -m pytest", 7),
            ("coverage run --source=src .venv/bin/pytest x", 4),
            ("python -m coverage run -m pytest", 6),
        ] {
            assert_eq!(recognise(&command(text)), Some(Recognised::Pytest { arguments_at }), "{text}");
        }
    }

    #[test]
    fn other_commands_are_left_alone() {
        for text in [
            "python",
            "python -c pytest",
            "python script.py pytest",
            "python -m unittest",
            "make test",
            "pytest-watch",
            "bash -c pytest",
            "coverage report",
            "coverage run -m unittest",
            "coverage run prog.py -m pytest",
            "tox",
            "uv sync",
            "uv run python script.py",
            "python -",
            "python -m",
            "coverage run",
        ] {
            assert_eq!(recognise(&command(text)), None, "{text}");
        }
        assert_eq!(recognise(&[]), None);
    }

    #[test]
    fn interpreters_are_known_by_name() {
        for name in ["python", "python3", "python3.11", "python3.13t", "pypy", "pypy3.10", "python3.12d"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["pythonic", "python3-config", "bash", "pytest", "pythont3"] {
            assert!(!is_python(name), "{name}");
        }
    }

    #[test]
    fn wrappers_tell_the_command_behind_them() {
        for (text, tool, inner) in [
            ("uv run pytest -x", "uv run", "pytest -x"),
            ("uv run --with rich -p 3.12 -- python -m pytest", "uv run", "python -m pytest"),
            ("poetry -C sub run pytest", "poetry run", "pytest"),
            ("conda run -n env pytest", "conda run", "pytest"),
        ] {
            let inner = command(inner);
            assert_eq!(recognise(&command(text)), Some(Recognised::Wrapped { tool: tool.into(), inner }), "{text}");
        }
    }
}
