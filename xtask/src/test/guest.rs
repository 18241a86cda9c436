//! The tests that look at a whole host, in guests with systemd and cgroup v2: as root, as an ordinary user with and without
//! a systemd of its own, and in a container of such a user.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::cache::is_root;
use crate::error::{Error, describe};
use crate::guest::{self, Disk, Frame, Guest, Job, User};
use crate::program::tail;
use crate::test::checks::is_a_must;
use crate::test::counts::{Counts, of_cargo_test, skips_of_cargo_test};
use crate::test::part::{Context, Outcome};
use crate::workspace::Workspace;

/// One guest, boot included.
const LIMIT: Duration = Duration::from_secs(45 * 60);
/// Lines shown of a file of tests that failed.
const SHOWN_LINES: usize = 60;
/// Its name as a part and in `TESTBOX_TEST_MUST`.
const NEED: &str = "guest";

/// Who runs which files of tests, and what must be there for them: a test that needs it and does not find it fails.
struct Place {
    /// As in `TESTBOX_TEST_PLACE`.
    name: &'static str,
    user: User,
    must: &'static str,
    /// Walls that nobody gives a box there; every run does without them.
    degraded: Option<&'static str>,
    files: &'static [&'static str],
    /// Files that take long and depend little on the place: the part `blackbox` has them on the machine itself.
    on_request: &'static [&'static str],
}

/// The places of each guest. The guests run at the same time, each with one CPU.
const GUESTS: [&[Place]; 3] = [&[ROOT], &[TESTER], &[PLAIN, CONTAINER]];

const ROOT: Place = Place {
    name: "root",
    user: User::Root,
    must: "root,box,enforced,user,degraded,systemd,python3,pytest,runc,bwrap,podman,groups,cgroup2-memory,twins,place",
    degraded: None,
    files: &[
        "scope",
        // The doctor's remedies, which are tried later, give users what they do not have here.
        "starters",
        "restricted",
        "doctor",
        "containers",
        "cli",
        "bad_input",
        "reports",
        "tty",
        "views",
        "copies",
        "boxes",
        "pytest",
        "supervisor-real",
        "cgroup-real",
        "verdicts",
        "hostile",
        "cleanup",
        "twin",
    ],
    on_request: &["workers"],
};

const TESTER: Place = Place {
    name: "tester",
    user: User::Tester,
    must: "box,enforced,user,systemd,user-systemd,python3,pytest,bwrap,podman,twins,place",
    degraded: None,
    files: &["scope", "doctor", "containers", "views", "copies", "verdicts", "hostile", "cleanup", "twin"],
    on_request: &["workers"],
};

const PLAIN: Place = Place {
    name: "plain",
    user: User::Plain,
    must: "box,user,degraded,systemd,python3,pytest,bwrap,twins,place",
    degraded: Some("memory,pids"),
    files: &["doctor", "views", "copies", "verdicts", "hostile", "cleanup"],
    on_request: &["pytest", "workers", "twin"],
};

const CONTAINER: Place = Place {
    name: "container",
    user: User::Container,
    must: "box,user,degraded,python3,pytest,twins,place",
    degraded: Some("memory,pids"),
    files: &["doctor", "views", "copies", "verdicts", "hostile", "cleanup"],
    on_request: &["pytest", "workers", "twin"],
};

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Where it is a must: without what runs on request, and of the twin runs those of the everyday things, see `arguments`.
    Change,
    /// Where it is only asked for by name: those of real projects as well.
    Whole,
}

/// Of the twin runs those that depend on the place: how tests are divided does not. Of the tests of cgroups, which the
/// part `unit` has on the machine itself, what only cgroup v2 has.
fn arguments(file: &str, extent: Extent) -> &'static [&'static str] {
    match (file, extent) {
        ("twin", Extent::Whole) => &["--skip", ": file", "--skip", ": test", "--skip", ": jobs"],
        ("twin", Extent::Change) => &["everyday", "--skip", ": file", "--skip", ": test", "--skip", ": jobs"],
        ("cgroup-real", Extent::Change) => &["memory_high"],
        _ => &[],
    }
}

