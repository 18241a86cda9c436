//! The files that pytest's own options promise to write: they leave the box without being named twice.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::anchor::normal;
use crate::project::Project;

/// An option whose value names a file.
const FILES: [&str; 6] = ["--junitxml", "--junit-xml", "--html", "--json-report-file", "--report-log", "--resultlog"];

/// An option whose value names a folder.
const FOLDERS: [&str; 1] = ["--alluredir"];

/// `--cov-report TYPE:PATH`.
const COVERAGE: &str = "--cov-report";

/// Options of the command, each with the glob of what it writes inside the project.
pub(crate) fn promised(command: &[OsString], project: &Project) -> Vec<(String, String)> {
    let inside = |(option, path, is_folder): (String, PathBuf, bool)| {
        let path = path.strip_prefix(&project.root).ok()?.to_str().filter(|path| !path.is_empty())?.to_owned();
        let glob = globset::escape(&path);
        Some((option, if is_folder { format!("{glob}/**") } else { glob }))
    };
    writes(command, &project.cwd).into_iter().filter_map(inside).collect()
}

/// Files that the command writes outside the project: they are lost with the box.
pub(crate) fn lost(command: &[OsString], project: &Path, cwd: &Path) -> Vec<(String, PathBuf)> {
    let outside = |(option, path, _): (String, PathBuf, bool)| (!path.starts_with(project)).then_some((option, path));
    writes(command, cwd).into_iter().filter_map(outside).collect()
}

/// Option, absolute path, and whether it is a folder.
fn writes(command: &[OsString], cwd: &Path) -> Vec<(String, PathBuf, bool)> {
    let words: Vec<&str> = command.iter().filter_map(|word| word.to_str()).collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (*word, words.get(index + 1).copied()),
        };
        if let Some((path, is_folder)) = value.and_then(|value| target(option, value)) {
            found.push((option.to_owned(), normal(&cwd.join(path)), is_folder));
        }
    }
    found
}

/// The path that `option` with `value` writes to.
fn target<'a>(option: &str, value: &'a str) -> Option<(&'a str, bool)> {
    if FILES.contains(&option) {
        return Some((value, false));
    }
    if FOLDERS.contains(&option) {
        return Some((value, true));
    }
    let (kind, path) = value.split_once(':').filter(|_| option == COVERAGE)?;
    Some((path, matches!(kind, "html" | "annotate")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn pytest_options_name_their_files() {
        let project = Project { root: PathBuf::from("/p"), cwd: PathBuf::from("/p/sub") };
        let globs: Vec<String> = promised(
            &command(&[
                "pytest",
                "--junitxml=out/[1].xml",
                "--cov-report",
                "xml:../cov.xml",
                "--cov-report=html:/p/html",
                "--cov-report=term",
                "--html",
                "/elsewhere/x.html",
                "--junitxml",
            ]),
            &project,
        )
        .into_iter()
        .map(|(_, glob)| glob)
        .collect();
        assert_eq!(globs, ["sub/out/[[]1[]].xml", "cov.xml", "html/**"]);
    }

    #[test]
    fn files_outside_the_project_are_lost() {
        let lost = lost(&command(&["pytest", "--junitxml=/tmp/x.xml"]), Path::new("/p"), Path::new("/p"));
        assert_eq!(lost, [("--junitxml".to_owned(), PathBuf::from("/tmp/x.xml"))]);
    }
}
