//! The view by fuse-overlayfs. /dev/fuse is root's alone on some hosts: here it is everybody's, as distributions have it.

use serde_json::Value;
use testbox_tests::{Finished, Project, testbox_bin};

use crate::ground::{DEEP, Ground};

/// A /dev/fuse for everybody.
const DEVICE: &str =
    "mkdir dev; mount -t tmpfs none dev; mknod -m 666 dev/fuse c 10 229; mount --bind dev/fuse /dev/fuse";
/// The same as it often is.
const OF_ROOT: &str =
    "mkdir dev; mount -t tmpfs none dev; mknod -m 600 dev/fuse c 10 229; mount --bind dev/fuse /dev/fuse";
const OWN: &str = "chown -R 65432:65432 .";
const NO_CGROUPS: &[&str] = &["--allow-degraded", "memory,pids"];

/// Waits for fuse-overlayfs as a child of `$pid`, which is `$daemon` then.
const FIND: &str = "find_daemon() { for stat in /proc/[0-9]*/stat; do read -r one name state parent rest < $stat 2>/dev/null || continue; \
                    test \"$name $parent\" != \"(fuse-overlayfs) $pid\" || { daemon=$one; return 0; }; done; return 1; }; \
                    until find_daemon; do sleep 0.02; done";

fn mounts(device: &str) -> String {
    format!("{device}; {DEEP}")
}

/// How the run saw its project.
#[track_caller]
fn by_fuse(ground: &Ground<'_>) -> Value {
    let report = ground.report();
    assert_eq!(report["view"]["way"], "fuse-overlayfs", "{}", report["view"]);
    let because = report["view"]["because"].as_str().unwrap_or_default();
    assert!(because.starts_with("the kernel refuses an overlay of it"), "{because}");
    report
}

const PROJECT: &str = "echo host > a; echo host > gone; mkdir -m 750 dir; echo s > setuid; echo b > dir/b; chmod 640 dir/b; mkdir old; \
                       echo old > old/old; ln -s a link; echo root > root; chmod 600 root; truncate -s 8192 map; echo x > exec; \
                       printf '#!/bin/sh\\necho ran' > run; chmod 755 run; \
                       touch -d @1000000000 dir/b; chown -hR 65432:65432 .; chown 0 root; chmod 6755 setuid";
/// What a project is used for.
const USE: &str = "cat a; echo box > a; cat a; rm gone; ls gone 2>/dev/null; stat -c '%a %u %Y' dir/b; chmod 600 dir/b; \
                   stat -c %a dir/b; python3 -c 'import shutil; shutil.move(\"dir\", \"dir2\")'; mv dir2/b dir2/c; cat dir2/c; \
                   find . -type f -o -type d | xargs stat -c %i | sort | uniq -d; rm -r old; mkdir old; ls -A old; \
                   cat link; cat root 2>/dev/null; echo t >> setuid; stat -c %a setuid; rm setuid; ./run; \
                   echo more >> a; flock a echo locked; ln a hard; stat -c %h hard; mkfifo fifo; test -p fifo && echo fifo; \
                   python3 -c 'import mmap; f = open(\"map\", \"r+b\"); m = mmap.mmap(f.fileno(), 0); m[0:3] = b\"map\"; m.flush(); \
                   print(open(\"map\", \"rb\").read(3))'; \
                   grep -c 'rw,nosuid,nodev,relatime - fuse fuse-overlayfs rw' /proc/self/mountinfo";

fn used(uid: u32) -> String {
    format!(
        "host\nbox\n640 {uid} 1000000000\n600\nb\nbox\n755\nran\nlocked\n2\nfifo\nb'map'\n1\nhost\n640 65432 1000000000\n\
         a dir exec gone link map old root run setuid\n"
    )
}

const LOOK: &str = "cat a; stat -c '%a %u %Y' dir/b; echo *";