/// One file of tests in one place.
struct Run {
    file: &'static str,
    place: &'static Place,
    output: String,
    complaints: String,
    /// `None`: it did not end.
    code: Option<i32>,
    started: Option<Instant>,
    took: Duration,
}

/// Runs every file in every place, and prints the table.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    if !is_a_must(NEED) && !context.is_asked(NEED) {
        return Ok(unmet(
            "boots three guests for some minutes: ask for it with `--part guest`, or with `guest` in TESTBOX_TEST_MUST",
        ));
    }
    if !is_root() {
        return Ok(unmet("only root can make the guest's image"));
    }
    let guest = match Guest::find(context.workspace, true) {
        Ok(guest) => guest,
        Err(error) => return Ok(unmet(describe(&error).lines().next().unwrap_or_default())),
    };
    let extent = if is_a_must(NEED) { Extent::Change } else { Extent::Whole };
    let disks = GUESTS.iter().map(|_| guest::lay_out(context.workspace)).collect::<Result<Vec<_>, _>>()?;
    let log = fs_err::File::create(context.logs.join("guest.log"))?;
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    std::thread::scope(|threads| {
        let started = GUESTS.iter().zip(disks);
        let guests: Vec<_> =
            started.map(|(places, disk)| threads.spawn(|| in_guest(&guest, disk, places, extent, &log))).collect();
        for guest in guests {
            let (ran, error) = guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            runs.extend(ran);
            errors.extend(error);
        }
    });
    print!("{}{}{}", table(&runs), walls(context.workspace)?, notes(&runs));
    Ok(outcome(&runs, &errors))
}

/// Every file of tests of these places, each in the log when it has ended; and what ended the guest before it was done.
fn in_guest(
    guest: &Guest,
    disk: Disk,
    places: &'static [Place],
    extent: Extent,
    mut log: &fs_err::File,
) -> (Vec<Run>, Option<Error>) {
    let mut runs: Vec<Run> = places.iter().flat_map(|place| place.runs(extent)).collect();
    let jobs: Vec<Job> = runs.iter().map(|run| run.job(extent)).collect();
    let mut waiting = runs.iter_mut();
    let mut running: Option<&mut Run> = None;
    let ended = guest.run(disk, &jobs, LIMIT, |frame| {
        if frame == Frame::Started {
            running = waiting.next();
        }
        let Some(run) = running.as_deref_mut() else {
            return Err(std::io::Error::other("the guest told of a job that it had not started").into());
        };
        match frame {
            Frame::Started => run.started = Some(Instant::now()),
            Frame::Stdout(bytes) => run.output.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Stderr(bytes) => run.complaints.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Exited(code) => {
                run.code = Some(code);
                run.took = run.started.map(|started| started.elapsed()).unwrap_or_default();
                println!("  {:<16} {:<10} {}", run.file, run.place.name, run.cell());
                log.write_all(run.log().as_bytes())?;
            }
        }
        Ok(())
    });
    let undone: String = runs.iter().filter(|run| run.is_undone()).map(Run::log).collect();
    let told = log.write_all(undone.as_bytes()).map_err(Error::from);
    (runs, ended.and(told).err())
}

impl Place {
    fn runs(&'static self, extent: Extent) -> impl Iterator<Item = Run> {
        let on_request = if extent == Extent::Whole { self.on_request } else { &[] };
        self.files.iter().chain(on_request).map(move |file| Run::new(file, self))
    }
}

impl Run {
    fn new(file: &'static str, place: &'static Place) -> Self {
        let (output, complaints) = (String::new(), String::new());
        Self { file, place, output, complaints, code: None, started: None, took: Duration::ZERO }
    }

    fn job(&self, extent: Extent) -> Job {
        let must = format!("TESTBOX_TEST_MUST={}", self.place.must);
        let degraded = self.place.degraded.map(|walls| format!("TESTBOX_TEST_DEGRADED={walls}"));
        let place = format!("TESTBOX_TEST_PLACE={}", self.place.name);
        let test = ["testbox-test", self.file].into_iter().chain(arguments(self.file, extent).iter().copied());
        let words = ["env".to_owned(), must, place].into_iter().chain(degraded).chain(test.map(str::to_owned));
        let words: Vec<String> = words.collect();
        Job::new(self.place.user, &words)
    }

    fn counts(&self) -> Counts {
        of_cargo_test(&self.output)
    }

