//! The plan as text, for `--dry-run`: each value with its origin.

use std::fmt::Display;

use testbox_model::{Bytes, Origin, Quota, QuotaOf, RunPlan, SeccompChoice, Setting};

use crate::element::verbosity_word;

/// One line of the table: key, value, origin.
type Row = (&'static str, String, String);

/// The plan as an aligned table of key, value and origin; lists have a line for each item.
pub fn describe(plan: &RunPlan) -> String {
    let mut rows = vec![
        ("command", command(plan), String::new()),
        ("project", plan.project.display().to_string(), String::new()),
        ("cwd", plan.cwd.display().to_string(), String::new()),
        row("policy", &plan.policy),
    ];
    rows.extend(limits(plan));
    rows.extend(times(plan));
    rows.extend(testing(plan));
    rows.extend(view(plan));
    rows.extend(rest(plan));
    table(&rows)
}

fn limits(plan: &RunPlan) -> Vec<Row> {
    let limits = &plan.limits;
    vec![
        row("memory", &limits.memory_bytes),
        row("swap", &limits.swap_bytes),
        row("pids", &limits.pids),
        optional("cpus", &limits.cpus, "all"),
        row("nofile", &limits.nofile),
        optional("io-read", &limits.io_read, "none"),
        optional("io-write", &limits.io_write, "none"),
        row("tmp-size", &limits.tmp_bytes),
        row("tmp inodes", &limits.tmp_inodes),
        row("output-limit", &limits.output_bytes),
        optional::<Bytes>("fsize", &limits.fsize_bytes, "none"),
    ]
}

fn times(plan: &RunPlan) -> Vec<Row> {
    vec![
        row("timeout", &plan.times.timeout),
        optional("idle-timeout", &plan.times.idle_timeout, "none"),
        row("grace", &plan.times.grace),
    ]
}

fn testing(plan: &RunPlan) -> Vec<Row> {
    let testing = &plan.testing;
    let mut rows = vec![
        row("isolate", &testing.isolate),
        row("jobs", &testing.jobs),
        optional("test-memory", &testing.test_memory, "none"),
        optional("file-memory", &testing.file_memory, "none"),
        optional("collect-timeout", &testing.collect_timeout, "none"),
        optional("test-timeout", &testing.test_timeout, "none"),
        optional("teardown-timeout", &testing.teardown_timeout, "none"),
        row("max-kills", &testing.max_kills),
        row("retry-killed", &testing.retry_killed),
        row("memories", &testing.memories),
    ];
    let heads = std::iter::once("quota").chain(std::iter::repeat(""));
    let quotas = testing.quotas.value.iter().zip(heads);
    rows.extend(quotas.map(|(quota, key)| (key, one_quota(quota), origin(&quota.origin))));
    if testing.quotas.value.is_empty() {
        rows.push(("quota", "none".to_owned(), origin(&testing.quotas.origin)));
    }
    rows
}

/// `path tests/e2e/** (12 files): memory 3.0 GiB, isolate test`.
fn one_quota(quota: &Quota) -> String {
    let tests = match (&quota.of, quota.files) {
        (QuotaOf::Node(id), _) => format!("node {id}"),
        (QuotaOf::Marker(name), _) => format!("marker {name}"),
        (QuotaOf::Path(glob), None) => format!("path {glob}"),
        (QuotaOf::Path(glob), Some(0)) => format!("path {glob} (matches no file)"),
        (QuotaOf::Path(glob), Some(1)) => format!("path {glob} (1 file)"),
        (QuotaOf::Path(glob), Some(files)) => format!("path {glob} ({files} files)"),
    };
    let limits = [
        quota.memory_bytes.map(|bytes| format!("memory {bytes}")),
        quota.timeout.map(|span| format!("timeout {span}")),
        quota.pids.map(|pids| format!("pids {pids}")),
        quota.isolate.map(|division| format!("isolate {division}")),
    ];
    format!("{tests}: {}", limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn view(plan: &RunPlan) -> Vec<Row> {
    let view = &plan.view;
    let mut rows = vec![row("write", &view.write)];
    rows.extend(list("ro", &view.ro, |path| path.display().to_string()));
    rows.extend(list("rw", &view.rw, |path| path.display().to_string()));
    rows.extend(list("hide", &view.hide, |path| path.display().to_string()));
    rows.extend(list("output", &view.outputs, Clone::clone));
    rows.push(row("no-plugin", &plan.no_plugin));
    rows.extend(list("env", &plan.env, ToString::to_string));
    rows
}

fn rest(plan: &RunPlan) -> Vec<Row> {
    let seccomp = match &plan.seccomp.value {
        SeccompChoice::Builtin(name) => name.clone(),
        SeccompChoice::File(path) => path.display().to_string(),
    };
    let degraded: Vec<_> = plan.allow_degraded.value.iter().collect();
    let mut rows = vec![row("net", &plan.net), row("seccomp", &with(&plan.seccomp, seccomp))];
    rows.extend(list("allow-degraded", &with(&plan.allow_degraded, degraded), ToString::to_string));
    rows.extend(appearance(plan));
    rows
}

fn appearance(plan: &RunPlan) -> Vec<Row> {
    let (reports, terminal) = (&plan.reports, &plan.terminal);
    let json = if reports.json_to_stdout.value { "-" } else { "none" };
    vec![
        row("report-dir", &with(&reports.dir, reports.dir.value.display())),
        row("json", &with(&reports.json_to_stdout, json)),
        row("verbosity", &with(&terminal.verbosity, verbosity_word(terminal.verbosity.value))),
        row("no-color", &with(&terminal.color, !terminal.color.value)),
        row("tty", &terminal.tty),
        row("raw-output", &terminal.raw_output),
    ]
}

fn row<T: Display>(key: &'static str, setting: &Setting<T>) -> Row {
    (key, setting.value.to_string(), origin(&setting.origin))
}

fn optional<T: Display>(key: &'static str, setting: &Setting<Option<T>>, none: &str) -> Row {
    let value = setting.value.as_ref().map_or_else(|| none.to_owned(), ToString::to_string);
    (key, value, origin(&setting.origin))
}

/// A line for each item, key and origin on the first only.
fn list<T>(key: &'static str, setting: &Setting<Vec<T>>, show: impl Fn(&T) -> String) -> Vec<Row> {
    if setting.value.is_empty() {
        return vec![(key, "none".to_owned(), origin(&setting.origin))];
    }
    let heads = std::iter::once((key, origin(&setting.origin))).chain(std::iter::repeat(("", String::new())));
    setting.value.iter().zip(heads).map(|(item, (key, origin))| (key, show(item), origin)).collect()
}

fn with<T, U>(setting: &Setting<T>, value: U) -> Setting<U> {
    Setting::new(value, setting.origin.clone())
}

fn origin(origin: &Origin) -> String {
    format!("({origin})")
}

fn command(plan: &RunPlan) -> String {
    let words: Vec<String> = plan.command.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    words.join(" ")
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn table(rows: &[Row]) -> String {
    let width = |column: fn(&Row) -> usize| rows.iter().map(column).max().unwrap_or(0);
    let keys = width(|row| row.0.len());
    let values = width(|row| escaped(&row.1).chars().count()).min(48);
    let line = |(key, value, origin): &Row| format!("{key:keys$}  {:values$}  {}", escaped(value), escaped(origin));
    rows.iter().map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

/// Control characters of paths and commands never reach the terminal.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
