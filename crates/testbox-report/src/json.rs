//! The record for machines: `testbox.json`, in the form of `schema/testbox-v2.schema.json`.
//!
//! The report names variables that `--env NAME=VALUE` set, never their values: reports are uploaded by CI, and values
//! are often secrets.

mod flat;
mod layout;

use std::io::Write;

use serde::Serialize;
use serde_json::Value;
use testbox_model::{
    Evidence, ExitCode, FileProfile, Leak, ProcessUse, ProjectView, RunRecord, SCHEMA_VERSION, TestRow, Timeline,
    Verdict, VerdictKind, WallReport, suspected_leak,
};

use flat::{FlatLimits, Peaks};
pub(crate) use layout::one_line;

/// The schema of the report: JSON Schema, draft 2020-12.
pub const SCHEMA: &str = include_str!("../schema/testbox-v2.schema.json");

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    testbox_version: &'static str,
    box_id: &'a str,
    verdict: VerdictKind,
    exit_code: ExitCode,
    summary: &'a str,
    place: Option<&'a str>,
    hint: Option<&'a str>,
    command: Vec<String>,
    project: String,
    started_at: u64,
    duration_ms: u64,
    plan: Value,
    walls: &'a [WallReport],
    view: &'a ProjectView,
    limits: FlatLimits,
    peaks: Peaks,
    tests: &'a [TestRow],
    tests_omitted: u64,
    collection: &'a [FileProfile],
    leak: Option<Leak>,
    evidence: &'a Evidence,
    timeline: &'a Timeline,
    carried_out: &'a [String],
    left_behind: &'a [ProcessUse],
    warnings: &'a [String],
}

/// The report as a value. Fails only if a type of the model cannot be told in JSON, which is a fault of testbox.
pub fn to_json(record: &RunRecord, verdict: &Verdict) -> Result<Value, serde_json::Error> {
    serde_json::to_value(report(record, verdict)?)
}

/// Writes the report as text, piece by piece, so that a run of many tests needs no second copy of their rows: in the
/// order of the schema, with a line for each item of a list, and a newline at the end. It is harmless where a terminal
/// or a CI log shows it: what such a reader would obey is escaped, as JSON allows.
///
/// # Errors
/// `out` takes no more; [`serde_json::Error::is_io`] tells this from a fault of testbox.
pub(crate) fn write(record: &RunRecord, verdict: &Verdict, out: &mut dyn Write) -> Result<(), serde_json::Error> {
    layout::write_lines(&report(record, verdict)?, out)
}

/// Writes the report as text, as [`ReportDir`](crate::ReportDir) writes it to `testbox.json`.
///
/// # Errors
/// `out` takes no more; of kind `InvalidData` if a type of the model cannot be told in JSON, which is a fault of testbox.
pub fn write_json(record: &RunRecord, verdict: &Verdict, out: &mut dyn Write) -> std::io::Result<()> {
    let mut pieces = std::io::BufWriter::new(out);
    write(record, verdict, &mut pieces)?;
    pieces.flush()
}

fn report<'a>(record: &'a RunRecord, verdict: &'a Verdict) -> Result<Report<'a>, serde_json::Error> {
    let pytest = record.evidence.pytest.as_ref();
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        testbox_version: env!("CARGO_PKG_VERSION"),
        box_id: &record.box_id,
        verdict: verdict.kind,
        exit_code: verdict.exit_code,
        summary: &verdict.summary,
        place: verdict.place.as_deref(),
        hint: verdict.hint.as_deref(),
        command: record.plan.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        project: record.plan.project.to_string_lossy().into_owned(),
        started_at: record.started_at,
        duration_ms: record.duration_ms,
        plan: plan(record)?,
        walls: &record.walls,
        view: &record.view,
        limits: FlatLimits::of(&record.plan),
        peaks: Peaks::of(&record.evidence),
        tests: pytest.map_or(&[], |seen| &seen.tests),
        tests_omitted: pytest.map_or(0, |seen| seen.tests_omitted),
        collection: pytest.map_or(&[], |seen| &seen.collection),
        leak: pytest.and_then(|seen| suspected_leak(seen, record.evidence.memory.limit_bytes)),
        evidence: &record.evidence,
        timeline: &record.timeline,
        carried_out: &record.carried_out,
        left_behind: &record.evidence.left_behind,
        warnings: &record.warnings,
    })
}

/// The plan without the values of environment variables.
fn plan(record: &RunRecord) -> Result<Value, serde_json::Error> {
    let mut plan = serde_json::to_value(&record.plan)?;
    let rules = plan.pointer_mut("/env/value").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        rule.remove("value");
    }
    Ok(plan)
}

#[cfg(test)]
mod schema_check;
#[cfg(test)]
mod tests;
