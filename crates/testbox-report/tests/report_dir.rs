//! The report folder under kills and on sick disks: nothing torn, the old report intact, an error that says why.
//!
//! The test binary runs itself again as the process that gets killed or meets the folder; then its arguments are
//! `child KIND DIR`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test program with a main of its own")]

mod requirement;
mod sample;

use std::ffi::OsString;
use std::io::{Read, Write, stdout};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use tempfile::TempDir;
use testbox_model::{RunEvent, Sample, judge};
use testbox_report::{ReportDir, ReportError};

use requirement::{OTHER_USER, Requirement, trial, with_private_mounts};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.as_slice() {
        [_, child, kind, dir] if child == "child" => match kind.to_str() {
            Some("reports") => write_reports(Path::new(dir)),
            Some("journal") => write_journal(Path::new(dir)),
            Some("large") => write_large(Path::new(dir)),
            _ => print_opening(Path::new(dir)),
        },
        // One after the other: whom one test forks has a copy of the lock of another, until it executes its program.
        _ => libtest_mimic::run(&Arguments { test_threads: Some(1), ..Arguments::from_args() }, trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    use Requirement::{OtherUser, PrivateMounts};
    vec![
        Trial::test("no_report_is_torn_in_150_kills", no_report_is_torn_in_150_kills),
        Trial::test("events_up_to_a_kill_are_in_the_journal", events_up_to_a_kill_are_in_the_journal),
        Trial::test("100_000_rows_need_no_second_copy", a_large_report_needs_no_second_copy),
        trial("a_full_disk_keeps_the_old_report", PrivateMounts, a_full_disk_keeps_the_old_report),
        trial("a_journal_on_a_full_disk_has_whole_lines", PrivateMounts, a_journal_on_a_full_disk_has_whole_lines),
        trial("a_read_only_disk_is_named", PrivateMounts, a_read_only_disk_is_named),
        trial("a_folder_without_permission_is_named", OtherUser, a_folder_without_permission_is_named),
    ]
}

// Children.

/// Writes reports for ever; a byte to stdout tells each that is complete.
fn write_reports(dir: &Path) -> ExitCode {
    let mut reports = ReportDir::open(dir, None).unwrap();
    for number in 0u64.. {
        write_numbered(&mut reports, number).unwrap();
        stdout().write_all(b".").and_then(|()| stdout().flush()).unwrap();
    }
    ExitCode::SUCCESS
}

/// Long reports that tell their number at their beginning and near their end.
fn write_numbered(reports: &mut ReportDir, number: u64) -> Result<(), ReportError> {
    let mut record = sample::pytest_record();
    let seen = record.evidence.pytest.get_or_insert_default();
    seen.collected = Some(number);
    seen.tests = (0..99).map(|n| sample::row("a.py::test", n)).collect();
    seen.tests.push(sample::row(&format!("a.py::test_{number}"), number));
    record.box_id = format!("testbox-{number}");
    record.warnings = vec![format!("testbox-{number}")];
    let samples = (0..100).map(|tick| Sample { at_ms: tick, memory_bytes: tick, pids: number, cpu_ms: tick });
    record.timeline.samples = samples.collect();
    reports.write(&record, &judge(&record))
}

/// Writes events for ever; each number goes to stdout after its event was journaled.
fn write_journal(dir: &Path) -> ExitCode {
    let mut reports = ReportDir::open(dir, None).unwrap();
    reports.journal(&started()).unwrap();
    for number in 0u64.. {
        reports.journal(&RunEvent::OomKill { at_ms: number }).unwrap();
        println!("{number}");
    }
    ExitCode::SUCCESS
}

/// Writes a report of 100,000 rows; by how many KiB the process grew meanwhile goes to stdout.
fn write_large(dir: &Path) -> ExitCode {
    let mut reports = ReportDir::open(dir, None).unwrap();
    let mut record = sample::pytest_record();
    record.evidence.pytest.get_or_insert_default().tests =
        (0..100_000).map(|n| sample::row(&format!("tests/test_many.py::test_case[{n}]"), n)).collect();
    let verdict = judge(&record);
    let before = peak_kib();
    reports.write(&record, &verdict).unwrap();
    print!("{}", peak_kib() - before);
    ExitCode::SUCCESS
}

/// The highest resident memory of this process so far.
fn peak_kib() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.unwrap()
}

fn print_opening(dir: &Path) -> ExitCode {
    let told = ReportDir::open(dir, None).err().map(|error| told(&error)).unwrap_or_default();
    print!("{told}");
    ExitCode::SUCCESS
}

#[expect(clippy::disallowed_methods, reason = "the test starts itself again as the process to kill")]
fn child(program: &Path, kind: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["child", kind]).arg(dir).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

// Tests.