pub(crate) fn view() {
    let mounts = mounts(OF_ROOT);
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: PROJECT, look: LOOK, venv: false };
    let finished = ground.sh(&[], USE).expect_code(0);
    assert_eq!(finished.stdout, used(65_432), "{finished:?}");
    let report = by_fuse(&ground);
    assert_eq!(report["warnings"], serde_json::json!([]));
    assert_eq!(report["evidence"]["left_behind"].as_array().map_or(0, Vec::len), 0, "{}", report["evidence"]);
    let told = finished.stderr.lines().filter(|line| line.contains("shown by fuse-overlayfs, because")).count();
    assert_eq!(told, 2, "before the run and at its end: {}", finished.stderr);
    let read = |name: &str| fs_err::read_to_string(ground.outer.path().join("report").join(name)).expect("a report");
    assert!(read("journal.jsonl").contains("\"event\": \"project-by-fuse\""));
}

pub(crate) fn of_a_user() {
    let mounts = mounts(DEVICE);
    let ground = Ground { outer: Project::unprivileged(), mounts: &mounts, prepare: PROJECT, look: LOOK, venv: false };
    let finished = ground.sh(NO_CGROUPS, USE).expect_code(0);
    assert_eq!(finished.stdout, used(65_432), "{finished:?}");
    by_fuse(&ground);
}

pub(crate) fn outputs() {
    let mounts = mounts(OF_ROOT);
    let prepare = "echo old > junit.xml; echo old > .coverage; mkdir out again; echo x > out/old; echo x > again/x; ln -s old out/link; \
                   mkdir .git; echo ref > .git/HEAD; chown -hR 65432:65432 .";
    let look = "cat junit.xml .coverage out/new again/y; ls -A . out again | sort | tr '\\n' ' '; stat -c %u out/new";
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare, look, venv: false };
    let script = "echo new > junit.xml; rm .coverage; echo new > out/new; rm out/old; ln out/new out/hard; rm out/hard; \
                  rm -r again; mkdir again; echo y > again/y; echo x > .git/hook; ln -s /etc/passwd passwd; mkdir fresh; echo 1 > fresh/1";
    let finished = ground.sh(&["--output", "**"], script).expect_code(0);
    let expected = "new\nold\nnew\ny\n  . .: .coverage .git again: fresh junit.xml link new old out out: x y ";
    let squeezed: Vec<&str> = finished.stdout.split_whitespace().filter(|word| !word.ends_with(':')).collect();
    let expected: Vec<&str> = expected.split_whitespace().filter(|word| !word.ends_with(':') && *word != ".").collect();
    let (mut seen, mut wanted) = (squeezed.clone(), expected.clone());
    wanted.extend(["again", "65432"]);
    seen.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(seen, wanted, "{finished:?}");
    let report = by_fuse(&ground);
    assert_eq!(report["carried_out"], serde_json::json!(["again/y", "fresh/1", "junit.xml", "out/new"]));
    let warnings = ground.warnings();
    assert!(!warnings.contains(".wh."), "{warnings}");
    for left in ["`.coverage` was left behind: the box deleted it", "`out/old` was left", "`passwd` was left"] {
        assert!(warnings.contains(left), "{warnings}");
    }
}

pub(crate) fn bounded() {
    let mounts = mounts(OF_ROOT);
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: OWN, look: "ls", venv: false };
    let finished = ground.sh(&["--tmp-size", "2M"], "head -c 3000000 /dev/zero > big").expect_code(122);
    assert_eq!(finished.stdout, "", "{finished:?}");
    assert_eq!(by_fuse(&ground)["verdict"], "disk");
}

