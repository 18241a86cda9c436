//! The tests that look at a whole host, in guests with systemd and cgroup v2: as root, as an ordinary user with and without
//! a systemd of its own, and in a container of such a user.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cache::is_root;
use crate::error::{Error, describe};
use crate::guest::{self, Disk, Frame, Guest, Job, User};
use crate::program::tail;
use crate::test::checks::is_a_must;
use crate::test::counts::{Counts, of_cargo_test, skips_of_cargo_test};
use crate::test::part::{Context, Outcome};

/// One guest, boot included.
const LIMIT: Duration = Duration::from_secs(30 * 60);
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
}

/// The places of each guest. The guests run at the same time, each with one CPU.
const GUESTS: [&[Place]; 2] = [&[ROOT], &[TESTER, PLAIN, CONTAINER]];

const ROOT: Place = Place {
    name: "root",
    user: User::Root,
    must: "root,box,enforced,user,degraded,systemd,python3,pytest,runc,bwrap,groups,place",
    degraded: None,
    files: &[
        "scope",
        "restricted",
        "doctor",
        "cli",
        "bad_input",
        "reports",
        "tty",
        "views",
        "boxes",
        "pytest",
        "supervisor-real",
        "cgroup-real",
        "verdicts",
        "hostile",
        "cleanup",
        "workers",
    ],
};

const TESTER: Place = Place {
    name: "tester",
    user: User::Tester,
    must: "box,enforced,user,systemd,user-systemd,python3,pytest,bwrap,place",
    degraded: None,
    files: &["scope", "doctor", "views", "verdicts", "hostile", "cleanup", "workers"],
};

const PLAIN: Place = Place {
    name: "plain",
    user: User::Plain,
    must: "box,user,degraded,systemd,python3,pytest,bwrap,place",
    degraded: Some("memory,pids"),
    files: &["doctor", "views", "verdicts", "hostile", "cleanup"],
};

const CONTAINER: Place = Place {
    name: "container",
    user: User::Container,
    must: "box,user,degraded,python3,pytest,place",
    degraded: Some("memory,pids"),
    files: &["doctor", "views", "verdicts", "hostile", "cleanup"],
};

/// One file of tests in one place.
struct Run {
    file: &'static str,
    place: &'static Place,
    output: String,
    complaints: String,
    /// `None`: it did not end.
    code: Option<i32>,
}

/// Runs every file in every place, and prints the table.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    if !is_a_must(NEED) && !context.is_asked(NEED) {
        return Ok(unmet("boots two guests for some minutes: ask for it with `--part guest`"));
    }
    if !is_root() {
        return Ok(unmet("only root can make the guest's image"));
    }
    let guest = match Guest::find(context.workspace, true) {
        Ok(guest) => guest,
        Err(error) => return Ok(unmet(describe(&error).lines().next().unwrap_or_default())),
    };
    let disks = GUESTS.iter().map(|_| guest::lay_out(context.workspace)).collect::<Result<Vec<_>, _>>()?;
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    std::thread::scope(|threads| {
        let started = GUESTS.iter().zip(disks);
        let guests: Vec<_> = started.map(|(places, disk)| threads.spawn(|| in_guest(&guest, disk, places))).collect();
        for guest in guests {
            let (ran, error) = guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            runs.extend(ran);
            errors.extend(error);
        }
    });
    let log: String = runs.iter().map(Run::log).collect();
    fs_err::write(context.logs.join("guest.log"), log)?;
    print!("{}{}", table(&runs), notes(&runs));
    Ok(outcome(&runs, &errors))
}

/// Every file of tests of these places; and what ended the guest before it was done.
fn in_guest(guest: &Guest, disk: Disk, places: &'static [Place]) -> (Vec<Run>, Option<Error>) {
    let files = |place: &'static Place| place.files.iter().map(move |file| Run::new(file, place));
    let mut runs: Vec<Run> = places.iter().flat_map(files).collect();
    let jobs: Vec<Job> = runs.iter().map(Run::job).collect();
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
            Frame::Started => {}
            Frame::Stdout(bytes) => run.output.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Stderr(bytes) => run.complaints.push_str(&String::from_utf8_lossy(&bytes)),
            Frame::Exited(code) => run.code = Some(code),
        }
        Ok(())
    });
    (runs, ended.err())
}

impl Run {
    fn new(file: &'static str, place: &'static Place) -> Self {
        Self { file, place, output: String::new(), complaints: String::new(), code: None }
    }

    fn job(&self) -> Job {
        let must = format!("TESTBOX_TEST_MUST={}", self.place.must);
        let degraded = self.place.degraded.map(|walls| format!("TESTBOX_TEST_DEGRADED={walls}"));
        let place = format!("TESTBOX_TEST_PLACE={}", self.place.name);
        let test = ["testbox-test".to_owned(), self.file.to_owned()];
        let words: Vec<String> = ["env".to_owned(), must, place].into_iter().chain(degraded).chain(test).collect();
        Job::new(self.place.user, &words)
    }

    fn counts(&self) -> Counts {
        of_cargo_test(&self.output)
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
            None if self.output.is_empty() => "not run".to_owned(),
            None => "not done".to_owned(),
            Some(_) => format!("{passed} / {failed} / {skipped}"),
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
    let mut files: Vec<&str> = places.iter().flat_map(|place| place.files).copied().collect();
    files.sort_unstable();
    files.dedup();
    let mut text = format!("  {:<16}", "in the guest");
    for place in &places {
        let _ = write!(text, " {:<18}", place.name);
    }
    for file in files {
        let _ = write!(text, "\n  {file:<16}");
        for place in &places {
            let run = runs.iter().find(|run| run.file == file && run.place.name == place.name);
            let _ = write!(text, " {:<18}", run.map_or("-".to_owned(), Run::cell));
        }
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>() + "  (passed / failed / skipped)\n"
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

fn outcome(runs: &[Run], errors: &[Error]) -> Outcome {
    let skips = |run: &Run| {
        let skips = skips_of_cargo_test(&run.output).into_iter();
        skips.map(|skip| format!("{} as {}: {skip}", run.file, run.place.name)).collect::<Vec<_>>()
    };
    let mut failure: String =
        runs.iter().filter(|run| run.code.is_some() && !run.is_good()).map(Run::failure).collect();
    failure.extend(errors.iter().map(describe));
    let unfinished = runs.iter().filter(|run| run.code.is_none() && !run.output.is_empty());
    failure.extend(unfinished.map(Run::failure));
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
        Run { output: output.to_owned(), code, ..Run::new(file, place) }
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
            table.contains("  views            1 / 0 / 1          0 / 1 / 0          -                  -\n"),
            "{table}"
        );
        assert!(table.contains("  cleanup          -                  not run            -"), "{table}");
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
        assert!(text.contains("not done after 1800 s") && text.contains("cleanup as tester did not end"), "{text}");
    }
}
