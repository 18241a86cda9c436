//! The texts, word by word, in each situation.

mod pytest;

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;

use testbox_model::*;

use super::{Style, Terminal};
use crate::{Leftover, sample};

const PLAIN: Style = Style { color: false, verbosity: 0, width: 0 };
const QUIET: Style = Style { verbosity: -1, ..PLAIN };
const VERBOSE: Style = Style { verbosity: 1, ..PLAIN };

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a terminal of this style shows.
fn shown(style: Style, act: impl FnOnce(&mut Terminal)) -> String {
    let out = Shared::default();
    act(&mut Terminal::new(Box::new(out.clone()), style));
    String::from_utf8(out.0.take()).unwrap()
}

fn verdict_of(record: &RunRecord, style: Style) -> String {
    let report = PathBuf::from(".testbox/last/testbox.json");
    shown(style, |terminal| terminal.verdict(record, &judge(record), Some(&report)))
}

fn record_with(change: impl FnOnce(&mut RunRecord)) -> RunRecord {
    let mut record = sample::record();
    change(&mut record);
    record
}

fn stopped(cause: StopCause, killed: bool) -> RunRecord {
    record_with(|record| {
        record.evidence.payload = PayloadEnd::Signaled { signal: if killed { 9 } else { 15 } };
        record.evidence.stop = Some(Stop { cause, at_ms: 3_000, killed });
    })
}

fn process(command: &str, mib: u64) -> ProcessUse {
    ProcessUse { command: command.to_owned(), resident_bytes: Bytes(mib << 20) }
}

fn out_of_memory() -> RunRecord {
    record_with(|record| {
        record.duration_ms = 41_200;
        record.evidence.payload = PayloadEnd::Signaled { signal: 9 };
        let memory = &mut record.evidence.memory;
        (memory.oom_kills, memory.limit_hits, memory.peak_bytes) = (1, 77, Some(Bytes(2 << 30)));
        memory.largest = vec![process("python -m pytest tests/", 1946), process("sh -c make", 12)];
    })
}

fn degraded() -> Vec<WallReport> {
    let mut walls = sample::walls();
    walls[3] =
        WallReport::degraded(Wall::Memory, "sampled every 50 ms").with_note("a burst between two samples escapes it");
    walls[8] = WallReport::off(Wall::Network, "the host's network (--net host)");
    walls
}