fn no_report_is_torn_in_150_kills() -> Result<(), Failed> {
    let project = TempDir::new()?;
    let dir = project.path().join(".testbox/last");
    let mut dice = 0x5eed_u64;
    let mut amid_a_write = 0;
    for round in 0..150 {
        let mut writer = child(&this_program(), "reports", &dir).spawn()?;
        let complete = 1 + random(&mut dice, 3) as usize;
        read_exactly(&mut writer, complete)?;
        spin(Duration::from_micros(random(&mut dice, 20_000)));
        end(writer)?;
        let new = ["testbox.json.new", "junit.xml.new"];
        amid_a_write += usize::from(new.iter().any(|name| dir.join(name).exists()));
        assert_whole(&dir).map_err(|torn| format!("kill {round}: {torn:?}"))?;
    }
    println!("{amid_a_write} of 150 kills fell into a write; none tore a report");
    if amid_a_write == 0 { Err("no kill fell into a write: the test proves nothing".into()) } else { Ok(()) }
}

fn assert_whole(dir: &Path) -> Result<(), Failed> {
    let text = fs_err::read_to_string(dir.join("testbox.json"))?;
    let report: Value = serde_json::from_str(&text)?;
    let whole = text.ends_with("}\n") && report["box_id"] == report["warnings"][0];
    let junit = fs_err::read_to_string(dir.join("junit.xml"))?;
    let after = |start: &str| junit.rsplit_once(start).and_then(|(_, rest)| rest.split_once('"')).map(|(text, _)| text);
    let number = after("name=\"testbox.collected\" value=\"");
    let whole = whole && junit.ends_with("</testsuites>\n") && number.is_some() && number == after("name=\"test_");
    if whole { Ok(()) } else { Err("a report is mixed of two".into()) }
}

fn events_up_to_a_kill_are_in_the_journal() -> Result<(), Failed> {
    let project = TempDir::new()?;
    let dir = project.path().join(".testbox/last");
    let mut dice = 0xcafe_u64;
    for round in 0..30 {
        let mut writer = child(&this_program(), "journal", &dir).spawn()?;
        let mut told = read_exactly(&mut writer, 2 + random(&mut dice, 2_000) as usize)?;
        told.truncate(told.rfind('\n').map_or(0, |end| end + 1));
        end(writer)?;
        let journal = fs_err::read_to_string(dir.join("journal.jsonl"))?;
        let lines = whole_lines(&journal)?;
        let events = lines.iter().filter(|line| line["event"] == "oom-kill");
        let numbers: Vec<_> = events.map(|line| line["at_ms"].as_u64().unwrap_or(u64::MAX)).collect();
        let last_told: u64 = told.lines().last().unwrap_or_default().parse()?;
        let kept = numbers.len() as u64 > last_told && numbers.iter().copied().eq(0..numbers.len() as u64);
        if !kept || lines[0]["event"] != "begin" || lines[1]["event"] != "started" {
            return Err(format!("kill {round}: {last_told} was told, the journal has {}", numbers.len()).into());
        }
    }
    Ok(())
}

fn a_large_report_needs_no_second_copy() -> Result<(), Failed> {
    let project = TempDir::new()?;
    let dir = project.path().join(".testbox/last");
    let grown: u64 = String::from_utf8(child(&this_program(), "large", &dir).output()?.stdout)?.parse()?;
    let sizes = (fs_err::metadata(dir.join("testbox.json"))?.len(), fs_err::metadata(dir.join("junit.xml"))?.len());
    println!("100,000 rows: {sizes:?} bytes, written in {grown} KiB");
    let streamed = grown < 8 << 10 && sizes.0 > 30_000_000 && sizes.1 > 8_000_000;
    if streamed { Ok(()) } else { Err(format!("{sizes:?} bytes took {grown} KiB").into()) }
}

fn a_full_disk_keeps_the_old_report() -> Result<(), Failed> {
    on_small_disk(|disk| {
        let dir = disk.join(".testbox/last");
        write_numbered(&mut ReportDir::open(&dir, None)?, 1)?;
        let old = contents(&dir)?;

        let mut reports = ReportDir::open(&dir, None)?;
        fill(&disk)?;
        let expected = "cannot write `DISK/.testbox/last/testbox.json.new`\nNo space left on device (os error 28)\n\
                        free some space there, or put the report on another disk with `--report-dir DIR`";
        assert_told(write_numbered(&mut reports, 2), &disk, expected)?;
        drop(reports);
        fill(&disk)?;
        let expected = expected.replace("testbox.json.new", "journal.jsonl.new");
        assert_told(ReportDir::open(&dir, None).map(drop), &disk, &expected)?;

        if contents(&dir)? != old {
            return Err("the old report was touched, or something was left beside it".into());
        }
        fs_err::remove_file(disk.join("filler"))?;
        Ok(write_numbered(&mut ReportDir::open(&dir, None)?, 3)?)
    })
}

