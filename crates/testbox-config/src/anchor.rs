//! Makes the paths of a layer absolute: those of flags against the working directory, those of files against the file.

use std::path::{Component, Path, PathBuf};

use crate::element::{HostPath, NameOrFile};
use crate::slot::{Many, One};
use crate::{ConfigError, Layer, Place};

/// What relative paths of a layer mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// The folder they are relative to.
    pub(crate) folder: &'a Path,
    /// `~/` is the home directory: in files, where no shell has expanded it.
    pub(crate) tilde: Tilde<'a>,
}

/// What a leading `~` means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tilde<'a> {
    /// A file named `~`: the shell would have expanded any other.
    Literal,
    /// The home directory, if it is known.
    Home(Option<&'a Path>),
}

impl Layer {
    /// The same layer with absolute paths.
    pub(crate) fn anchored(mut self, base: Base<'_>) -> Result<Self, ConfigError> {
        base.one("cwd", &mut self.cwd)?;
        base.one("report-dir", &mut self.report_dir)?;
        base.profile("policy", &mut self.policy)?;
        base.profile("seccomp", &mut self.seccomp)?;
        base.many("ro", &mut self.ro)?;
        base.many("rw", &mut self.rw)?;
        base.many("hide", &mut self.hide)?;
        Ok(self)
    }
}

impl Base<'_> {
    fn one(self, key: &'static str, slot: &mut One<HostPath>) -> Result<(), ConfigError> {
        slot.iter_mut().try_for_each(|setting| {
            let place = || Place::new(setting.origin.clone(), key);
            setting.value.value.0 = self.absolute(&setting.value.value.0, place)?;
            Ok(())
        })
    }

    fn many(self, key: &'static str, slot: &mut Many<HostPath>) -> Result<(), ConfigError> {
        slot.iter_mut().flatten().try_for_each(|setting| {
            let place = || Place::new(setting.origin.clone(), key);
            setting.value.value.0 = self.absolute(&setting.value.value.0, place)?;
            Ok(())
        })
    }

    fn profile(self, key: &'static str, slot: &mut One<NameOrFile>) -> Result<(), ConfigError> {
        let Some(setting) = slot else { return Ok(()) };
        if let NameOrFile::File(path) = &mut setting.value.value {
            *path = self.absolute(path, || Place::new(setting.origin.clone(), key))?;
        }
        Ok(())
    }

    fn absolute(self, path: &Path, place: impl Fn() -> Place) -> Result<PathBuf, ConfigError> {
        let (Tilde::Home(home), Ok(rest)) = (self.tilde, path.strip_prefix("~")) else {
            return Ok(normal(&self.folder.join(path)));
        };
        match home {
            Some(home) => Ok(normal(&home.join(rest))),
            None => Err(ConfigError::NoHome { place: place(), text: path.display().to_string() }),
        }
    }
}

/// The path without `.` and `..`, which are resolved by text: `a/link/..` is `a`, wherever `link` leads.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_resolved_by_text() {
        for (path, expected) in [("/a/./b/../c", "/a/c"), ("/../../a", "/a"), ("/a/b/..", "/a"), ("/", "/")] {
            assert_eq!(normal(Path::new(path)), PathBuf::from(expected));
        }
    }
}
