//! Many boxes: at once (P6), one after the other (P7), and a host that stays usable while they misbehave (P14).

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use testbox_tests::{Finished, Need, Project, groups_of, note, pause, wait_until};

use crate::times;
use crate::traced::Traced;

/// Starts that many boxes at once, each in a project of its own; all must pass. The wall time for one of them.
fn crowd(number: u32) -> Duration {
    let projects: Vec<Project> = (0..number).map(|_| Project::new()).collect();
    let started = Instant::now();
    let boxes: Vec<Child> = projects.iter().map(|project| spawn(project.command(&["-q", "--", "/bin/true"]))).collect();
    let pids: Vec<u32> = boxes.iter().map(Child::id).collect();
    for child in boxes {
        Finished::from(child.wait_with_output().expect("an end")).expect_code(0);
    }
    let time = started.elapsed() / number;
    let left: Vec<String> = pids.into_iter().flat_map(groups_of).collect();
    assert!(left.is_empty(), "{left:?}");
    time
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox")
}

pub(crate) fn p6_sixty_four_boxes_at_once() {
    let (mut few, mut many) = (Duration::MAX, Duration::MAX);
    for _ in 0..4 {
        (few, many) = (few.min(crowd(8)), many.min(crowd(64)));
    }
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    note(&format!("P6: a box costs {many:.1?} among 64 and {few:.1?} among 8: {ratio:.2} times"));
    // What systemd does for a scope grows with the number of scopes, and a guest has one CPU that others want as well.
    let bound = if Need::Place.missing().is_none() { 3.0 } else { 1.5 };
    assert!(ratio < bound, "{ratio:.2}");
}

pub(crate) fn p7_short_runs_leave_no_dead_groups() {
    let (before, left) = (memory_groups(), AtomicU32::new(times(10_000, 500)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let project = Project::new();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    project.run(&["-q", "--", "/bin/true"]).expect_code(0);
                }
            });
        }
    });
    // The kernel frees a removed group some seconds later.
    wait_until(Duration::from_secs(30), || memory_groups().abs_diff(before) <= 5);
    let after = memory_groups();
    note(&format!("P7: {before} memory groups before the short runs, {after} after"));
    assert!(after.abs_diff(before) <= 5, "{before} memory groups before, {after} after");
}

/// The kernel's number of memory groups, those that are removed but not yet free included.
fn memory_groups() -> u32 {
    let counted = |line: &str, field| line.split_whitespace().nth(field)?.parse::<u32>().ok();
    if let Ok(all) = fs_err::read_to_string("/sys/fs/cgroup/cgroup.stat") {
        let number = |name: &str| all.lines().find(|line| line.starts_with(name)).and_then(|line| counted(line, 1));
        return number("nr_descendants ").expect("living") + number("nr_dying_descendants ").expect("dying");
    }
    let table = fs_err::read_to_string("/proc/cgroups").expect("the table");
    table.lines().find(|line| line.starts_with("memory\t")).and_then(|line| counted(line, 2)).expect("memory")
}

/// Four boxes at their limits; a process of the host wants to run every 10 ms and starts another now and then.
pub(crate) fn p14_the_host_stays_usable() {
    let attacks: [(&str, &[&str]); 4] = [
        ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n", &["--pids", "300"]),
        ("hold = []\nwhile True: hold.append(bytearray(b'x' * (1 << 20)))\n", &["--memory", "1G"]),
        ("import os\nwhile True: os.write(1, b'x' * 65536)\n", &["--output-limit", "300M"]),
        (
            "f = open('/tmp/fill', 'wb')\nwhile True: f.write(bytes(1 << 20))\n",
            &["--tmp-size", "500M", "--memory", "1G"],
        ),
    ];
    let (over, longest) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| tick(&over, &longest));
        let boxes = attacks.map(|(program, flags)| {
            let traced = Traced::new(program);
            let child = spawn(traced.command(&[flags, &["-q", "--timeout", "10s"]].concat()));
            (traced, child)
        });
        let ends = boxes.map(|(traced, child)| traced.end_of(child));
        over.store(true, Ordering::Relaxed);
        for (Finished { code, stderr, .. }, wanted) in ends.iter().zip([121, 120, 123, 122]) {
            assert!([wanted, 124, 1].contains(code), "{code}, not {wanted}: {stderr}");
        }
    });
    let longest = Duration::from_millis(longest.load(Ordering::Relaxed).into());
    note(&format!("P14: the host stood still for {longest:.1?} at most"));
    assert!(longest < Duration::from_millis(1500), "{longest:?}");
}

/// Until it is over: the longest time between two ticks, in milliseconds, the start of a process included.
fn tick(over: &AtomicBool, longest: &AtomicU32) {
    let mut number = 0u32;
    while !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        pause(Duration::from_millis(10));
        number += 1;
        if number.is_multiple_of(20) {
            assert!(Command::new("/bin/true").status().expect("a process").success());
        }
        longest.fetch_max(started.elapsed().as_millis() as u32, Ordering::Relaxed);
    }
}
