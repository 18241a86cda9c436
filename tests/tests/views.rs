//! What the box sees of the host, and what the host sees of the box: files, environment, network, processes, descriptors.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use testbox_tests::{Finished, Need, Project, case};

const BOX: &[Need] = &[Need::Box];
const PYTHON: &[Need] = &[Need::Box, Need::Python3];

fn main() {
    testbox_tests::run(vec![
        case("the project is a view: the host's files stay as they are", BOX, the_project_is_a_view),
        case("declared outputs are carried out, and nothing else", BOX, outputs),
        case("the command's own report options are carried out", BOX, promised_outputs),
        case("pytest's cache and reports come out of the box", &[Need::Box, Need::Pytest], pytest_outputs),
        case("outputs that are no regular files stay in the box", BOX, hostile_outputs),
        case("--write writes to the project, and to nothing that the host obeys", BOX, write),
        case("--write: the venv stays as it is", PYTHON, write_protects_the_venv),
        case("--ro and --rw show a path at its own place", BOX, ro_and_rw),
        case("--hide hides files and folders, --write or not", BOX, hide),
        case("HOME is writable, empty and thrown away", BOX, home),
        case("the host's home directory is not there", BOX, host_home),
        case("other projects and temporary files of the host are not there", BOX, host_tmp),
        case("the environment is scrubbed, and --env passes or sets", BOX, environment),
        case("/etc is generated: names, hosts, certificates, nothing secret", BOX, etc),
        case("the command is not root, has no capability and a filter", BOX, identity),
        case("setuid bits and devices cannot be made", BOX, no_setuid),
        case("system folders are read-only", BOX, read_only_system),
        case("the box's init keeps its secrets", BOX, init_is_closed),
        case("descriptors that the caller leaked do not arrive", BOX, leaked_descriptors),
        case("loopback works, and nothing else is reachable", PYTHON, network),
        case("--net host reaches the host's loopback, and every report says so", PYTHON, host_network),
        case(
            "with --net host abstract sockets of the host are out of reach, or the report warns",
            PYTHON,
            abstract_sockets,
        ),
        case("testbox's binary cannot be written, not even by its owner through /proc", BOX, own_binary),
        case("AF_UNIX, flock, semaphores, ptys and shared memory work", PYTHON, what_tests_need),
        case("stdin reaches the command", BOX, stdin),
        case("--cwd works as if started there", BOX, cwd),
    ]);
}

#[track_caller]
fn sh(project: &Project, options: &[&str], script: &str) -> Finished {
    let mut command = project.command(options);
    Finished::of(command.args(["--", "sh", "-c", script]))
}

fn read(project: &Project, path: &str) -> String {
    fs_err::read_to_string(project.path().join(path)).expect(path)
}

fn exists(project: &Project, path: &str) -> bool {
    project.path().join(path).symlink_metadata().is_ok()
}

fn the_project_is_a_view() {
    let project = Project::new();
    project.write("a", "host\n").write("gone", "host\n").write("dir/b", "host\n");
    let before = fs_err::metadata(project.path().join("a")).expect("a");
    let script = "cat a && echo box > a && cat a && rm gone && chmod 777 dir/b && rm -r dir && mkdir new && mv a new/a && \
                  ! test -e gone && ! test -e dir";
    let finished = sh(&project, &[], script).expect_code(0);
    assert_eq!(finished.stdout, "host\nbox\n");
    let after = fs_err::metadata(project.path().join("a")).expect("a");
    assert_eq!((read(&project, "a"), read(&project, "gone")), ("host\n".to_owned(), "host\n".to_owned()));
    assert_eq!((before.mode(), before.uid(), before.mtime()), (after.mode(), after.uid(), after.mtime()));
    assert_eq!(fs_err::metadata(project.path().join("dir/b")).expect("dir/b").mode() & 0o777, 0o644);
    assert!(!exists(&project, "new"));
}

