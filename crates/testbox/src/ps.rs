//! `testbox ps`: the boxes of this user, as a table and as JSON.

use std::path::Path;

use serde::Serialize;
use testbox_model::{Bytes, Duration, Fault};
use testbox_report::one_line;

use crate::boxes::{self, Seen};
use crate::cli::PsArgs;
use crate::fault::{self, Outcome};
use crate::print;

/// Version of the form of the JSON.
const SCHEMA_VERSION: u32 = 1;

/// One box as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    /// The whole name.
    id: String,
    #[serde(skip)]
    short_id: String,
    pid: i32,
    uid: u32,
    state: &'static str,
    /// How long its testbox has been there.
    age_ms: u64,
    /// `null` where no cgroup counts it.
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    pids: Option<u64>,
    pids_limit: Option<u64>,
    /// `null` where its testbox does not say or is dead.
    project: Option<String>,
    command: Option<String>,
}

/// Lists the boxes.
pub(crate) fn ps(args: &PsArgs) -> Outcome {
    let found = boxes::all()?;
    let now_ms = since_boot_ms()?;
    let rows: Vec<Row> = found.own.iter().map(|seen| row(seen, now_ms)).collect();
    if args.json {
        return print::text(&json(&rows, found.foreign).map_err(|error| fault::of(&error, None))?);
    }
    print::text(&table(&rows, rustix::process::geteuid().is_root()))?;
    print::note(&foreign_note(found.foreign))
}

fn foreign_note(foreign: usize) -> String {
    match foreign {
        0 => String::new(),
        1 => "testbox: 1 more name belongs to another boot, pid namespace or user\n".to_owned(),
        n => format!("testbox: {n} more names belong to another boot, pid namespace or user\n"),
    }
}

fn row(seen: &Seen, now_ms: u64) -> Row {
    let owner = seen.owner();
    let run = owner.as_ref().and_then(|owner| owner.introduction());
    let usage = seen.group.as_ref().map(|group| group.usage()).unwrap_or_default();
    let limits = seen.group.as_ref().map(|group| group.counters()).unwrap_or_default();
    let cwd = || Some(one_line(&owner.as_ref()?.cwd()?.to_string_lossy()));
    let subcommand = || Some(format!("testbox {}", one_line(&owner.as_ref()?.subcommand()?)));
    Row {
        id: seen.id.to_string(),
        short_id: seen.short_id(),
        pid: seen.id.pid,
        uid: seen.uid,
        state: seen.state.name(),
        age_ms: now_ms.saturating_sub(ticks_as_ms(seen.id.start_ticks)),
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: limits.memory.limit_bytes.map(|bytes| bytes.0),
        pids: usage.pids,
        pids_limit: limits.pids.limit,
        project: run.as_ref().map(|run| one_line(&run.project)).or_else(cwd),
        command: run.as_ref().map(|run| run.shown_command()).or_else(subcommand),
    }
}

fn json(rows: &[Row], foreign: usize) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        schema_version: u32,
        boxes: &'a [Row],
        foreign: usize,
    }
    let report = Report { schema_version: SCHEMA_VERSION, boxes: rows, foreign };
    Ok(format!("{}\n", serde_json::to_string_pretty(&report)?))
}

/// Columns as wide as their widest value; the last two may be long and come last.
fn table(rows: &[Row], with_users: bool) -> String {
    let mut lines = vec![["ID", "UID", "AGE", "STATE", "MEMORY", "PIDS", "PROJECT", "COMMAND"].map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: Vec<usize> = (0..lines[0].len() - 1)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |cells: &[String; 8]| {
        let padded = cells.iter().enumerate().filter(|(column, _)| with_users || *column != 1);
        let text: Vec<String> = padded.map(|(column, cell)| pad(cell, widths.get(column).copied())).collect();
        format!("{}\n", text.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

fn pad(cell: &str, width: Option<usize>) -> String {
    width.map_or_else(|| cell.to_owned(), |width| format!("{cell:width$}"))
}

fn cells(row: &Row) -> [String; 8] {
    let of = |now: Option<String>, limit: Option<String>| match (now, limit) {
        (Some(now), Some(limit)) => format!("{now} / {limit}"),
        (Some(now), None) => now,
        (None, _) => "-".to_owned(),
    };
    let bytes = |bytes: u64| Bytes(bytes).to_string();
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        row.short_id.clone(),
        row.uid.to_string(),
        Duration::from_ms(row.age_ms / 1000 * 1000).to_string(),
        row.state.to_owned(),
        of(row.memory_bytes.map(bytes), row.memory_limit_bytes.map(bytes)),
        of(row.pids.map(|n| n.to_string()), row.pids_limit.map(|n| n.to_string())),
        text(&row.project),
        text(&row.command),
    ]
}

fn since_boot_ms() -> Result<u64, Box<Fault>> {
    let path = Path::new("/proc/uptime");
    let text = fs_err::read_to_string(path).map_err(|error| fault::of(&error, None))?;
    let seconds = text.split_ascii_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok());
    let seconds = seconds.ok_or_else(|| {
        fault::plain(format!("cannot understand `{}`: `{}`", path.display(), text.trim()), "mount proc on /proc")
    })?;
    Ok((seconds * 1000.0) as u64)
}

fn ticks_as_ms(ticks: u64) -> u64 {
    ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Row {
        Row {
            id: "testbox-97b45cbc-14646-190080".to_owned(),
            short_id: "14646-190080".to_owned(),
            pid: 14646,
            uid: 1000,
            state: "running",
            age_ms: 95_700,
            memory_bytes: Some(243 << 20),
            memory_limit_bytes: Some(1 << 30),
            pids: Some(4),
            pids_limit: Some(512),
            project: Some("/home/a/project".to_owned()),
            command: Some("pytest -q".to_owned()),
        }
    }

    #[test]
    fn the_table_has_a_line_a_box() {
        let bare = Row {
            short_id: "7-1".to_owned(),
            state: "orphaned",
            memory_bytes: None,
            memory_limit_bytes: None,
            pids: None,
            pids_limit: None,
            project: None,
            command: None,
            ..example()
        };
        assert_eq!(
            table(&[example(), bare], false),
            "ID            AGE         STATE     MEMORY               PIDS     PROJECT          COMMAND\n\
             14646-190080  1 min 35 s  running   243.0 MiB / 1.0 GiB  4 / 512  /home/a/project  pytest -q\n\
             7-1           1 min 35 s  orphaned  -                    -        -                -\n"
        );
        assert!(table(&[], true).starts_with("ID  UID  AGE"), "{}", table(&[], true));
    }

    #[test]
    fn the_json_has_numbers_and_the_whole_name() {
        let value: serde_json::Value = serde_json::from_str(&json(&[example()], 2).unwrap()).unwrap();
        assert_eq!((value["schema_version"].as_u64(), value["foreign"].as_u64()), (Some(1), Some(2)));
        let first = &value["boxes"][0];
        assert_eq!(first["id"], "testbox-97b45cbc-14646-190080");
        assert_eq!(first["memory_limit_bytes"], 1 << 30);
        assert!(first.get("short_id").is_none());
    }
}