/// The lines of a block, each as it must stand.
fn assert_lines(actual: &str, expected: &[&str]) {
    assert_eq!(actual, expected.iter().map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn the_header_says_limits_and_walls_in_two_lines() {
    assert_lines(
        &shown(PLAIN, |terminal| terminal.header(&sample::plan(), &sample::walls())),
        &[
            "testbox: memory 2.0 GiB, swap 0, 512 pids, all CPUs, scratch 512.0 MiB, timeout 30 min",
            "  walls: namespaces capabilities seccomp memory pids disk network",
        ],
    );
}

#[test]
fn the_header_names_what_was_asked_for_besides() {
    let mut plan = sample::plan();
    plan.limits.swap_bytes.value = Bytes(1 << 30);
    plan.limits.cpus.value = Some(1.5);
    plan.limits.io_write.value = Some(Rate(10 << 20));
    plan.limits.fsize_bytes.value = Some(Bytes(1 << 20));
    plan.times.idle_timeout.value = Some(Duration::from_secs(90));
    assert_lines(
        &shown(PLAIN, |terminal| terminal.header(&plan, &[])),
        &["testbox: memory 2.0 GiB, swap 1.0 GiB, 512 pids, 1.5 CPUs, scratch 512.0 MiB, disk writes 10.0 MiB/s, \
           files up to 1.0 MiB, timeout 30 min, idle timeout 1 min 30 s"],
    );
}

#[test]
fn the_header_shouts_weaker_walls_and_wraps_where_the_terminal_ends() {
    assert_lines(
        &shown(Style { width: 60, ..PLAIN }, |terminal| terminal.header(&sample::plan(), &degraded())),
        &[
            "testbox: memory 2.0 GiB, swap 0, 512 pids, all CPUs,",
            "  scratch 512.0 MiB, timeout 30 min",
            "  walls: namespaces capabilities seccomp pids disk",
            "  DEGRADED memory: sampled every 50 ms",
            "  OFF network: the host's network (--net host)",
            "  note on memory: a burst between two samples escapes it",
        ],
    );
}

#[test]
fn a_verbose_header_tells_each_origin_and_mechanism() {
    assert_lines(
        &shown(VERBOSE, |terminal| terminal.header(&sample::plan(), &degraded())),
        &[
            "testbox: memory 2.0 GiB, swap 0, 512 pids, all CPUs, scratch 512.0 MiB, timeout 30 min",
            "  command       pytest -x",
            "  project       /home/ada/project",
            "  policy        default               (policy default)",
            "  memory        2.0 GiB               (flag --memory)",
            "  swap          0                     (policy default)",
            "  pids          512                   (policy default)",
            "  CPUs          all CPUs              (policy default)",
            "  open files    4096                  (policy default)",
            "  disk reads    no limit              (policy default)",
            "  disk writes   no limit              (policy default)",
            "  scratch       512.0 MiB             (machine: 1/4 of the memory limit)",
            "  inodes        65536                 (policy default)",
            "  output        64.0 MiB              (policy default)",
            "  file size     no limit              (policy default)",
            "  timeout       30 min                (testbox.toml:3)",
            "  idle timeout  no limit              (policy default)",
            "  grace         2 s                   (policy default)",
            "  isolate       session               (policy default)",
            "  jobs          1                     (policy default)",
            "  test memory   no limit              (policy default)",
            "  file memory   no limit              (policy default)",
            "  collection    5 min                 (policy default)",
            "  test timeout  no limit              (policy default)",
            "  teardown      no limit              (policy default)",
            "  max kills     10                    (policy default)",
            "  retry killed  0                     (policy default)",
            "  quotas        0                     (policy default)",
            "  network       none (loopback only)  (policy default)",
            "  seccomp       default               (policy default)",
            "  wall namespaces   user pid mount net ipc uts cgroup",
            "  wall capabilities all dropped, no_new_privs",
            "  wall seccomp      profile default",
            "  wall pids         cgroup v1 pids.max",
            "  wall disk         tmpfs with size and nr_inodes",
            "  DEGRADED memory: sampled every 50 ms",
            "  OFF network: the host's network (--net host)",
            "  note on memory: a burst between two samples escapes it",
        ],
    );
}

#[test]
fn passed() {
    let line = "testbox: PASSED in 3.2 s  (peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU)";
    assert_lines(&verdict_of(&sample::record(), PLAIN), &[line]);
    assert_eq!(verdict_of(&sample::record(), QUIET), "");
}

#[test]
fn passed_with_everything_that_a_reader_must_know() {
    let record = record_with(|record| {
        record.walls = degraded();
        record.evidence.disk[0].full = true;
        record.evidence.pids.refused_forks = 1;
        record.evidence.cpu.throttled_ms = 1500;
        record.evidence.output.bytes = (64 << 20) + 1;
        record.evidence.left_behind = vec![process("sleep 1000", 1)];
        record.carried_out = vec![".coverage".to_owned(), "junit.xml".to_owned()];
        record.warnings = vec!["cannot carry out `big.log`: larger than 64.0 MiB".to_owned()];
    });
    assert_lines(
        &verdict_of(&record, PLAIN),
        &[
            "testbox: PASSED in 3.2 s  (peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU)",
            "  DEGRADED memory: sampled every 50 ms",
            "  note: 1 fork was refused at the limit of 512 processes and threads",
            "  note: the scratch space was full (512.0 MiB)",
            "  note: the output was cut at 64.0 MiB",
            "  note: the CPU limit held the box back for 1.5 s",
            "  1 process was left behind and killed with the box: sleep 1000",
            "  2 files carried out: .coverage, junit.xml",
            "  warning: cannot carry out `big.log`: larger than 64.0 MiB",
        ],
    );
}

#[test]
fn standstills_explain_a_slow_run() {
    let stalled = StallEvidence { memory_ms: Some(2_000), io_ms: Some(1_000), cpu_ms: Some(300) };
    let memory =
        "  note: for 2 s nothing of the box could run for want of memory: what it uses again and again does not fit";
    let passed = record_with(|record| record.evidence.stalled = stalled);
    let notes = |record: &RunRecord| -> Vec<String> {
        verdict_of(record, PLAIN).lines().filter(|line| line.starts_with("  note: for")).map(str::to_owned).collect()
    };
    assert_eq!(notes(&passed), [memory], "a slow disk is no news of a run that ended in time");
    let late = record_with(|record| {
        record.evidence.stalled = stalled;
        record.evidence.stop = Some(Stop { cause: StopCause::Timeout, at_ms: 3_100, killed: true });
    });
    let disk = "  note: for 1 s nothing of the box could run before something was read or written";
    assert_eq!(notes(&late), [memory, disk], "less than a tenth of the time is no explanation");
}

#[test]
fn warnings_are_told_even_if_quiet_and_passed() {
    let record = record_with(|record| record.warnings = vec!["cannot write to stdout any more".to_owned()]);
    let quiet = Style { verbosity: -1, ..PLAIN };
    assert_lines(&verdict_of(&record, quiet), &["testbox: warning: cannot write to stdout any more"]);
}

#[test]
fn output_that_a_reader_did_not_take_was_not_cut_at_the_limit() {
    let record = record_with(|record| record.evidence.output.truncated = true);
    assert!(!verdict_of(&record, PLAIN).contains("cut"));
}

#[test]
fn failed_is_told_even_if_quiet() {
    let record = record_with(|record| record.evidence.payload = PayloadEnd::Exited { code: 1 });
    let expected = [
        "testbox: FAILED: the command exited with 1; no limit was reached",
        "  took 3.2 s; peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU",
        "  report: .testbox/last/testbox.json",
    ];
    assert_lines(&verdict_of(&record, PLAIN), &expected);
    assert_lines(&verdict_of(&record, QUIET), &expected);
}

#[test]
fn memory() {
    assert_lines(
        &verdict_of(&out_of_memory(), PLAIN),
        &[
            "testbox: MEMORY: the box used all of its 2.0 GiB (peak 2.0 GiB, 5 processes; largest: \
             python -m pytest tests/ 1.9 GiB); killed by the kernel after 41.2 s",
            "  hint: run again with more, for example `--memory 4G`, or look at the largest process above",
            "  report: .testbox/last/testbox.json",
            "  exit code: 120",
        ],
    );
}

#[test]
fn a_verbose_verdict_adds_readback_timeline_and_processes() {
    let verbose = verdict_of(&out_of_memory(), VERBOSE);
    let details: Vec<_> = verbose.lines().skip(2).take(5).collect();
    assert_eq!(
        details,
        [
            "  read back: uid 1000, gid 1000, no capabilities, no new privileges, 3 seccomp filters",
            "  timeline: 3 samples, one every 100 ms; highest memory 210.0 MiB with 5 pids after 100 ms",
            "  at the peak: 1.9 GiB python -m pytest tests/",
            "  at the peak: 12.0 MiB sh -c make",
            "  box: testbox-0a1b2c3d-4242-99",
        ]
    );
}

#[test]
fn timeout_and_interruption() {
    assert_lines(
        &verdict_of(&stopped(StopCause::Timeout, true), PLAIN),
        &[
            "testbox: TIMEOUT: the run was stopped after 3 s, its whole time limit; it did not end within the grace \
             period and was killed",
            "  hint: raise it with `--timeout DUR`; `--idle-timeout DUR` ends only runs that stand still",
            "  took 3.2 s; peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU",
            "  report: .testbox/last/testbox.json",
            "  exit code: 124",
        ],
    );
    assert_lines(
        &verdict_of(&stopped(StopCause::Interrupted { signal: 2 }, false), PLAIN),
        &[
            "testbox: INTERRUPTED: testbox received SIGINT (2) after 3 s",
            "  took 3.2 s; peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU",
            "  report: .testbox/last/testbox.json",
            "  exit code: 130",
        ],
    );
}

#[test]
fn crashed() {
    let record = record_with(|record| record.evidence.payload = PayloadEnd::Signaled { signal: 11 });
    assert_lines(
        &verdict_of(&record, PLAIN),
        &[
            "testbox: CRASHED: the command died by SIGSEGV (11), which testbox did not send",
            "  took 3.2 s; peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU",
            "  report: .testbox/last/testbox.json",
            "  exit code: 139",
        ],
    );
}

#[test]
fn a_limit_that_was_reached_is_not_told_twice() {
    let full = record_with(|record| {
        record.evidence.disk[0].full = true;
        record.evidence.payload = PayloadEnd::Exited { code: 1 };
    });
    let forks = record_with(|record| {
        record.evidence.pids.refused_forks = 40;
        record.evidence.payload = PayloadEnd::Exited { code: 1 };
    });
    for (record, start) in [(full, "testbox: DISK: all 512.0 MiB"), (forks, "testbox: PIDS: the box reached its 512")] {
        let text = verdict_of(&record, PLAIN);
        assert!(text.starts_with(start), "{text}");
        assert!(!text.contains("note: "), "{text}");
    }
}

#[test]
fn a_run_that_never_began_has_no_numbers() {
    let detail = "execve: No such file or directory".to_owned();
    let record = record_with(|record| {
        record.evidence.payload = PayloadEnd::SetupFailed { step: SetupStep::Exec, errno: 2, detail };
    });
    assert_lines(
        &verdict_of(&record, PLAIN),
        &[
            "testbox: NOT FOUND: `pytest` was not found in the box (execve: No such file or directory)",
            "  hint: check the spelling, or show its folder to the box with `--ro PATH`",
            "  report: .testbox/last/testbox.json",
            "  exit code: 127",
        ],
    );
}

#[test]
fn long_lists_are_cut_and_counted() {
    let record = record_with(|record| {
        record.evidence.left_behind = (1..=8).map(|n| process(&format!("daemon {n}"), 1)).collect();
        record.evidence.left_behind[0].command = "x".repeat(120);
        record.carried_out = (1..=8).map(|n| format!("out/{n}")).collect();
    });
    let text = verdict_of(&record, PLAIN);
    let expected = format!(
        "  at least 8 processes were left behind and killed with the box: {}..., daemon 2, daemon 3, daemon 4, daemon 5 and 3 more\n",
        "x".repeat(80)
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.ends_with("  8 files carried out\n"), "{text}");
    assert!(verdict_of(&record, VERBOSE).contains("carried out: out/1, out/2, out/3, out/4, out/5 and 3 more\n"));
}

#[test]
fn live_lines_explain_pauses_and_ends() {
    let readback = sample::record().evidence.readback.unwrap();
    let stopping = |cause| RunEvent::Stopping { cause, at_ms: 3_000 };
    for (event, normal, verbose) in [
        (
            RunEvent::Started { readback },
            "",
            "testbox: started: uid 1000, gid 1000, no capabilities, no new privileges, 3 seccomp filters\n",
        ),
        (
            RunEvent::Ended { payload: PayloadEnd::Exited { code: 3 }, at_ms: 3_000 },
            "",
            "testbox: the command ended after 3 s: exit code 3\n",
        ),
        (
            stopping(StopCause::Interrupted { signal: 15 }),
            "testbox: received SIGTERM (15) after 3 s; asking the command to end\n",
            "testbox: received SIGTERM (15) after 3 s; asking the command to end\n",
        ),
        (
            stopping(StopCause::IdleTimeout),
            "testbox: idle timeout after 3 s: no output and no CPU use; asking the command to end\n",
            "testbox: idle timeout after 3 s: no output and no CPU use; asking the command to end\n",
        ),
        (
            RunEvent::Killing { at_ms: 5_000 },
            "testbox: it did not end in time; killing the whole box after 5 s\n",
            "testbox: it did not end in time; killing the whole box after 5 s\n",
        ),
        (
            RunEvent::Warning { text: "no swap accounting".to_owned() },
            "testbox: warning: no swap accounting\n",
            "testbox: warning: no swap accounting\n",
        ),
    ] {
        assert_eq!(shown(PLAIN, |terminal| terminal.on(&event)), normal);
        assert_eq!(shown(VERBOSE, |terminal| terminal.on(&event)), verbose);
        assert_eq!(shown(QUIET, |terminal| terminal.on(&event)), "");
    }
}

#[test]
fn the_first_kill_for_memory_is_told_and_the_others_are_counted() {
    let kills = |terminal: &mut Terminal| (0..3).for_each(|_| terminal.on(&RunEvent::OomKill { at_ms: 3_200 }));
    let line = "testbox: the kernel killed a process of the box for want of memory after 3.2 s\n";
    assert_eq!(shown(PLAIN, kills), line);
    assert_eq!(shown(VERBOSE, kills), line.repeat(3));
}

#[test]
fn a_standstill_is_told_once() {
    let stalls = |terminal: &mut Terminal| (0..2).for_each(|_| terminal.on(&RunEvent::Stalled { at_ms: 4_000 }));
    let line = "testbox: for want of memory the box stands still most of the time, since 4 s\n";
    assert_eq!(shown(PLAIN, stalls), line);
    assert_eq!(shown(QUIET, stalls), "");
}

#[test]
fn faults_have_causes_and_a_hint() {
    let fault = Fault {
        message: "cannot set the memory limit of 512.0 MiB on `/sys/fs/cgroup/testbox-1`".to_owned(),
        causes: vec!["write memory.max: Device or resource busy (EBUSY)".to_owned()],
        hint: Some("stop the processes of that group".to_owned()),
        exit_code: ExitCode::Fault,
    };
    let expected = [
        "error: cannot set the memory limit of 512.0 MiB on `/sys/fs/cgroup/testbox-1`",
        "  Caused by: write memory.max: Device or resource busy (EBUSY)",
        "hint: stop the processes of that group",
    ];
    assert_lines(&shown(PLAIN, |terminal| terminal.fault(&fault)), &expected);
    assert_lines(&shown(QUIET, |terminal| terminal.fault(&fault)), &expected);
}

#[test]
fn text_of_the_box_and_the_project_cannot_leave_its_line() {
    const HOSTILE: &str = "a\x1b[2J\r\n::error::x\u{202e}\u{9b}##[group]";
    let mut record = out_of_memory();
    record.box_id = HOSTILE.to_owned();
    record.plan.command = vec![HOSTILE.into()];
    record.plan.project = PathBuf::from(HOSTILE);
    record.plan.policy = Setting::new(HOSTILE.to_owned(), Origin::Policy(HOSTILE.to_owned()));
    record.evidence.memory.largest = vec![process(HOSTILE, 1)];
    record.evidence.left_behind = vec![process(HOSTILE, 1)];
    record.evidence.disk[0] = DiskUse { name: HOSTILE.to_owned(), full: true, ..record.evidence.disk[0].clone() };
    record.carried_out = vec![HOSTILE.to_owned()];
    record.warnings = vec![HOSTILE.to_owned()];
    record.walls =
        vec![WallReport::degraded(Wall::Memory, HOSTILE).with_note(HOSTILE), WallReport::enforced(Wall::Pids, HOSTILE)];
    let strings = || HOSTILE.to_owned();
    let fault =
        Fault { message: strings(), causes: vec![strings()], hint: Some(strings()), exit_code: ExitCode::Fault };
    let mut verdict = judge(&record);
    verdict.hint = Some(strings());
    let detail = HOSTILE.to_owned();
    let payload = PayloadEnd::SetupFailed { step: SetupStep::Exec, errno: 0, detail };
    let text = shown(VERBOSE, |terminal| {
        terminal.header(&record.plan, &record.walls);
        terminal.on(&RunEvent::Warning { text: strings() });
        terminal.on(&RunEvent::Ended { payload, at_ms: 1 });
        terminal.on(&RunEvent::Stopping { cause: StopCause::Fault { detail: strings() }, at_ms: 1 });
        terminal.verdict(&record, &verdict, Some(&PathBuf::from(HOSTILE)));
        terminal.fault(&fault);
    });
    assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains(['\u{202e}', '\u{9b}']), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")) && !text.contains("##["), "{text}");
    assert_eq!(text.matches(r"a\x1b[2J\r\n::error::x\u{202e}\x9b##\[group]").count(), 23, "{text}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    let style = Style { color: true, ..PLAIN };
    let colored = verdict_of(&out_of_memory(), style);
    assert!(colored.starts_with("testbox: \x1b[1;31mMEMORY\x1b[0m: the box"), "{colored}");
    let codes = ["\x1b[1;31m", "\x1b[1;36m", "\x1b[0m"];
    assert_eq!(codes.iter().fold(colored, |text, code| text.replace(code, "")), verdict_of(&out_of_memory(), PLAIN));
}

#[test]
fn colour_needs_the_plan_a_terminal_and_no_no_color() {
    assert!(Style::color_allowed(true, true, None));
    assert!(Style::color_allowed(true, true, Some("".as_ref())), "empty counts as not set");
    assert!(!Style::color_allowed(true, true, Some("1".as_ref())));
    assert!(!Style::color_allowed(false, true, None));
    assert!(!Style::color_allowed(true, false, None));
}

#[test]
fn the_terminal_is_restored_after_the_output() {
    let restored = |mid_line, styled| shown(PLAIN, |terminal| terminal.restore(Leftover { mid_line, styled }));
    assert_eq!(restored(false, false), "");
    assert_eq!(restored(true, false), "\n");
    assert_eq!(restored(true, true), "\x1b[0m\n");
}

#[test]
fn a_terminal_that_is_gone_is_remembered_and_not_written_to_again() {
    struct Gone(Rc<RefCell<u32>>);
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            *self.0.borrow_mut() += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Rc::new(RefCell::new(0));
    let mut terminal = Terminal::new(Box::new(Gone(Rc::clone(&writes))), PLAIN);
    assert!(terminal.write_error().is_none());
    (0..3).for_each(|_| terminal.header(&sample::plan(), &[]));
    assert_eq!(terminal.write_error().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
    assert_eq!(*writes.borrow(), 1);
}

#[test]
fn fuse_overlayfs_is_told_before_the_run_and_at_its_end() {
    let because = "the kernel\nrefuses".to_owned();
    let line = "shown by fuse-overlayfs, because the kernel\\nrefuses";
    let event = RunEvent::ProjectByFuse { because: because.clone() };
    assert_lines(&shown(PLAIN, |terminal| terminal.on(&event)), &[&format!("testbox: the project is {line}")]);
    let record = record_with(|record| record.view = ProjectView::FuseOverlayfs { because });
    let told = verdict_of(&record, PLAIN);
    assert!(told.lines().any(|told| told == format!("  note: the project was {line}")), "{told}");
}

#[test]
fn a_copy_of_the_project_is_told_before_the_run_and_at_its_end() {
    let copy = ProjectCopy { because: "the kernel\nrefuses".to_owned(), bytes: Bytes(3 << 20), inodes: 7 };
    let line = "a copy (3.0 MiB and 7 inodes of the scratch space), because the kernel\\nrefuses";
    let event = RunEvent::ProjectCopied { copy: copy.clone() };
    assert_lines(&shown(PLAIN, |terminal| terminal.on(&event)), &[&format!("testbox: the project is {line}")]);
    assert_eq!(shown(QUIET, |terminal| terminal.on(&event)), "");
    let record = record_with(|record| record.view = ProjectView::Copy(copy));
    let told = verdict_of(&record, PLAIN);
    assert!(told.lines().any(|told| told == format!("  note: the project was {line}")), "{told}");
    assert_eq!(verdict_of(&record, QUIET), "");
}
