//! `write`, `ro`, `rw`, `hide`: what the box sees of the host's files.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;
use testbox_model::{Origin, Setting, UnitError, View};

use super::{command_outputs, list, outputs};
use crate::place::given;
use crate::project::Project;
use crate::slot::Many;
use crate::typed::wrong;
use crate::{ConfigError, Layer, Place, Typed};

/// A path of the host, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath(
    /// The path; relative until its layer is anchored.
    pub PathBuf,
);

/// Parts of the box that testbox makes itself and never takes from the host.
const OWN: [&str; 3] = ["/proc", "/sys", "/dev"];

impl FromStr for HostPath {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text.is_empty() || text.contains('\0') {
            return Err(wrong(text, "path", "paths that are not empty and have no NUL", None));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

/// The view of the host's files; paths of the layer are absolute already.
pub(crate) fn resolve(layer: &Layer, project: &Project, command: &[std::ffi::OsString]) -> Result<View, ConfigError> {
    for (key, slot) in [("ro", &layer.ro), ("rw", &layer.rw)] {
        slot.iter().flatten().try_for_each(|item| shown(key, item, project))?;
    }
    layer.hide.iter().flatten().try_for_each(|item| hidden(item, project))?;
    for (first, second) in [
        (("ro", &layer.ro), ("rw", &layer.rw)),
        (("ro", &layer.ro), ("hide", &layer.hide)),
        (("rw", &layer.rw), ("hide", &layer.hide)),
    ] {
        disjoint(first, second)?;
    }
    let write = given("write", &layer.write)?;
    Ok(View {
        write: write.resolved(write.value().0),
        ro: paths(&layer.ro),
        rw: paths(&layer.rw),
        hide: paths(&layer.hide),
        hide_named: named(&layer.hide),
        outputs: outputs::resolve(layer, command_outputs(command, project)),
    })
}

fn paths(slot: &Many<HostPath>) -> Setting<Vec<PathBuf>> {
    let Setting { value, origin } = list(slot);
    Setting::new(value.into_iter().map(|HostPath(path)| path).collect(), origin)
}

/// The paths that no policy gave.
fn named(slot: &Many<HostPath>) -> Vec<PathBuf> {
    let by_user = slot.iter().flatten().filter(|item| !matches!(item.origin, Origin::Policy(_)));
    by_user.map(|item| item.value.value.0.clone()).collect()
}

/// Checks a path that the box shall see.
fn shown(key: &'static str, item: &Setting<Typed<HostPath>>, project: &Project) -> Result<(), ConfigError> {
    let path = &item.value.value.0;
    let place = Place::new(item.origin.clone(), key);
    let refused = |why, fix: &str| {
        Err(ConfigError::PathRefused { place: place.clone(), path: path.clone(), why, fix: fix.to_owned() })
    };
    if !path.try_exists().map_err(ConfigError::Read)? {
        return Err(ConfigError::PathMissing { place, path: path.clone() });
    }
    let real = fs::canonicalize(path).map_err(ConfigError::Read)?;
    if real == Path::new("/") {
        return refused("it is the whole host", "name the folders that the tests need");
    }
    if OWN.iter().any(|own| real.starts_with(own) || path.starts_with(own)) {
        return refused("the box has its own /proc, /sys and /dev", "leave it out");
    }
    if real == project.root {
        return refused("it is the project", "the box has a view of it already; `--write` mounts it read-write");
    }
    Ok(())
}

/// Checks a path that the box shall not see.
fn hidden(item: &Setting<Typed<HostPath>>, project: &Project) -> Result<(), ConfigError> {
    let path = &item.value.value.0;
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    if !project.cwd.starts_with(&real) && !project.cwd.starts_with(path) {
        return Ok(());
    }
    Err(ConfigError::PathRefused {
        place: Place::new(item.origin.clone(), "hide"),
        path: path.clone(),
        why: "the command runs in it",
        fix: "hide files or folders inside the project instead".to_owned(),
    })
}

type Named<'a> = (&'static str, &'a Many<HostPath>);

/// Refuses a path that is in both lists.
fn disjoint((first, firsts): Named<'_>, (second, seconds): Named<'_>) -> Result<(), ConfigError> {
    for one in firsts.iter().flatten() {
        if let Some(other) = seconds.iter().flatten().find(|other| other.value.value == one.value.value) {
            return Err(ConfigError::Contradiction {
                first: Place::new(one.origin.clone(), first).with_value(&one.value.text),
                second: Place::new(other.origin.clone(), second).with_value(&other.value.text),
                why: "both name the same path",
                fix: format!("keep `{}` in one of the two lists", one.value.value.0.display()),
            });
        }
    }
    Ok(())
}
