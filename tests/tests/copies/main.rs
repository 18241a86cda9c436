//! Projects of which the kernel makes no overlay, so that fuse-overlayfs makes it, or the box gets a copy. Each refusal is a
//! real one: root's own project on overlayfs (as in a CI container) cannot be id-mapped, the third overlay on top of another
//! is too much, and a user's overlay must not have a mount below it.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod fuse;
mod ground;

use serde_json::Value;
use testbox_tests::{Need, Project, case, testbox_bin};

use ground::{DEEP, Ground};

const ROOT: &[Need] = &[Need::Root, Need::Box];
const USER: &[Need] = &[Need::User];
const FUSE: &[Need] = &[Need::Root, Need::Box, Need::FuseOverlayfs];
/// What an ordinary user may have to do without.
const DEGRADED: &[&str] = &["--allow-degraded", "memory,pids"];

fn main() {
    testbox_tests::run(vec![
        case("root's project on overlayfs: the same tree, as the box's user's own", ROOT, of_root),
        case("of root's project the box sees what an overlay would have shown, and no more", ROOT, rights),
        case("a user's project that no overlay can have below it", ROOT, too_deep),
        case("the same for a user who starts testbox", USER, too_deep_for_a_user),
        case("something mounted inside a user's project is not copied, and is told", USER, mount_inside),
        case("links, FIFOs, sockets, holes and times are as they were", ROOT, kinds),
        case("hidden and covered paths are not in the copy", ROOT, hidden),
        case("declared outputs come out, but nothing that the box did not change", ROOT, outputs),
        case(
            "the environment is shown beside the copy and takes no room",
            &[Need::Root, Need::Box, Need::Python3],
            environment,
        ),
        case(
            "pytest finds its compiled files valid, and its cache comes out",
            &[Need::Root, Need::Box, Need::Pytest],
            pytest,
        ),
        case("a project that does not fit is an error before the command, with its size", ROOT, too_big),
        case("a run that is interrupted while the project is copied ends at once, and says so", ROOT, interrupted),
        case("room that the copy takes is told as the copy's", ROOT, full),
        case("with --write there is no copy, and every report says so", &[Need::Box], write),
        case("the doctor says that boxes get copies", ROOT, doctor),
        case("fuse-overlayfs: the view is that of an overlay, and the project stays as it is", FUSE, fuse::view),
        case("fuse-overlayfs for a user who starts testbox, without cgroups", FUSE, fuse::of_a_user),
        case("fuse-overlayfs: outputs come out, deletions and marks do not", FUSE, fuse::outputs),
        case("fuse-overlayfs: what the box writes is bounded by the scratch space", FUSE, fuse::bounded),
        case("fuse-overlayfs is out of the box's sight and reach, and confined itself", FUSE, fuse::apart),
        case("fuse-overlayfs dies with a testbox that is killed", FUSE, fuse::killed),
        case("fuse-overlayfs that is killed is named in the report", FUSE, fuse::lost),
        case("fuse-overlayfs that does not answer does not delay the end", FUSE, fuse::stuck),
        case("without fuse-overlayfs the box gets a copy, and is told why", FUSE, fuse::refused),
        case(
            "fuse-overlayfs: pytest's workers, and its cache comes out",
            &[Need::Root, Need::Box, Need::FuseOverlayfs, Need::Pytest],
            fuse::pytest,
        ),
        case("the doctor says that fuse-overlayfs shows projects", FUSE, fuse::doctor),
    ]);
}

fn of_root() {
    let ground = Ground {
        look: "stat -c '%a %u %Y' dir/b; cat a; ls -A",
        ..Ground::of_root(
            "echo host > a; mkdir -m 2750 dir; echo b > dir/b; chmod 640 dir/b; touch -d @1000000000 dir/b dir; umask 077",
        )
    };
    let script =
        "stat -c '%a %u %Y %n' dir dir/b; cat a; echo box > a; cat a; rm dir/b; mkdir new; echo x > new/x; id -u";
    let finished = ground.sh(&[], script).expect_code(0);
    let lines: Vec<_> = finished.stdout.lines().collect();
    let id = lines[4];
    assert_ne!(id, "0");
    let expected = [
        &format!("2750 {id} 1000000000 dir"),
        &format!("640 {id} 1000000000 dir/b"),
        "host",
        "box",
        id,
        "640 0 1000000000",
        "host",
        "a",
        "dir",
    ];
    assert_eq!(lines, expected, "{finished:?}");
    let view = ground.copy("supports no id-mapped mount");
    assert!(view["bytes"].as_u64().is_some_and(|bytes| bytes >= 8192), "{view}");
    assert_eq!(view["inodes"], 3);
    let told = finished.stderr.lines().filter(|line| line.contains("a copy (") && line.contains("id-mapped")).count();
    assert_eq!(told, 2, "before the run and at its end: {}", finished.stderr);
    let journal = fs_err::read_to_string(ground.outer.path().join("report/journal.jsonl")).expect("the journal");
    assert!(journal.contains("\"event\": \"project-copied\""), "{journal}");
    assert_eq!(ground.report()["warnings"], serde_json::json!([]));
}