/// The box sees no process of testbox's but its init; fuse-overlayfs sees nothing of the host but programs and the project.
pub(crate) fn apart() {
    let mounts = mounts(OF_ROOT);
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: OWN, look: "", venv: false };
    let script = "grep -l fuse-overlayfs /proc/*/comm; ls /lower /scratch 2>/dev/null; ls /proc | grep -c '^[0-9]'; echo up; sleep 600";
    let seen = format!(
        "{FIND}; while ! grep -q up out; do sleep 0.02; done; ls /proc/$daemon/root/ | tr '\\n' ' '; ls /proc/$daemon/fd | tr '\\n' ' '; \
         grep -E '^(CapEff|NoNewPrivs|Seccomp|NSpid|Uid):' /proc/$daemon/status | tr '\\n\\t' '  '; \
         tr '\\0' '\\n' < /proc/$daemon/environ; readlink /proc/$daemon/fd/3; ls /proc/$daemon/root/proc | grep -c '^[0-9]'; \
         (echo x > /proc/$daemon/root/lower/x) 2>/dev/null || echo read-only; kill -TERM $pid; wait $pid; cat out"
    );
    let finished = supervised(&ground, &[], &seen, script);
    let told = finished.stdout;
    let caps = format!("CapEff: {:016x}", 0b11011);
    let wanted = [
        "lower proc scratch usr",
        &caps,
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "Uid: 65432 65432",
        "\n/dev/fuse\n1\nread-only\n",
    ];
    for part in wanted.iter().map(|part| part.trim_start_matches('\n')) {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    assert!(told.ends_with("read-only\n3\nup\n") || told.ends_with("read-only\n4\nup\n"), "{told}");
}

/// testbox with a script of the box's, as `$pid` in the background of another script; `out` holds what it prints.
fn supervised(ground: &Ground<'_>, options: &[&str], outside: &str, inside: &str) -> Finished {
    let outside = format!("\"$@\" > out & pid=$!; {outside}");
    let mut words = ["sh", "-c", &outside, "sh"].map(str::to_owned).to_vec();
    words.push(testbox_bin().to_string_lossy().into_owned());
    words.extend(ground.outer.run_words());
    words.extend(["--report-dir".to_owned(), ground.outer.path().join("report").to_string_lossy().into_owned()]);
    words.extend(options.iter().map(|word| (*word).to_owned()));
    words.extend(["--", "sh", "-c", inside].map(str::to_owned));
    ground.start(&words)
}

pub(crate) fn killed() {
    // From the first moment of the daemon to the middle of the run.
    let seen = |pause: &str| {
        format!(
            "{FIND}; sleep {pause}; kill -KILL $pid; for one in $(seq 100); do \
             grep -qs fuse /proc/$daemon/cmdline || {{ echo gone $one; break; }}; sleep 0.01; done; wait $pid || echo killed"
        )
    };
    for pause in ["0", "0.02", "0.3"] {
        let roots = Ground { outer: Project::new(), mounts: &mounts(OF_ROOT), prepare: OWN, look: "", venv: false };
        let users =
            Ground { outer: Project::unprivileged(), mounts: &mounts(DEVICE), prepare: OWN, look: "", venv: false };
        for (ground, options) in [(roots, &[][..]), (users, NO_CGROUPS)] {
            let script = "while :; do echo x >> a; done";
            let finished = supervised(&ground, options, &seen(pause), script);
            assert!(finished.stdout.contains("gone") && finished.stdout.contains("killed"), "{pause}: {finished:?}");
        }
    }
}

pub(crate) fn lost() {
    let mounts = mounts(OF_ROOT);
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: OWN, look: "", venv: false };
    let seen = format!(
        "{FIND}; while ! grep -q up out; do sleep 0.02; done; kill -KILL $daemon; wait $pid || echo code $?; cat out"
    );
    let script = "echo up; while echo x >> a; do :; done 2>/dev/null; cat a; exit 3";
    let finished = supervised(&ground, &[], &seen, script).expect_code(0);
    assert_eq!(finished.stdout, "code 3\nup\n", "{finished:?}");
    assert!(finished.stderr.contains("Transport endpoint is not connected"), "{}", finished.stderr);
    let warnings = by_fuse(&ground)["warnings"].to_string();
    assert!(
        warnings.contains("fuse-overlayfs, which showed the project to the box, ended before the box did (signal 9)"),
        "{warnings}"
    );
}

