//! The tests that look at a whole host, in a guest with systemd and cgroup v2: as root, and as an ordinary user.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cache::is_root;
use crate::error::{Error, describe};
use crate::guest::{self, Disk, Frame, Guest, Job, User};
use crate::program::tail;
use crate::test::checks::is_a_must;
use crate::test::counts::{Counts, of_cargo_test, skips_of_cargo_test};
use crate::test::part::{Context, Outcome};

/// One place, boot included.
const LIMIT: Duration = Duration::from_secs(8 * 60);
/// Lines shown of a file of tests that failed.
const SHOWN_LINES: usize = 60;
/// Files of tests, the quick ones first.
const FILES: [&str; 5] = ["scope", "views", "verdicts", "workers", "cleanup"];
/// Who runs them.
const PLACES: [(&str, User); 2] = [("root", User::Root), ("user with systemd", User::Tester)];
/// Its name as a part and in `TESTBOX_TEST_MUST`.
const NEED: &str = "guest";

/// One file of tests in one place.
struct Run {
    file: &'static str,
    place: &'static str,
    user: User,
    output: String,
    complaints: String,
    /// `None`: it did not end.
    code: Option<i32>,
}

/// A guest for each place at the same time, each with one CPU; runs every file there, and prints the table.
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
    let disks = PLACES.iter().map(|_| guest::lay_out(context.workspace)).collect::<Result<Vec<_>, _>>()?;
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    std::thread::scope(|threads| {
        let places = PLACES.iter().zip(disks);
        let guests: Vec<_> =
            places.map(|((place, user), disk)| threads.spawn(|| in_place(&guest, disk, place, *user))).collect();
        for guest in guests {
            let (ran, error) = guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            runs.extend(ran);
            errors.extend(error);
        }
    });
    let log: String = runs.iter().map(Run::log).collect();
    fs_err::write(context.logs.join("guest.log"), log)?;
    print!("{}", table(&runs));
    Ok(outcome(&runs, &errors))
}

/// Every file of tests as one user; and what ended the guest before it was done.
fn in_place(guest: &Guest, disk: Disk, place: &'static str, user: User) -> (Vec<Run>, Option<Error>) {
    let mut runs: Vec<Run> = FILES.iter().map(|file| Run::new(file, place, user)).collect();
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
    fn new(file: &'static str, place: &'static str, user: User) -> Self {
        Self { file, place, user, output: String::new(), complaints: String::new(), code: None }
    }

    fn job(&self) -> Job {
        Job::new(self.user, &["testbox-test".to_owned(), self.file.to_owned()])
    }

    fn counts(&self) -> Counts {
        of_cargo_test(&self.output)
    }

    /// Everything that it was asked to do, it did.
    fn is_good(&self) -> bool {
        self.code == Some(0) && !self.counts().is_empty()
    }

    fn log(&self) -> String {
        format!("==== {} as {}\n{}{}\n", self.file, self.place, self.output, self.complaints)
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
        format!("{} as {} {ended}\n{failed}{end}\n", self.file, self.place)
    }
}

/// File x place, with passed, failed and skipped.
fn table(runs: &[Run]) -> String {
    let mut text = format!("  {:<12}", "in the guest");
    for (place, _) in PLACES {
        let _ = write!(text, " {place:<20}");
    }
    for file in FILES {
        let _ = write!(text, "\n  {file:<12}");
        for run in runs.iter().filter(|run| run.file == file) {
            let _ = write!(text, " {:<20}", run.cell());
        }
    }
    text + "\n  (passed / failed / skipped)\n"
}

fn outcome(runs: &[Run], errors: &[Error]) -> Outcome {
    let skips = |run: &Run| {
        let skips = skips_of_cargo_test(&run.output).into_iter();
        skips.map(|skip| format!("{} as {}: {skip}", run.file, run.place)).collect::<Vec<_>>()
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

    fn finished(file: &'static str, place: usize, output: &str, code: Option<i32>) -> Run {
        let (place, user) = PLACES[place];
        Run { output: output.to_owned(), code, ..Run::new(file, place, user) }
    }

    const GOOD: &str = "test a ... ok\ntest [skipped, needs cgroup1: none] b ... ignored\n\
                        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
    const BAD: &str = "test a ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured\n";

    #[test]
    fn the_table_has_a_cell_for_each_file_and_place() {
        let runs = [
            finished("views", 0, GOOD, Some(0)),
            finished("views", 1, BAD, Some(101)),
            finished("cleanup", 1, "", None),
        ];
        let table = table(&runs);
        assert!(table.contains("  views        1 / 0 / 1            0 / 1 / 0"), "{table}");
        assert!(table.contains("  cleanup      not run"), "{table}");
    }

    #[test]
    fn what_failed_and_what_did_not_end_is_a_failure() {
        let good = [finished("views", 0, GOOD, Some(0))];
        let outcome_of_good = outcome(&good, &[]);
        assert_eq!((outcome_of_good.failure.is_none(), outcome_of_good.counts().passed), (true, 1));
        assert_eq!(outcome_of_good.skips("guest"), ["guest: views as root: b: skipped, needs cgroup1: none"]);
        assert!(outcome(&[finished("views", 0, BAD, Some(101))], &[]).failure.unwrap().contains("test a ... FAILED"));
        assert!(outcome(&[finished("views", 0, "", Some(0))], &[]).failure.is_some(), "no test was run");
        let slow = Error::GuestTooSlow { limit: LIMIT, console: String::new() };
        let text = outcome(&[finished("cleanup", 1, "running", None)], &[slow]).failure.unwrap();
        assert!(
            text.contains("not done after 480 s") && text.contains("cleanup as user with systemd did not end"),
            "{text}"
        );
    }
}