fn rights() {
    let ground = Ground::of_root(
        "echo mine > mine; chmod 600 mine; for f in open closed; do echo $f > $f; chown 4711:4711 $f; done; \
         chmod 604 open; chmod 640 closed; mkdir shut; echo inner > shut/inner; chown -R 4711 shut; chmod 700 shut; \
         echo group > group; chown 4711:0 group; chmod 640 group; ln -s /etc/shadow leak",
    );
    let finished = ground.sh(&[], "cat mine open group; cat closed; cat shut/inner; cat leak; true").expect_code(0);
    assert_eq!(finished.stdout, "mine\nopen\ngroup\n");
    let warnings = ground.warnings();
    for path in ["closed", "shut"] {
        assert!(warnings.contains(&format!("`{path}` is not in the copy of the project")), "{warnings}");
        assert!(finished.stderr.contains(&format!("warning: `{path}` is not in the copy")), "{}", finished.stderr);
    }
    assert!(!warnings.contains("open") && !warnings.contains("mine") && !warnings.contains("leak"), "{warnings}");
}

/// With a file that only root may read, where root makes it.
const DEEP_PROJECT: &str = "echo host > a; mkdir dir; echo secret > dir/b; chmod 600 dir/b; echo root > root; chmod 600 root; \
                            test $(id -u) != 0 || { chown -R 65432:65432 .; chown 0 root; }";

/// In a project of [`DEEP_PROJECT`].
#[track_caller]
fn of_a_user(ground: &Ground<'_>, options: &[&str]) {
    let script = "cat a dir/b; echo box > a; stat -c %u a dir/b; cat root; true";
    let finished = ground.sh(options, script).expect_code(0);
    let uid = nix::unistd::geteuid();
    let (owner, of_root) = if uid.is_root() { (65_432, "") } else { (uid.as_raw(), "root\n") };
    assert_eq!(finished.stdout, format!("host\nsecret\n{owner}\n{owner}\n{of_root}host\n"), "{finished:?}");
    ground.copy("the kernel refuses an overlay of it");
    ground.copy("; and fuse-overlayfs cannot make it: ");
    assert_eq!(ground.warnings().contains("`root` is not in the copy"), uid.is_root(), "{}", ground.warnings());
}

/// Where fuse-overlayfs is a file that others than root can write.
fn without_fuse() -> String {
    format!(
        "for fuse in /usr/bin/fuse-overlayfs /usr/local/bin/fuse-overlayfs; do \
         test ! -e $fuse || mount --bind /dev/null $fuse; done; {DEEP}"
    )
}

fn too_deep() {
    of_a_user(
        &Ground { outer: Project::new(), mounts: &without_fuse(), prepare: DEEP_PROJECT, look: "cat a", venv: false },
        &[],
    );
}

fn too_deep_for_a_user() {
    let mounts = &without_fuse();
    let ground = Ground { outer: Project::unprivileged(), mounts, prepare: DEEP_PROJECT, look: "cat a", venv: false };
    of_a_user(&ground, DEGRADED);
}

fn mount_inside() {
    let ground = Ground {
        outer: Project::unprivileged(),
        mounts: "mkdir -p p; cd p",
        prepare: "mkdir -p sub/data; echo below > sub/data/below; mount -t tmpfs none sub/data; echo seen > sub/data/seen; \
                  echo host > a; echo file > file; mount --bind a file; test $(id -u) != 0 || chown -R 65432:65432 .",
        look: "",
        venv: false,
    };
    let finished = ground.sh(DEGRADED, "cat a; ls sub/data; ls").expect_code(0);
    assert_eq!(finished.stdout, "host\na\nsub\n", "{finished:?}");
    ground.copy("something is mounted inside the project");
    let warnings = ground.warnings();
    assert!(
        warnings.contains("`sub/data` is a mount of its own") && warnings.contains("`file` is not in"),
        "{warnings}"
    );
    let ground = Ground { outer: Project::unprivileged(), ..ground };
    let data = ground.outer.path().join("p/sub/data").to_string_lossy().into_owned();
    let shown = ground.sh(&[DEGRADED, &["--ro", &data]].concat(), "cat sub/data/seen").expect_code(0);
    assert_eq!(shown.stdout, "seen\n", "{shown:?}");
    assert!(!ground.warnings().contains("sub/data"), "{}", ground.warnings());
}