fn outputs() {
    let project = Project::new();
    project.write("src/x.py", "x\n").write("junit.xml", "old\n");
    let script = "echo c > .coverage; echo j > junit.xml; mkdir -p .pytest_cache/v htmlcov build; echo l > .pytest_cache/v/l; \
                  echo h > htmlcov/index.html; echo b > build/b; echo no > other; echo no >> src/x.py";
    let finished = sh(&project, &["--output", "build/*"], script).expect_code(0);
    for (path, content) in [
        (".coverage", "c\n"),
        ("junit.xml", "j\n"),
        (".pytest_cache/v/l", "l\n"),
        ("htmlcov/index.html", "h\n"),
        ("build/b", "b\n"),
        ("src/x.py", "x\n"),
    ] {
        assert_eq!(read(&project, path), content, "{path}");
    }
    assert!(!exists(&project, "other"));
    assert!(finished.stderr.contains("5 files carried out"), "{}", finished.stderr);
    let owner = fs_err::metadata(project.path()).expect("the project").uid();
    for path in [".coverage", "build", "build/b"] {
        let meta = fs_err::metadata(project.path().join(path)).expect(path);
        assert_eq!(meta.uid(), owner, "{path}");
        assert_eq!(meta.mode() & 0o7000, 0, "{path}");
    }
}

fn promised_outputs() {
    let project = Project::new();
    project.write("pytest", "#!/bin/sh\necho '<x/>' > out/deep.xml\n").write("out/keep", "");
    let path = project.path().join("pytest");
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let plan = project.run(&["--dry-run", "--", "pytest", "--junitxml=out/deep.xml"]).expect_code(0).stdout;
    assert!(plan.contains("out/deep.xml") && plan.contains("command --junitxml"), "{plan}");
}

fn pytest_outputs() {
    let project = Project::new();
    project.write("test_it.py", "def test_good(): pass\ndef test_bad(): assert 0\n");
    let finished = project.run(&["--", "pytest", "-q", "--junitxml", "out.xml"]).expect_code(1);
    assert!(finished.stdout.contains("1 failed, 1 passed"), "{}", finished.stdout);
    assert!(read(&project, "out.xml").contains("test_bad"));
    assert!(read(&project, ".pytest_cache/v/cache/lastfailed").contains("test_bad"));
    assert!(!exists(&project, "__pycache__"));
    let again = project.run(&["--", "pytest", "-q", "--last-failed"]).expect_code(1);
    assert!(again.stdout.contains("1 failed"), "the cache of the first run is used: {}", again.stdout);
}

fn hostile_outputs() {
    let project = Project::new();
    let script = "ln -s /etc/passwd .coverage; mkfifo junit.xml; mkdir htmlcov; ln -s /etc htmlcov/etc; \
                  mkdir .pytest_cache; echo x > .pytest_cache/one; ln .pytest_cache/one .pytest_cache/two; true";
    sh(&project, &[], script).expect_code(0);
    for path in [".coverage", "junit.xml", "htmlcov/etc", ".pytest_cache/one", ".pytest_cache/two"] {
        assert!(!exists(&project, path), "{path} came out");
    }
    std::os::unix::fs::symlink("/tmp", project.path().join("test-results")).expect("a symlink");
    sh(&project, &[], "rm -f test-results; mkdir test-results; echo x > test-results/escaped").expect_code(0);
    assert!(!std::path::Path::new("/tmp/escaped").exists(), "it went through a symlink of the project");
}