fn a_journal_on_a_full_disk_has_whole_lines() -> Result<(), Failed> {
    on_small_disk(|disk| {
        let dir = disk.join(".testbox/last");
        let mut reports = ReportDir::open(&dir, None)?;
        reports.journal(&started())?;
        fill(&disk)?;
        let text = "x".repeat(300);
        let refused = (0..100).find_map(|_| reports.journal(&RunEvent::Warning { text: text.clone() }).err());
        let refused = refused.ok_or("the disk never got full")?;
        let expected = "cannot write `DISK/.testbox/last/journal.jsonl`\nNo space left on device (os error 28)\n\
                        free some space there, or put the report on another disk with `--report-dir DIR`";
        assert_told(Err(refused), &disk, expected)?;
        fs_err::remove_file(disk.join("filler"))?;
        reports.journal(&RunEvent::Killing { at_ms: 7 })?;
        let journal = fs_err::read_to_string(dir.join("journal.jsonl"))?;
        let lines = whole_lines(&journal)?;
        let whole = lines.len() > 3 && journal.ends_with('\n') && lines[lines.len() - 1]["event"] == "killing";
        if whole { Ok(()) } else { Err(format!("the journal is not whole: {journal}").into()) }
    })
}

fn a_read_only_disk_is_named() -> Result<(), Failed> {
    on_small_disk(|disk| {
        let dir = disk.join(".testbox/last");
        write_numbered(&mut ReportDir::open(&dir, None)?, 1)?;
        let old = contents(&dir)?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &disk, None::<&str>, flags, None::<&str>)?;
        let hint = "Read-only file system (os error 30)\n\
                    the file system is read-only: put the report elsewhere with `--report-dir DIR`";
        let expected = format!("cannot open `DISK/.testbox/last/lock` for writing\n{hint}");
        assert_told(ReportDir::open(&dir, None).map(drop), &disk, &expected)?;
        let expected = format!("cannot create the folder `DISK/.testbox/new`\n{hint}");
        assert_told(ReportDir::open(&disk.join(".testbox/new"), None).map(drop), &disk, &expected)?;
        if contents(&dir)? == old { Ok(()) } else { Err("the old report was touched".into()) }
    })
}

fn a_folder_without_permission_is_named() -> Result<(), Failed> {
    let project = TempDir::new()?;
    let program = project.path().join("program");
    copy(&this_program(), &program)?;
    fs_err::set_permissions(project.path(), PermissionsExt::from_mode(0o755))?;
    let output =
        child(&program, "open", &project.path().join(".testbox/last")).uid(OTHER_USER).gid(OTHER_USER).output()?;
    let told = String::from_utf8(output.stdout)?.replace(&project.path().display().to_string(), "PROJECT");
    let expected = "cannot create the folder `PROJECT/.testbox`\nPermission denied (os error 13)\n\
                    make the folder writable for this user, or put the report elsewhere with `--report-dir DIR`";
    if told == expected { Ok(()) } else { Err(format!("told: {told}").into()) }
}

// Their tools.

/// By a process of its own: a descriptor of this one would be inherited by what other tests start meanwhile, and a program
/// that somebody has open for writing cannot be executed.
#[expect(clippy::disallowed_methods, reason = "a plain copy, by another process")]
fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    let status = Command::new("cp").arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(format!("cp: {status}").into()) }
}

fn started() -> RunEvent {
    RunEvent::Started { readback: sample::record().evidence.readback.unwrap() }
}

/// Message, cause and hint, as the user reads them.
fn told(error: &ReportError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!("\n{cause}")).unwrap_or_default();
    format!("{error}{cause}\n{}", error.hint().unwrap_or_default())
}

fn assert_told(result: Result<(), ReportError>, disk: &Path, expected: &str) -> Result<(), Failed> {
    let told = result.err().map(|error| told(&error)).unwrap_or_default();
    let told = told.replace(&disk.display().to_string(), "DISK");
    if told == expected { Ok(()) } else { Err(format!("expected:\n{expected}\ntold:\n{told}").into()) }
}

/// Runs the test on a file system of 512 KiB that nobody else sees.
fn on_small_disk(test: impl FnOnce(PathBuf) -> Result<(), Failed> + Send + 'static) -> Result<(), Failed> {
    let disk = TempDir::new()?;
    let path = disk.path().to_owned();
    with_private_mounts(move || {
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=512k,nr_inodes=64"))?;
        test(path)
    })?
}

/// Leaves not one free block.
fn fill(disk: &Path) -> Result<(), Failed> {
    let mut filler = fs_err::OpenOptions::new().create(true).append(true).open(disk.join("filler"))?;
    match std::io::copy(&mut std::io::repeat(0), &mut filler) {
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
        other => Err(format!("the disk did not get full: {other:?}").into()),
    }
}

/// Every file of the folder but the lock, which names the last run.
fn contents(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, Failed> {
    let mut files = vec![];
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if !path.ends_with("lock") {
            files.push((path.clone(), fs_err::read(path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// The lines of a journal; the last one is not whole if a kill fell into its write.
fn whole_lines(journal: &str) -> Result<Vec<Value>, Failed> {
    let whole = &journal[..journal.rfind('\n').map_or(0, |end| end + 1)];
    Ok(whole.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn read_exactly(child: &mut Child, count: usize) -> Result<String, Failed> {
    let mut bytes = vec![0; count];
    child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes)?)
}

/// SIGKILL, and reaped.
fn end(mut child: Child) -> Result<(), Failed> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Passes time without giving up the CPU, so that short times are kept.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A number below `limit` (xorshift: every run draws the same).
fn random(state: &mut u64, limit: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % limit
}