fn kinds() {
    let ground = Ground::of_root(
        "echo x > one; ln one two; ln -s one link; ln -s /nowhere dangling; ln -s .. up; mkfifo fifo; \
         truncate -s 1G hole; echo end >> hole; touch -h -d @1000000000 link; touch -d @1000000000.123456789 one; \
         echo x > setuid; chmod 4755 setuid; mknod device c 1 3; chmod 666 device; printf x > 'odd\nname'; \
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")' || mkfifo socket; mkdir -m 555 closed; \
         mkdir empty; d=deep; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do d=$d/deep; done; \
         mkdir -p $d; echo deep > $d/file",
    );
    let script = "readlink link dangling up; test -p fifo && echo fifo; stat -c %s hole; tail -c 4 hole; stat -c %Y link; \
                  stat -c %y two | cut -d. -f2 | cut -d' ' -f1; stat -c %a setuid closed; ls -Aq | wc -l; \
                  stat -c %h one; cat $(find deep -name file); test -e socket && echo socket; find . -inum 0";
    let finished = ground.sh(&["--tmp-size", "8M", "--memory", "64M"], script).expect_code(0);
    let expected = "one\n/nowhere\n..\nfifo\n1073741828\nend\n1000000000\n123456789\n755\n555\n13\n1\ndeep\nsocket\n";
    assert_eq!(finished.stdout, expected, "{finished:?}");
    let bytes = ground.copy("")["bytes"].as_u64().expect("a number");
    assert!(bytes < 1 << 20, "the hole took room: {bytes}");
    assert_eq!(ground.report()["warnings"].as_array().map(Vec::len), Some(1), "{}", ground.warnings());
    assert!(ground.warnings().contains("`device` is not in the copy of the project: it is a device"));
}

fn hidden() {
    let ground = Ground::of_root(
        "echo hunter2 > .env; mkdir secrets .testbox; echo hunter2 > secrets/key; echo old > .testbox/old; echo seen > seen; \
         head -c 4000000 /dev/zero > secrets/big",
    );
    let script =
        "cat .env secrets/key .testbox/old; grep -r hunter2 . ; (echo x > secrets/new) && echo wrote; cat seen";
    let options = ["--hide", ".env", "--hide", "secrets", "--tmp-size", "2M"];
    let finished = ground.sh(&options, &format!("({script}) 2>/dev/null")).expect_code(0);
    assert_eq!(finished.stdout, "seen\n", "{finished:?}");
    ground.copy("id-mapped");
}

fn outputs() {
    let ground = Ground {
        look: "cat junit.xml .coverage out/new; stat -c '%Y %u' kept.xml junit.xml; ls -A . out",
        ..Ground::of_root(
            "echo old > junit.xml; echo old > .coverage; echo kept > kept.xml; touch -d @1000000000 kept.xml; mkdir out .git; \
             echo x > out/old; ln -s old out/link; echo 'pids = 64' > testbox.toml; echo ref > .git/HEAD",
        )
    };
    let script =
        "sleep 0.1; echo new > junit.xml; rm .coverage; echo new > out/new; echo no > other; touch -d @1 out/new";
    let finished = ground.sh(&["--output", "**"], script).expect_code(0);
    let expected = "new\nold\nnew\n1000000000 0\n";
    assert!(finished.stdout.starts_with(expected), "{finished:?}");
    let mut carried: Vec<_> = ground.report()["carried_out"].as_array().expect("a list").clone();
    carried.sort_by_key(ToString::to_string);
    assert_eq!(Value::from(carried), serde_json::json!(["junit.xml", "other", "out/new"]));
    assert_eq!(ground.report()["warnings"], serde_json::json!([]), "what was not touched is not told");
}

fn environment() {
    let ground =
        Ground::of_root("python3 -m venv --without-pip .venv; head -c 4000000 /dev/zero > .venv/lib/big; echo a > a");
    let script = "wc -c < .venv/lib/big; (echo x > .venv/x) 2>/dev/null || echo read-only; echo b > a; cat a";
    let finished = ground.sh(&["--tmp-size", "2M"], script).expect_code(0);
    assert_eq!(finished.stdout, "4000000\nread-only\nb\n", "{finished:?}");
    assert!(ground.copy("")["bytes"].as_u64() < Some(1 << 20));
}