fn write() {
    let project = Project::new();
    Command::new("git").args(["init", "-q"]).arg(project.path()).status().ok();
    project.write(".git/config", "[core]\n").write("pyproject.toml", "[project]\nname = \"x\"\n").write("a", "host\n");
    let protected = [".git/config", ".git/hooks/post-checkout", "pyproject.toml", ".testbox/last/testbox.json"];
    let tries = protected.map(|path| format!("(echo hacked > {path}) 2>/dev/null && echo wrote {path};"));
    let script = format!(
        "echo box > a; echo new > b; rm -rf .git 2>/dev/null; mv .git .gone 2>/dev/null; {} true",
        tries.concat()
    );
    let finished = sh(&project, &["--write"], &script).expect_code(0);
    assert_eq!(finished.stdout, "");
    assert_eq!((read(&project, "a"), read(&project, "b")), ("box\n".to_owned(), "new\n".to_owned()));
    assert_eq!(read(&project, ".git/config"), "[core]\n");
    assert!(!read(&project, "pyproject.toml").contains("hacked"));
    let (owner, made) = (fs_err::metadata(project.path()), fs_err::metadata(project.path().join("b")));
    assert_eq!(
        owner.expect("the project").uid(),
        made.expect("b").uid(),
        "files of the box belong to the project's owner"
    );
}

fn write_protects_the_venv() {
    let project = Project::new();
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(project.path().join(".venv")).status();
    assert!(made.expect("python3").success());
    let mut command =
        project.command(&["--write", "--", "sh", "-c", "echo 1 > .venv/x; echo 1 > .venv/bin/python; ls .venv"]);
    let finished = Finished::of(command.env_remove("VIRTUAL_ENV"));
    assert!(finished.stdout.contains("pyvenv.cfg"), "{finished:?}");
    assert!(!exists(&project, ".venv/x"));
}

fn ro_and_rw() {
    let (project, data) = (Project::new(), Project::new());
    data.write("in", "data\n");
    let place = data.path().to_string_lossy().into_owned();
    let script = format!("cat {place}/in; (echo x > {place}/out) 2>/dev/null && echo wrote; true");
    let hidden = sh(&project, &[], &script).expect_code(0);
    assert_eq!(hidden.stdout, "", "not shown unless asked for");
    let shown = sh(&project, &["--ro", &place], &script).expect_code(0);
    assert_eq!(shown.stdout, "data\n");
    let writable = sh(&project, &["--rw", &place], &script).expect_code(0);
    assert_eq!(writable.stdout, "data\nwrote\n", "{}", writable.stderr);
    assert_eq!(read(&data, "out"), "x\n");
}

fn hide() {
    let project = Project::new();
    project.write(".env", "TOKEN=hunter2\n").write("secrets/key", "hunter2\n").write("seen", "seen\n");
    for mode in [&[][..], &["--write"]] {
        let options = [mode, &["--hide", ".env", "--hide", "secrets", "--hide", "not-there"]].concat();
        let script = "cat .env secrets/key 2>/dev/null; grep -r hunter2 . 2>/dev/null; cat seen";
        let finished = sh(&project, &options, script).expect_code(0);
        assert_eq!(finished.stdout, "seen\n", "{mode:?}");
    }
    assert_eq!(read(&project, ".env"), "TOKEN=hunter2\n");
}

fn home() {
    let project = Project::new();
    let script =
        "cd && pwd && ls -A && mkdir -p .cache && echo x > .cache/x && test -w . && test \"$HOME\" = \"$(pwd)\"";
    let first = sh(&project, &[], script).expect_code(0).stdout;
    assert_eq!(sh(&project, &[], script).expect_code(0).stdout, first, "what one box left in HOME, the next one saw");
    assert_eq!(first.lines().count(), 1, "{first}");
}

fn host_home() {
    let (project, home) = (Project::new(), Project::new());
    home.write(".ssh/id_canary", "canary\n").write(".netrc", "canary\n");
    let place = home.path().to_string_lossy().into_owned();
    let mut command = project.command(&["--", "sh", "-c"]);
    let script = format!("cat ~/.ssh/id_canary {place}/.ssh/id_canary {place}/.netrc; ls ~/.ssh {place}");
    let finished = Finished::of(command.arg(script).env("HOME", home.path()));
    assert!(!finished.stdout.contains("canary"), "{}", finished.stdout);
}

