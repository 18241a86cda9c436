//! `report-dir` and `json`: where reports go.

use std::str::FromStr;

use testbox_model::{Reports, UnitError};

use crate::place::given;
use crate::project::Project;
use crate::typed::wrong;
use crate::{ConfigError, Layer};

/// Where the JSON report goes beside its file: `-`, stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonTarget;

impl FromStr for JsonTarget {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "-" => Ok(Self),
            _ => Err(wrong(text, "target of the JSON report", "`-` (stdout)", Some("-"))),
        }
    }
}

pub(crate) fn resolve(layer: &Layer, project: &Project) -> Result<Reports, ConfigError> {
    let dir = given("report-dir", &layer.report_dir)?;
    let path = &dir.value().0;
    if project.root.starts_with(path) {
        return Err(ConfigError::PathRefused {
            place: dir.place(),
            path: path.clone(),
            why: "it holds the project, and old reports are replaced",
            fix: "name a folder of its own, as in `--report-dir .testbox/last`".to_owned(),
        });
    }
    if path.exists() && !path.is_dir() {
        return Err(ConfigError::PathRefused {
            place: dir.place(),
            path: path.clone(),
            why: "it is not a folder",
            fix: "name a folder; it is made if it does not exist".to_owned(),
        });
    }
    let json = given("json", &layer.json)?;
    Ok(Reports { dir: dir.resolved(path.clone()), json_to_stdout: json.resolved(json.value().0.is_some()) })
}
