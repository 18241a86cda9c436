//! `policy` and `seccomp`: a name that is compiled in, or a file of the user.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use testbox_model::{SeccompChoice, Setting, UnitError};

use crate::place::given;
use crate::typed::wrong;
use crate::{ConfigError, Layer};

/// The seccomp profiles that are compiled in, by name.
pub const SECCOMP_PROFILES: &[&str] = &["default", "strict", "open"];

/// A name, or a file: what has a `/` or ends in `.toml` or `.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOrFile {
    /// Something compiled in.
    Name(String),
    /// A file; relative until its layer is anchored.
    File(PathBuf),
}

impl FromStr for NameOrFile {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong(text, "name or file", "names, or paths with a `/` or ending in .toml or .json", None));
        }
        let is_file = text.contains('/') || text.ends_with(".toml") || text.ends_with(".json");
        Ok(if is_file { Self::File(PathBuf::from(text)) } else { Self::Name(text.to_owned()) })
    }
}

impl fmt::Display for NameOrFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The error for a `name` that is not compiled in.
pub(crate) fn unknown(what: &'static str, name: &str, names: &[&str]) -> UnitError {
    let accepted = format!("{} and files (a path with a `/`)", names.join(", "));
    wrong(name, what, accepted, testbox_model::nearest(name, names.iter().copied()))
}

pub(crate) fn resolve_seccomp(layer: &Layer) -> Result<Setting<SeccompChoice>, ConfigError> {
    let seccomp = given("seccomp", &layer.seccomp)?;
    match seccomp.value() {
        NameOrFile::Name(name) if SECCOMP_PROFILES.contains(&name.as_str()) => {
            Ok(seccomp.resolved(SeccompChoice::Builtin(name.clone())))
        }
        NameOrFile::Name(name) => {
            Err(ConfigError::value(seccomp.place(), unknown("seccomp profile", name, SECCOMP_PROFILES)))
        }
        NameOrFile::File(path) if path.is_file() => Ok(seccomp.resolved(SeccompChoice::File(path.clone()))),
        NameOrFile::File(path) => Err(ConfigError::PathMissing { place: seccomp.place(), path: path.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seccomp_profiles_are_those_of_the_policies_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/seccomp");
        let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let mut names: Vec<String> = json.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let mut known = SECCOMP_PROFILES.to_vec();
        names.sort();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn files_are_told_from_names() {
        assert_eq!("strict".parse(), Ok(NameOrFile::Name("strict".to_owned())));
        for file in ["./strict", "a/b", "mine.json", "ci.toml"] {
            assert_eq!(file.parse(), Ok(NameOrFile::File(PathBuf::from(file))));
        }
    }
}