    /// It began and did not end.
    fn is_undone(&self) -> bool {
        self.code.is_none() && self.started.is_some()
    }

    /// Everything that it was asked to do, it did.
    fn is_good(&self) -> bool {
        self.code == Some(0) && !self.counts().is_empty()
    }

    fn log(&self) -> String {
        format!("==== {} as {}\n{}{}\n", self.file, self.place.name, self.output, self.complaints)
    }

    fn cell(&self) -> String {
        let Counts { passed, failed, skipped } = self.counts();
        match self.code {
            None if self.started.is_none() => "not run".to_owned(),
            None => "not done".to_owned(),
            Some(_) => format!("{passed} / {failed} / {skipped}, {:.0} s", self.took.as_secs_f64()),
        }
    }

    fn failure(&self) -> String {
        let ended = self.code.map_or("did not end".to_owned(), |code| format!("ended with {code}"));
        let failed = self.output.lines().filter(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        let failed: String = failed.map(|line| format!("{line}\n")).collect();
        let end = tail(&format!("{}{}", self.output, self.complaints), SHOWN_LINES);
        format!("{} as {} {ended}\n{failed}{end}\n", self.file, self.place.name)
    }
}

/// File x place, with passed, failed and skipped.
fn table(runs: &[Run]) -> String {
    let places: Vec<&Place> = GUESTS.iter().copied().flatten().collect();
    let mut files: Vec<&str> = runs.iter().map(|run| run.file).collect();
    files.sort_unstable();
    files.dedup();
    let mut text = format!("  {:<16}", "in the guest");
    for place in &places {
        let _ = write!(text, " {:<20}", place.name);
    }
    for file in files {
        let _ = write!(text, "\n  {file:<16}");
        for place in &places {
            let run = runs.iter().find(|run| run.file == file && run.place.name == place.name);
            let _ = write!(text, " {:<20}", run.map_or("-".to_owned(), Run::cell));
        }
    }
    let _ = write!(text, "\n  {:<16}", "in all");
    for place in &places {
        let of_place = || runs.iter().filter(|run| run.place.name == place.name);
        let Counts { passed, failed, skipped } = of_place().map(Run::counts).sum();
        let took: Duration = of_place().map(|run| run.took).sum();
        let _ = write!(text, " {:<20}", format!("{passed} / {failed} / {skipped}, {:.0} s", took.as_secs_f64()));
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>()
        + "  (passed / failed / skipped; - not run)\n"
}

/// Wall x place, from the files with which the tests of `doctor` compare what testbox says there.
fn walls(workspace: &Workspace) -> Result<String, Error> {
    let places: Vec<&Place> = GUESTS.iter().copied().flatten().collect();
    let mut rows: Vec<(String, String)> = vec![("wall".to_owned(), String::new())];
    for place in places {
        let text = fs_err::read_to_string(workspace.root.join(format!("tests/tests/places/{}.txt", place.name)))?;
        let _ = write!(rows[0].1, " {:<20}", place.name);
        for (row, (wall, state)) in text.lines().filter_map(finding).enumerate() {
            if rows.len() <= row + 1 {
                rows.push((wall.to_owned(), String::new()));
            }
            let _ = write!(rows[row + 1].1, " {state:<20}");
        }
    }
    Ok(rows.iter().map(|(wall, states)| format!("  {wall:<16}{}\n", states.trim_end())).collect())
}

/// `ok      memory        cgroup v2 ...`: a wall, and how it stands.
fn finding(line: &str) -> Option<(&str, &'static str)> {
    let (state, rest) = line.split_once(' ')?;
    let state = match state {
        "ok" => "enforced",
        "MISSING" => "degraded",
        "absent" => "not there",
        _ => return None,
    };
    Some((rest.split_whitespace().next()?, state))
}

/// What tests measured.
fn notes(runs: &[Run]) -> String {
    let notes = |run: &Run| {
        let lines = run.complaints.lines().filter_map(|line| line.strip_prefix("note: "));
        lines
            .filter(|line| !line.starts_with("run with `RUST_BACKTRACE"))
            .map(|line| format!("  {}: {line}\n", run.place.name))
            .collect::<String>()
    };
    runs.iter().map(notes).collect()
}

/// What was skipped, by reason; the log has the names of all.
fn skips(run: &Run) -> Vec<String> {
    let mut by_reason: Vec<(String, Vec<String>)> = Vec::new();
    for (name, reason) in skips_of_cargo_test(&run.output) {
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => by_reason.push((reason, vec![name])),
        }
    }
    let told = |(reason, names): (String, Vec<String>)| match &names[..] {
        [name] => format!("{} as {}: {name}: {reason}", run.file, run.place.name),
        several => format!("{} as {}: {} tests: {reason}", run.file, run.place.name, several.len()),
    };
    by_reason.into_iter().map(told).collect()
}

fn outcome(runs: &[Run], errors: &[Error]) -> Outcome {
    let mut failure: String =
        runs.iter().filter(|run| run.code.is_some() && !run.is_good()).map(Run::failure).collect();
    failure.extend(errors.iter().map(describe));
    failure.extend(runs.iter().filter(|run| run.is_undone()).map(Run::failure));
    let counts = runs.iter().map(Run::counts).sum();
    Outcome::tests(counts, runs.iter().flat_map(skips).collect(), (!failure.is_empty()).then_some(failure))
}

fn unmet(reason: &str) -> Outcome {
    if is_a_must(NEED) {
        Outcome::failed(format!("no guest, which is a must here: {reason}"))
    } else {
        Outcome::not_run(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(file: &'static str, place: &'static Place, output: &str, code: Option<i32>) -> Run {
        let started = (!output.is_empty() || code.is_some()).then(Instant::now);
        Run { output: output.to_owned(), code, started, ..Run::new(file, place) }
    }

    const GOOD: &str = "test a ... ok\ntest [skipped, needs cgroup1: none] b ... ignored\n\
                        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
    const BAD: &str = "test a ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured\n";

    #[test]
    fn the_table_has_a_cell_for_each_file_and_place() {
        let runs = [
            finished("views", &ROOT, GOOD, Some(0)),
            finished("views", &TESTER, BAD, Some(101)),
            finished("cleanup", &TESTER, "", None),
        ];
        let table = table(&runs);
        assert!(
            table.contains("  views            1 / 0 / 1, 0 s       0 / 1 / 0, 0 s       -                    -\n"),
            "{table}"
        );
        assert!(table.contains("  cleanup          -                    not run              -"), "{table}");
        assert!(table.contains("  in all           1 / 0 / 1, 0 s       0 / 1 / 0, 0 s "), "{table}");
    }

    #[test]
    fn each_place_says_how_each_wall_stands() {
        let table = walls(&Workspace::find().unwrap()).unwrap();
        let row = |wall: &str| table.lines().find(|line| line.trim_start().starts_with(wall)).unwrap().to_owned();
        let words = |wall: &str| row(wall).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words("wall"), ["wall", "root", "tester", "plain", "container"]);
        assert_eq!(words("memory"), ["memory", "enforced", "enforced", "degraded", "degraded"]);
        assert_eq!(words("seccomp"), ["seccomp", "enforced", "enforced", "enforced", "enforced"]);
        assert!(row("io ").contains("enforced             not there"), "{table}");
    }

    #[test]
    fn what_failed_and_what_did_not_end_is_a_failure() {
        let good = [finished("views", &ROOT, GOOD, Some(0))];
        let outcome_of_good = outcome(&good, &[]);
        assert_eq!((outcome_of_good.failure.is_none(), outcome_of_good.counts().passed), (true, 1));
        assert_eq!(outcome_of_good.skips("guest"), ["guest: views as root: b: skipped, needs cgroup1: none"]);
        assert!(
            outcome(&[finished("views", &ROOT, BAD, Some(101))], &[]).failure.unwrap().contains("test a ... FAILED")
        );
        assert!(outcome(&[finished("views", &ROOT, "", Some(0))], &[]).failure.is_some(), "no test was run");
        let slow = Error::GuestTooSlow { limit: LIMIT, console: String::new() };
        let text = outcome(&[finished("cleanup", &TESTER, "running", None)], &[slow]).failure.unwrap();
        assert!(text.contains("not done after 2700 s") && text.contains("cleanup as tester did not end"), "{text}");
    }
}