fn pytest() {
    let ground = Ground {
        venv: true,
        look: "find . -name '*.pyc' | wc -l; cat .pytest_cache/v/cache/lastfailed",
        ..Ground::of_root(
            "printf 'import helper\\ndef test_good(): assert helper.CACHED\\ndef test_bad(): assert 0\\n' > test_it.py; \
             printf 'import os\\nCACHED = 0\\n' > helper.py; printf 'import os\\nCACHED = 1\\n' > /tmp/helper.$$.py; \
             touch -r helper.py /tmp/helper.$$.py; mkdir __pycache__; \
             $VIRTUAL_ENV/bin/python -c 'import py_compile, sys, importlib.util as u; \
             py_compile.compile(sys.argv[1], u.cache_from_source(\"helper.py\"))' /tmp/helper.$$.py; rm /tmp/helper.$$.py",
        )
    };
    let finished = ground.run(&[], &["pytest", "-q"]).expect_code(1);
    assert!(finished.stdout.contains("1 failed, 1 passed"), "{finished:?}");
    assert!(finished.stdout.contains("\n1\n{\n  \"test_it.py::test_bad\": true\n}"), "{finished:?}");
    ground.copy("id-mapped");
    let junit = fs_err::read_to_string(ground.outer.path().join("report/junit.xml")).expect("junit.xml");
    assert!(junit.contains("<property name=\"testbox.view\" value=\"copy\"/>"), "{junit}");
}

fn too_big() {
    let ground =
        Ground::of_root("head -c 3000000 /dev/zero > big; mkdir many; cd many; touch $(seq 1500); cd ..; echo a > a");
    let refused = |options: &[&str], words: &[&str]| {
        let finished = ground.sh(options, "echo STARTED").expect_code(125);
        for word in words {
            assert!(finished.stderr.contains(word), "no `{word}` in {}", finished.stderr);
        }
        assert!(!finished.stdout.contains("STARTED"), "{finished:?}");
        assert!(finished.stderr.contains("hint: give the scratch space the room"), "{}", finished.stderr);
        assert!(!ground.outer.path().join("report/testbox.json").exists());
    };
    refused(
        &["--tmp-size", "2M"],
        &["cannot copy the project: its 2.9 MiB in 1503", "scratch space of 2.0 MiB and 1024 inodes", "id-mapped"],
    );
    refused(&["--tmp-size", "4M"], &["its 2.9 MiB in 1503 files", "4.0 MiB and 1024 inodes"]);
    let memory = Ground::of_root("head -c 30000000 /dev/zero > big");
    let finished = memory.sh(&["--memory", "32M", "--tmp-size", "32M"], "echo STARTED").expect_code(125);
    assert!(finished.stderr.contains("do not fit into three quarters of the box's memory of 32.0 MiB"), "{finished:?}");
    ground.sh(&["--tmp-size", "32M"], "wc -c < big").expect_code(0);
}

/// Should the copy be ready before the signal comes, the run ends in the same way.
fn interrupted() {
    let ground = Ground::of_root("head -c 200000000 /dev/zero > big; mkdir many; cd many; touch $(seq 3000); cd ..");
    let stop = "\"$@\" & pid=$!; sleep 0.15; kill -TERM $pid; wait $pid";
    let mut command = ["sh", "-c", stop, "sh"].map(str::to_owned).to_vec();
    command.push(testbox_bin().to_string_lossy().into_owned());
    command.extend(ground.outer.run_words());
    command.extend(["--memory", "1G", "--tmp-size", "500M", "--", "sleep", "600"].map(str::to_owned));
    let finished = ground.start(&command).expect_code(130);
    assert!(finished.stderr.to_lowercase().contains("interrupted"), "{}", finished.stderr);
}

fn full() {
    let ground = Ground::of_root("head -c 1500000 /dev/zero > big");
    let finished = ground.sh(&["--tmp-size", "2M"], "head -c 2000000 /dev/zero > /tmp/more").expect_code(122);
    assert!(finished.stderr.contains("of it by the copy of the project)"), "{}", finished.stderr);
    assert_eq!(ground.report()["verdict"], "disk");
}

fn write() {
    let project = Project::new();
    let finished = project.run(&["--write", "--", "sh", "-c", "echo x > a"]).expect_code(0);
    assert_eq!(project.report()["view"], serde_json::json!({"way": "write"}));
    assert!(finished.stderr.contains("the project itself is writable (`--write`)"), "{}", finished.stderr);
    project.run(&["--", "true"]).expect_code(0);
    assert_eq!(project.report()["view"], serde_json::json!({"way": "overlay"}));
}

fn doctor() {
    let ground = Ground { prepare: "export TMPDIR=$PWD", ..Ground::of_root("") };
    let words = [testbox_bin().to_string_lossy().into_owned(), "doctor".to_owned()];
    let said = ground.start(&words).stdout;
    let overlay =
        "absent  overlay       boxes get a copy of their project; a box wrote into it, and the project is unchanged\n";
    assert!(said.contains(overlay), "{said}");
    assert!(said.contains("      note: the box got a copy ("), "{said}");
    assert!(!said.contains("MISSING overlay") && !said.contains("MISSING project"), "{said}");
}