fn host_tmp() {
    let (project, other) = (Project::new(), Project::new());
    other.write("canary", "canary\n");
    let script = format!("cat {}/canary; ls /tmp /var/tmp /run /home /mnt /opt", other.path().display());
    let finished = sh(&project, &[], &script);
    assert!(!finished.stdout.contains("canary"), "{}", finished.stdout);
    let name = other.path().file_name().expect("a name").to_string_lossy().into_owned();
    assert!(!finished.stdout.contains(&name), "{}", finished.stdout);
}

fn environment() {
    let project = Project::new();
    let run = |options: &[&str]| {
        let mut command = project.command(options);
        command.args(["--", "env"]).env("SECRET_TOKEN", "hunter2").env("AWS_PROFILE", "hunter2").env("CI", "true");
        Finished::of(command.env("LC_TIME", "C")).expect_code(0).stdout
    };
    let plain = run(&[]);
    assert!(!plain.contains("hunter2"), "{plain}");
    for line in ["CI=true", "LC_TIME=C", "TESTBOX_BOX=1", "TMPDIR=/tmp"] {
        assert!(plain.lines().any(|found| found == line), "{line}: {plain}");
    }
    let passed = run(&["--env", "SECRET_TOKEN", "--env", "DEBUG=a b=c", "--env", "CI=false", "--env", "EMPTY="]);
    for line in ["SECRET_TOKEN=hunter2", "DEBUG=a b=c", "CI=false", "EMPTY="] {
        assert!(passed.lines().any(|found| found == line), "{line}: {passed}");
    }
    assert!(run(&["--env", "AWS_*"]).contains("AWS_PROFILE=hunter2"));
}

fn etc() {
    let project = Project::new();
    let script = "id -un && getent hosts localhost && cat /etc/passwd /etc/group && test -r /etc/ssl/certs -o ! -e /etc/ssl && \
                  hostname && whoami && ! cat /etc/shadow /etc/sudoers /etc/ssh/ssh_config 2>/dev/null";
    let finished = sh(&project, &[], script).expect_code(0);
    assert!(finished.stdout.contains("localhost"), "{}", finished.stdout);
    assert!(finished.stdout.lines().count() < 30, "the host's users are listed: {}", finished.stdout);
}

fn identity() {
    let project = Project::new();
    let script = "id -u; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ulimit -c; umask";
    let finished = sh(&project, &[], script).expect_code(0);
    let mut lines = finished.stdout.lines();
    assert!(lines.next().is_some_and(|uid| uid != "0"), "{}", finished.stdout);
    let capabilities: Vec<_> = finished.stdout.lines().filter(|line| line.starts_with("Cap")).collect();
    assert!(capabilities.len() == 5 && capabilities.iter().all(|line| line.ends_with("0000000000000000")));
    assert!(finished.stdout.contains("NoNewPrivs:\t1\nSeccomp:\t2\n0\n"), "{}", finished.stdout);
    let readback = &project.report()["evidence"]["readback"];
    assert_eq!((&readback["capabilities"], &readback["no_new_privs"]), (&0.into(), &true.into()));
}

fn no_setuid() {
    let project = Project::new();
    let script = "cp /bin/true t && for mode in 4755 2755 6755; do chmod $mode t && echo set $mode; done; \
                  mknod d c 1 3 && echo made; mknod b b 7 0 && echo made; unshare -U true && echo nested; true";
    let finished = sh(&project, &["--write"], script).expect_code(0);
    assert_eq!(finished.stdout, "", "{}", finished.stderr);
    assert_eq!(fs_err::metadata(project.path().join("t")).expect("t").mode() & 0o6000, 0);
}

