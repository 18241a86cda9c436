//! The block at the end of a run: cause, number and limit first, then only what helps.

use std::path::Path;

use testbox_model::{Duration, ExitCode, ProcessUse, RunRecord, Verdict, VerdictKind};

use super::paint::{Ink, count, paint};
use super::{Style, collection, header, kills, live, memories, usage};
use crate::harmless::{one_line, short_line};
use crate::junit;

/// Longer lists are cut, and the rest is counted.
const LISTED: usize = 5;
const COMMAND_WIDTH: usize = 80;

pub(super) fn text(record: &RunRecord, verdict: &Verdict, report: Option<&Path>, style: Style) -> String {
    let mut lines = kills::lines(record, style);
    lines.extend(
        verdict.place.as_ref().map(|place| format!("{}: {}", paint("where", Ink::Bad, style), one_line(place))),
    );
    lines.extend(verdict.hint.as_ref().map(|hint| format!("{}: {}", paint("hint", Ink::Hint, style), one_line(hint))));
    lines.extend(used(record, verdict.kind));
    lines.extend(usage::met_limits(record, verdict.kind).into_iter().map(|met| format!("note: {met}")));
    lines.extend(record.view.told().map(|told| format!("note: the project was {}", one_line(&told))));
    lines.extend(memories::lines(record, verdict.kind, style));
    lines.extend(collection::lines(record, verdict.kind));
    lines.extend(left_behind(&record.evidence.left_behind));
    lines.extend(carried_out(&record.carried_out, style));
    lines.extend(warnings(record, style));
    if style.verbose() {
        lines.extend(details(record));
    }
    lines.extend(report_place(record, verdict, report, style));
    lines.extend(exit_code(verdict.exit_code));
    let lines: String = lines.into_iter().map(|line| format!("  {line}\n")).collect();
    format!("{}\n{}{lines}", headline(record, verdict, style), header::degraded(&record.walls, style))
}

/// What must be told even if a quiet run passed.
pub(super) fn warnings(record: &RunRecord, style: Style) -> Vec<String> {
    let warning = paint("warning", Ink::Caution, style);
    record.warnings.iter().map(|text| format!("{warning}: {}", one_line(text))).collect()
}

fn headline(record: &RunRecord, verdict: &Verdict, style: Style) -> String {
    let word = verdict.kind.word().to_uppercase();
    if verdict.kind == VerdictKind::Passed {
        let peaks = usage::peaks(record);
        let peaks = if peaks.is_empty() { peaks } else { format!("  ({peaks})") };
        return format!("testbox: {} in {}{peaks}", paint(&word, Ink::Good, style), time(record));
    }
    let ink = if verdict.kind == VerdictKind::Interrupted { Ink::Caution } else { Ink::Bad };
    format!("testbox: {}: {}", paint(&word, ink, style), one_line(&verdict.summary))
}

/// What the run used; not for a run that never began, and not where the summary says it already.
fn used(record: &RunRecord, kind: VerdictKind) -> Option<String> {
    use VerdictKind::{Memory, NotExecutable, NotFound, Passed, SandboxFault};
    let peaks = usage::peaks(record);
    let helps = !matches!(kind, Memory | NotExecutable | NotFound | Passed | SandboxFault) && !peaks.is_empty();
    helps.then(|| format!("took {}; {peaks}", time(record)))
}

fn left_behind(processes: &[ProcessUse]) -> Option<String> {
    if processes.is_empty() {
        return None;
    }
    let at_least = if processes.len() == ProcessUse::LISTED { "at least " } else { "" };
    let were = count(processes.len(), "process was", "processes were");
    let commands = processes.iter().map(|process| short_line(&process.command, COMMAND_WIDTH));
    Some(format!("{at_least}{were} left behind and killed with the box: {}", list(commands.collect())))
}

fn carried_out(files: &[String], style: Style) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let what = format!("{} carried out", count(files.len(), "file", "files"));
    let named = style.verbose() || files.len() <= LISTED;
    let names = || list(files.iter().map(|file| one_line(file)).collect());
    Some(if named { format!("{what}: {}", names()) } else { what })
}

fn list(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(LISTED);
    items.truncate(LISTED);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{and_more}", items.join(", "))
}

fn details(record: &RunRecord) -> Vec<String> {
    let evidence = &record.evidence;
    let mut lines = vec![];
    lines.extend(evidence.readback.as_ref().map(|readback| format!("read back: {}", live::identity(readback))));
    lines.extend(usage::timeline(&record.timeline).map(|timeline| format!("timeline: {timeline}")));
    let largest = evidence.memory.largest.iter().take(LISTED);
    lines.extend(largest.map(|process| {
        format!("at the peak: {} {}", process.resident_bytes, short_line(&process.command, COMMAND_WIDTH))
    }));
    lines.push(format!("box: {}", one_line(&record.box_id)));
    lines
}

fn report_place(record: &RunRecord, verdict: &Verdict, report: Option<&Path>, style: Style) -> Option<String> {
    let helps = verdict.kind != VerdictKind::Passed || style.verbose();
    let junit = if junit::has_cases(record, verdict) { ", with junit.xml beside it" } else { "" };
    report.filter(|_| helps).map(|path| format!("report: {}{junit}", one_line(&path.to_string_lossy())))
}

/// The exit code, where it is not the command's own.
fn exit_code(code: ExitCode) -> Option<String> {
    (!matches!(code, ExitCode::Payload(_))).then(|| format!("exit code: {code}"))
}

fn time(record: &RunRecord) -> Duration {
    Duration::from_ms(record.duration_ms)
}
