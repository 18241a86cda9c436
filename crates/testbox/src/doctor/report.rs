//! The findings as lines and as JSON.

use serde::Serialize;
use testbox_model::Wall;

use super::finding::{self, Finding, State};

/// Version of the form of the JSON.
const SCHEMA_VERSION: u32 = 1;

/// One line a finding, its causes and its fix below it, and the conclusion at the end.
pub(super) fn lines(findings: &[Finding], color: bool) -> String {
    let mut text: String = findings.iter().map(|finding| block(finding, color)).collect();
    text.push_str(&format!("\n{}\n", conclusion(findings)));
    text
}

/// The findings as one JSON object.
pub(super) fn json(findings: &[Finding]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        schema_version: u32,
        fully_enforced: bool,
        missing: Vec<&'static str>,
        conclusion: String,
        findings: &'a [Finding],
    }
    let report = Report {
        schema_version: SCHEMA_VERSION,
        fully_enforced: finding::fully_enforced(findings),
        missing: names(&missing(findings)),
        conclusion: conclusion(findings),
        findings,
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&report)?))
}

fn block(finding: &Finding, color: bool) -> String {
    let mut text = format!("{} {:13} {}\n", word(finding.state, color), finding.subject, finding.text);
    let label = if finding.state == State::Ok { "note" } else { "because" };
    let details = finding.because.iter().map(|cause| format!("      {label}: {cause}\n"));
    text.extend(details);
    if let Some(fix) = &finding.fix {
        text.push_str(&format!("      fix: {fix}\n"));
    }
    text
}

/// The word of a state, as wide as the widest; the colour only repeats it.
fn word(state: State, color: bool) -> String {
    let (word, code) = match state {
        State::Ok => ("ok", "32"),
        State::Missing => ("MISSING", "1;31"),
        State::Absent => ("absent", "33"),
        State::Unknown => ("unknown", "1;31"),
        State::Note => ("note", "36"),
    };
    let padded = format!("{word:7}");
    if color { format!("\x1b[{code}m{padded}\x1b[0m") } else { padded }
}

fn missing(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.state == State::Missing).collect()
}

fn names(findings: &[&Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.subject).collect()
}

fn conclusion(findings: &[Finding]) -> String {
    let missing = missing(findings);
    let all = names(&missing).join(", ");
    match missing.len() {
        0 if finding::fully_enforced(findings) => return "a default run is fully enforced here".to_owned(),
        0 => return "not every wall could be probed: whether a default run is fully enforced is unknown".to_owned(),
        _ if !missing.iter().all(|finding| can_degrade(finding)) => {
            return format!("{all} missing: no run is possible here before that is fixed");
        }
        _ => {}
    }
    let verb = if missing.len() == 1 { "1 wall is" } else { &format!("{} walls are", missing.len()) };
    let flags = names(&missing).join(",");
    format!("{verb} missing ({all}): a default run refuses; with `--allow-degraded {flags}` it runs without them")
}

/// The walls that cgroups guard have a weaker form always; others if one was built. The rest stands, or there is no box.
fn can_degrade(finding: &Finding) -> bool {
    finding.weaker || [Wall::Memory, Wall::Pids, Wall::Cpu, Wall::Io].iter().any(|wall| wall.name() == finding.subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conclusion_names_the_flag_that_lets_a_run_go_on() {
        let findings =
            [Finding::ok("seccomp", "4 filters"), Finding::missing("memory", "x"), Finding::missing("pids", "y")];
        assert_eq!(
            conclusion(&findings),
            "2 walls are missing (memory, pids): a default run refuses; with `--allow-degraded memory,pids` it runs \
             without them"
        );
    }

    #[test]
    fn a_wall_without_a_weaker_form_ends_every_run() {
        let findings = [Finding::missing("namespaces", "x"), Finding::unknown("seccomp")];
        assert_eq!(conclusion(&findings), "namespaces missing: no run is possible here before that is fixed");
        assert!(!finding::fully_enforced(&findings));
        let [finding, unknown] = findings;
        let findings = [Finding::missing("memory", "y"), finding.fix("do x").or_weaker("use y"), unknown];
        assert_eq!(findings[1].fix.as_deref(), Some("do x; or use y"));
        assert!(conclusion(&findings).contains("`--allow-degraded memory,namespaces`"));
    }

    #[test]
    fn notes_and_absent_walls_do_not_count() {
        let mut absent = Finding::missing("cpu", "x");
        absent.state = State::Absent;
        let findings = [Finding::ok("memory", "x"), absent, Finding::note("kernel", "6.18")];
        assert_eq!(conclusion(&findings), "a default run is fully enforced here");
    }

    #[test]
    fn a_line_says_the_same_with_and_without_colour() {
        let finding = Finding::missing("memory", "not allowed").because(["EPERM".to_owned()]).fix("run it as root");
        let plain = "MISSING memory        not allowed\n      because: EPERM\n      fix: run it as root\n";
        assert_eq!(block(&finding, false), plain);
        let coloured = block(&finding, true);
        assert_eq!(coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", ""), plain);
    }
}
