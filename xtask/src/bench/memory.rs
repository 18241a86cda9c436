//! Memory of what testbox itself runs: supervisor, reaper and the init in the box; not of the command.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::bench::line::Line;
use crate::bench::place::{Place, User};
use crate::error::Error;
use crate::program::Program;

/// In an ordinary run.
const ORDINARY_BOUND_MIB: f64 = 16.0;
/// Whatever the box prints.
const FLOOD_BOUND_MIB: f64 = 64.0;
const FLOOD_BYTES: u64 = 1 << 30;
/// How much of the flood is read between two looks at the memory.
const STEP_BYTES: usize = 16 << 20;
/// Names of the payload's processes, which are not counted.
const PAYLOAD: [&str; 3] = ["sh", "head", "dash"];

/// Both lines.
pub(crate) fn measure(place: &Place<'_>) -> Result<Vec<Line>, Error> {
    let project = place.project("memory", User::Caller)?;
    let flags = place.testbox(User::Caller, &project)?.degraded_flags();
    let start = |limit: &str, script: &str| {
        let binary = place.dir.join("testbox");
        let program = place.program(User::Caller, &binary).args(["run", "-q", "--output-limit", limit]);
        program.args(&flags).args(["--", "sh", "-c", script]).dir(&project)
    };
    let ordinary = ordinary(start("64M", "echo ready; read line"))?;
    let flood = flood(start("2G", &format!("head -c {FLOOD_BYTES} /dev/zero")))?;
    Ok(vec![
        line("memory of testbox in an ordinary run", ordinary, ORDINARY_BOUND_MIB),
        line("memory of testbox while the box prints 1 GiB", flood, FLOOD_BOUND_MIB),
    ])
}

fn line(name: &str, seen: Seen, bound: f64) -> Line {
    Line {
        name: name.to_owned(),
        value: seen.resident_kib as f64 / 1024.0,
        unit: "MiB",
        bound: Some(bound),
        enforced: true,
        detail: format!(
            "resident, shared pages counted in each of the {} processes: {}",
            seen.parts.len(),
            seen.parts.join(", ")
        ),
    }
}

/// Resident memory at one moment.
#[derive(Default)]
struct Seen {
    resident_kib: u64,
    parts: Vec<String>,
}

/// One look while the command waits for input.
fn ordinary(program: Program) -> Result<Seen, Error> {
    let mut child = program.spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or_else(|| std::io::Error::other("no stdout"))?);
    output.read_line(&mut String::new())?;
    let seen = look(child.id());
    drop(child.stdin.take());
    output.read_to_end(&mut vec![])?;
    child.wait()?;
    Ok(seen)
}

/// The largest of many looks while the output is read.
fn flood(program: Program) -> Result<Seen, Error> {
    let mut child = program.spawn()?;
    let mut output = child.stdout.take().ok_or_else(|| std::io::Error::other("no stdout"))?;
    let (mut worst, mut total, mut buffer) = (Seen::default(), 0, vec![0; STEP_BYTES]);
    loop {
        let read = output.by_ref().take(STEP_BYTES as u64).read(&mut buffer)?;
        let before = total / STEP_BYTES;
        total += read;
        if read == 0 {
            break;
        }
        if total / STEP_BYTES != before {
            let seen = look(child.id());
            worst = if seen.resident_kib > worst.resident_kib { seen } else { worst };
        }
    }
    child.wait()?;
    match total as u64 >= FLOOD_BYTES {
        true => Ok(worst),
        false => Err(std::io::Error::other(format!("the box printed {total} bytes instead of {FLOOD_BYTES}")).into()),
    }
}

/// Adds up a process and all that descend from it, but for the payload.
fn look(pid: u32) -> Seen {
    let mut seen = Seen::default();
    let mut open = vec![PathBuf::from(format!("/proc/{pid}"))];
    while let Some(process) = open.pop() {
        let status = fs_err::read_to_string(process.join("status")).unwrap_or_default();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
        let name = field("Name:");
        let resident: u64 = field("VmRSS:").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        if resident > 0 && !PAYLOAD.contains(&name) {
            seen.resident_kib += resident;
            seen.parts.push(format!("{name} {:.1}", resident as f64 / 1024.0));
        }
        open.extend(children(&process));
    }
    seen
}

fn children(process: &Path) -> Vec<PathBuf> {
    let pid = process.file_name().unwrap_or_default();
    let list = process.join("task").join(pid).join("children");
    let text = fs_err::read_to_string(list).unwrap_or_default();
    text.split_whitespace().map(|pid| Path::new("/proc").join(pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_sees_this_process() {
        let seen = look(std::process::id());
        assert!(seen.resident_kib > 100, "{:?}", seen.parts);
    }
}