fn read_only_system() {
    let project = Project::new();
    let script = "for place in /usr/x /etc/x /bin/x /x /proc/sys/kernel/core_pattern /sys/x /dev/x /sys/fs/cgroup/x; do \
                  (echo x > $place) 2>/dev/null && echo wrote $place; done; true";
    let finished = sh(&project, &[], script).expect_code(0);
    assert!(!finished.stdout.replace("wrote /dev/x\n", "").contains("wrote"), "{}", finished.stdout);
}

fn init_is_closed() {
    let project = Project::new();
    let script = "for f in environ maps mem exe fd/3 root cwd; do cat /proc/1/$f && echo READ $f; readlink /proc/1/$f; done; \
                  ls /proc/1/fd; for s in TERM INT HUP USR1 CHLD STOP KILL; do kill -$s 1; done; echo alive";
    let mut command = project.command(&["--", "sh", "-c", script]);
    let finished = Finished::of(command.env("SECRET_TOKEN", "hunter2"));
    assert!(!finished.stdout.contains("READ") && !finished.stdout.contains('/'), "{}", finished.stdout);
    assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
    assert_eq!(finished.expect_code(0).stdout, "alive\n", "signals to the init have no effect");
}

fn leaked_descriptors() {
    let project = Project::new();
    let mut command =
        project.through_shell("exec 5</etc/passwd 9</etc/passwd", &["--", "sh", "-c", "ls /proc/self/fd"]);
    let finished = Finished::of(&mut command).expect_code(0);
    // The fourth is the folder that `ls` itself reads.
    assert_eq!(finished.stdout, "0\n1\n2\n3\n");
}

const REACH: &str = "\
import socket, sys
def reach(family, place):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(3)
    try: s.connect(place); print('reached', place)
    except OSError as error: print('refused', place)
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
reach(socket.AF_INET, server.getsockname())
reach(socket.AF_INET, ('127.0.0.1', int(sys.argv[1])))
reach(socket.AF_INET, ('192.0.2.1', 80))
print(sorted(name for _, name in socket.if_nameindex()))
";

fn network() {
    let project = Project::new();
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of the host");
    let port = host.local_addr().expect("its address").port().to_string();
    let finished = project.run(&["--", "python3", "-c", REACH, &port]).expect_code(0);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("reached ('127.0.0.1'"), "{lines:?}");
    assert!(lines[1].starts_with("refused ('127.0.0.1'"), "{lines:?}");
    assert!(lines[2].starts_with("refused"), "{lines:?}");
    assert_eq!(lines[3], "['lo']");
}

fn host_network() {
    let project = Project::new();
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of the host");
    let port = host.local_addr().expect("its address").port().to_string();
    let finished = project.run(&["--net", "host", "--", "python3", "-c", REACH, &port]).expect_code(0);
    assert!(finished.stdout.lines().nth(1).is_some_and(|line| line.starts_with("reached")), "{}", finished.stdout);
    assert!(finished.stderr.contains("--net host"), "{}", finished.stderr);
    let report = project.report();
    let network = report["walls"].as_array().and_then(|walls| walls.iter().find(|wall| wall["wall"] == "network"));
    assert_eq!(network.expect("the wall")["state"], "off");
}

const REACH_ABSTRACT: &str = "\
import socket, sys
try: socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1]); print('reached')
except OSError as e: print(e.strerror)
";

fn abstract_sockets() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("testbox-views-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _host = std::os::unix::net::UnixListener::bind_addr(&address).expect("an abstract socket of the host");
    let project = Project::new();
    let reached =
        |net| project.run(&["--net", net, "--", "python3", "-c", REACH_ABSTRACT, &name]).expect_code(0).stdout;
    assert_eq!(reached("none").trim(), "Connection refused");
    let seen = reached("host");
    let report = project.report();
    let network = report["walls"].as_array().and_then(|walls| walls.iter().find(|wall| wall["wall"] == "network"));
    let note = network.expect("the wall")["note"].as_str().unwrap_or_default().to_owned();
    if note.contains("out of reach") {
        assert_eq!(seen.trim(), "Operation not permitted");
    } else {
        assert!(note.contains("this kernel cannot scope them"), "{note}");
    }
}

