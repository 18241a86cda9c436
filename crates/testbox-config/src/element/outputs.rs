//! `output`: the files that are carried out of the view of the project after the run.

use std::str::FromStr;

use globset::GlobBuilder;
use testbox_model::{Origin, Setting, UnitError};

use super::{joined, list};
use crate::Layer;
use crate::typed::wrong;

/// A glob relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(
    /// The glob, without a leading `./`.
    pub String,
);

const FORMS: &str = "globs inside the project like `junit*.xml` or `htmlcov/**`, not absolute and without `..`";

impl FromStr for Glob {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let glob = text.strip_prefix("./").unwrap_or(text);
        let inside = !glob.is_empty() && !glob.starts_with('/') && glob.split('/').all(|part| part != "..");
        let valid = GlobBuilder::new(glob).literal_separator(true).build();
        match valid {
            Ok(_) if inside && !glob.contains('\0') => Ok(Self(glob.to_owned())),
            Ok(_) => Err(wrong(text, "glob", FORMS, None)),
            Err(error) => Err(wrong(text, "glob", format!("{FORMS} ({})", error.kind()), None)),
        }
    }
}

/// The globs that were typed, then those of the files that the command itself promises to write.
pub(super) fn resolve(layer: &Layer, promised: Vec<(String, String)>) -> Setting<Vec<String>> {
    let Setting { value, origin } = list(&layer.output);
    let mut globs: Vec<String> = value.into_iter().map(|Glob(glob)| glob).collect();
    let mut origins = vec![origin];
    for (option, glob) in promised {
        if !globs.contains(&glob) {
            globs.push(glob);
            origins.insert(0, Origin::Command(option));
        }
    }
    origins.dedup();
    Setting::new(globs, joined(flatten(origins)))
}

fn flatten(origins: Vec<Origin>) -> Vec<Origin> {
    let one = |origin| match origin {
        Origin::Joined(origins) => origins,
        origin => vec![origin],
    };
    origins.into_iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stay_inside_the_project() {
        assert_eq!("./htmlcov/**".parse(), Ok(Glob("htmlcov/**".to_owned())));
        for wrong in ["", "/tmp/*", "../x", "a/../b", "a[", "{a,"] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong}");
        }
    }
}