/// Who waits for it waits no longer than the box lives.
pub(crate) fn stuck() {
    let mounts = mounts(OF_ROOT);
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: OWN, look: "", venv: false };
    let seen =
        format!("{FIND}; while ! grep -q up out; do sleep 0.02; done; kill -STOP $daemon; wait $pid || echo code $?");
    let options = ["--timeout", "1s", "--grace", "1s"];
    let finished = supervised(&ground, &options, &seen, "echo up; while :; do echo x >> a; done").expect_code(0);
    assert_eq!(finished.stdout, "code 124\n", "{finished:?}");
    let report = by_fuse(&ground);
    assert!(report["duration_ms"].as_u64() < Some(4_000), "{report}");
    assert_eq!(report["warnings"], serde_json::json!([]));
}

/// Whatever is in the way.
pub(crate) fn refused() {
    let instead = |file: &str| format!("mount --bind {file} /usr/bin/fuse-overlayfs; {}", mounts(OF_ROOT));
    let sleeps = "printf '#!/usr/bin/sh\\nsleep 600' > sleeps; chmod 755 sleeps";
    // What /dev/null and its like are for.
    let devices = "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; \
                   mknod -m 666 /dev/full c 1 7; mknod -m 666 /dev/random c 1 8; mknod -m 666 /dev/urandom c 1 9; \
                   mknod -m 666 /dev/tty c 5 0";
    let cases = [
        (instead("/dev/null"), "others than root may write /usr/bin/fuse-overlayfs"),
        (instead("/bin/false"), "it ended at once"),
        (format!("{sleeps}; {}", instead("$PWD/sleeps")), "it did not answer within 5 s"),
        (format!("mount --bind /dev/null /dev/fuse; {DEEP}"), "the kernel does not mount it"),
        (format!("{devices}; {DEEP}"), "/dev/fuse cannot be opened"),
    ];
    for (mounts, why) in cases {
        let ground = Ground { outer: Project::new(), mounts: &mounts, prepare: OWN, look: "ls", venv: false };
        let finished = ground.sh(&[], "echo x > a; cat a").expect_code(0);
        assert_eq!(finished.stdout, "x\n", "{finished:?}");
        ground.copy(why);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}

pub(crate) fn pytest() {
    let mounts = mounts(OF_ROOT);
    let prepare = "printf 'def test_good(tmp_path): (tmp_path / \"a\").write_text(\"a\")\\ndef test_bad(): assert 0\\n' > test_it.py; \
                   cp test_it.py test_more.py; chown -R 65432:65432 .";
    let look = "cat .pytest_cache/v/cache/lastfailed";
    let ground = Ground { outer: Project::new(), mounts: &mounts, prepare, look, venv: true };
    let finished = ground.run(&["--isolate", "test"], &["pytest", "-q"]).expect_code(1);
    assert!(finished.stdout.contains("2 failed, 2 passed"), "{finished:?}");
    assert!(finished.stdout.contains("\"test_it.py::test_bad\": true"), "{finished:?}");
    by_fuse(&ground);
    let junit = fs_err::read_to_string(ground.outer.path().join("report/junit.xml")).expect("junit.xml");
    assert!(junit.contains("<property name=\"testbox.view\" value=\"fuse-overlayfs\"/>"), "{junit}");
}

pub(crate) fn doctor() {
    let mounts = mounts(DEVICE);
    let prepare = "chmod 777 .; export TMPDIR=$PWD";
    let ground = Ground { outer: Project::unprivileged(), mounts: &mounts, prepare, look: "", venv: false };
    let words = [testbox_bin().to_string_lossy().into_owned(), "doctor".to_owned()];
    let said = ground.start(&words).stdout;
    let overlay = "absent  overlay       boxes see their project by fuse-overlayfs; a box wrote into it, and the project is unchanged\n";
    assert!(said.contains(overlay), "{said}");
    assert!(said.contains("      because: the kernel refuses an overlay of it"), "{said}");
}