fn own_binary() {
    // A binary that its user could write to: as a build folder or `~/.cargo/bin` holds it.
    let (folder, project) = (tempfile::tempdir().expect("a folder"), Project::new());
    let copy = folder.path().join("testbox");
    fs_err::copy(testbox_tests::testbox_bin(), &copy).expect("a copy");
    for path in [folder.path(), &copy] {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("its mode");
    }
    let before = fs_err::read(&copy).expect("its bytes");
    let script = "for exe in /proc/[0-9]*/exe; do ( : >> $exe ) 2>/dev/null && echo opened $exe; done; true";
    let mut command = testbox_tests::starter(&copy.to_string_lossy());
    command.current_dir(project.path()).args(project.run_words()).args(["--", "sh", "-c", script]);
    let finished = Finished::of(&mut command).expect_code(0);
    assert!(!finished.stdout.contains("opened"), "{}", finished.stdout);
    assert!(fs_err::read(&copy).expect("its bytes") == before);
}

const NEEDS: &str = "\
import fcntl, multiprocessing, os, pty, socket, subprocess, sys, tempfile
from multiprocessing import shared_memory
a, b = socket.socketpair(socket.AF_UNIX); a.send(b'x'); assert b.recv(1) == b'x'
s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen()
c = socket.socket(socket.AF_UNIX); c.connect('sock')
abstract = socket.socket(socket.AF_UNIX); abstract.bind(chr(0) + 'name')
with open('lock', 'w') as f: fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX)
lock = multiprocessing.get_context('fork').Lock()
with lock: pass
memory = shared_memory.SharedMemory(create=True, size=4096); memory.buf[0] = 1; memory.close(); memory.unlink()
master, slave = pty.openpty(); assert os.isatty(slave), 'pty'
assert subprocess.run(['sh', '-c', 'exit 3']).returncode == 3
with tempfile.NamedTemporaryFile() as f: f.write(b'x')
def double(n): return 2 * n
with multiprocessing.get_context('fork').Pool(2) as pool: assert pool.map(double, [1, 2]) == [2, 4]
os.mkfifo('fifo'); os.symlink('lock', 'link'); os.link('lock', 'hard')
print('all work')
";

fn what_tests_need() {
    let project = Project::new();
    for options in [&[][..], &["--write"], &["--seccomp", "strict"]] {
        let mut command = project.command(options);
        let finished = Finished::of(command.args(["--", "python3", "-c", NEEDS])).expect_code(0);
        assert_eq!(finished.stdout, "all work\n", "{options:?}");
        for path in ["sock", "lock", "fifo", "link", "hard"] {
            fs_err::remove_file(project.path().join(path)).ok();
        }
    }
}

fn stdin() {
    let project = Project::new();
    project.write("input", &"a line of input\n".repeat(50_000));
    let mut command = project.command(&["--", "sh", "-c", "wc -l; cat | wc -c"]);
    let input = fs_err::File::open(project.path().join("input")).expect("the input").into_parts().0;
    let finished = Finished::of(command.stdin(input)).expect_code(0);
    let numbers: Vec<&str> = finished.stdout.split_whitespace().collect();
    assert_eq!(numbers, ["50000", "0"]);
    assert_eq!(project.run(&["--", "cat"]).expect_code(0).stdout, "");
}

fn cwd() {
    let project = Project::new();
    project.write("pytest.ini", "").write("backend/tests/x", "x\n");
    let finished =
        project.run(&["--cwd", "backend", "--", "sh", "-c", "pwd; cat tests/x ../pytest.ini"]).expect_code(0);
    let expected = format!("{}/backend\nx\n", fs_err::canonicalize(project.path()).expect("a path").display());
    assert_eq!(finished.stdout, expected);
    assert!(exists(&project, ".testbox/last/testbox.json"));
}
