//! The Python that `pytest` would run with in this project, and its pytest. Found by reading files.

use testbox_bundle::{Host, Interpreter};
use testbox_config::Layer;
use testbox_model::Fault;

use super::super::finding::{Finding, State};
use crate::fault::OrFault;
use crate::plan;

const SUBJECT: &str = "python";

/// Which Python the project has.
pub(super) fn probe() -> Finding {
    match interpreter() {
        Ok(Some(python)) => described(&python),
        Ok(None) => Finding::note(SUBJECT, "none found for this project")
            .fix("make an environment in the project (`python3 -m venv .venv`), or activate one"),
        Err(fault) => Finding::failed(SUBJECT, State::Note, &fault),
    }
}

fn interpreter() -> Result<Option<Interpreter>, Box<Fault>> {
    let plan = plan::resolve(&["pytest".into()], Layer::default())?;
    Ok(testbox_bundle::build(&plan, &Host::current()).or_fault()?.interpreter)
}

fn described(python: &Interpreter) -> Finding {
    let version = python.version.as_deref().unwrap_or("of unknown version");
    let path = python.path.display();
    let found = format!("{path}, {version}, found by {}", python.found_by);
    match python.pytest.as_deref() {
        Some("") => Finding::note(SUBJECT, format!("{found}; with pytest")),
        Some(pytest) => Finding::note(SUBJECT, format!("{found}; pytest {pytest}")),
        None => Finding::note(SUBJECT, format!("{found}; without pytest"))
            .fix(format!("`{path} -m pip install pytest`, or activate the environment that has it")),
    }
}
