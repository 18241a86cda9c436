//! What a box without namespaces reads and writes.

use std::os::unix::fs::chown;
use std::path::PathBuf;

use testbox_tests::Project;

use crate::ground::{ALLOW, Ground, POSSIBLE};

/// A folder of the user's own beside the project, with a file in it.
fn outside(ground: &Ground) -> (Project, PathBuf) {
    let other = Project::unprivileged();
    other.write("file", "of the host\n");
    let file = other.path().join("file");
    chown(&file, Some(ground.uid()), Some(ground.uid())).expect("chown");
    (other, file)
}

/// Tries each of these, and prints the names of those that were possible.
const TRIES: &str = r#"
import os, sys

def write(path, mode):
    with open(path, mode) as file:
        file.write("by the box")

file = sys.argv[1]
folder = os.path.dirname(file)
possible("read", lambda: open(file).read())
possible("list", lambda: os.listdir(folder))
possible("write", lambda: write(file, "r+"))
possible("append", lambda: write(file, "a"))
possible("truncate", lambda: os.truncate(file, 0))
possible("unlink", lambda: os.unlink(file))
possible("rename", lambda: os.rename(file, file + ".new"))
possible("link", lambda: os.link(file, os.environ["TMPDIR"] + "/link"))
possible("make", lambda: write(folder + "/made", "w"))
possible("mkdir", lambda: os.mkdir(folder + "/made-folder"))
possible("symlink", lambda: os.symlink("/", folder + "/made-link"))
"#;

fn tried(ground: &Ground, flags: &[&str], file: &str) -> String {
    ground.project.write("tries.py", &[POSSIBLE, TRIES].concat());
    let program = ground.project.path().join("tries.py").to_string_lossy().into_owned();
    let flags = [&["-q", ALLOW], flags].concat();
    ground.run(&flags, &["/usr/bin/python3", &program, file]).expect_code(0).stdout.replace('\n', " ")
}

pub(crate) fn only_what_is_shown_is_read_and_nothing_of_it_written() {
    let ground = Ground::of_user();
    let (other, file) = outside(&ground);
    let path = file.to_string_lossy();
    assert_eq!(tried(&ground, &[], &path), "");
    assert_eq!(fs_err::read_to_string(&file).expect("the file"), "of the host\n");
    assert_eq!(other.path().read_dir().expect("the folder").count(), 1);
    ground.project.write("own/file", "of the project\n");
    for own in ["own", "own/file"] {
        chown(ground.project.path().join(own), Some(ground.uid()), Some(ground.uid())).expect("chown");
    }
    let own = ground.project.path().join("own/file");
    assert_eq!(tried(&ground, &[], &own.to_string_lossy()), "read list ");
    assert_eq!(fs_err::read_to_string(own).expect("the file"), "of the project\n");
    let reports = ground.project.path().join(".testbox/last/testbox.json");
    assert!(!tried(&ground, &[], &reports.to_string_lossy()).contains("read"), "testbox's own reports");
}

pub(crate) fn a_writable_project_keeps_what_the_host_obeys() {
    let ground = Ground::of_user();
    for name in [".git/config", "pyproject.toml", "src/inner.py", "top.py"] {
        ground.project.write(name, "old");
    }
    let chowned = std::process::Command::new("chown")
        .args(["-R", &ground.uid().to_string()])
        .arg(ground.project.path())
        .status()
        .expect("chown");
    assert!(chowned.success());
    let script = "for f in .git/config .git/hook pyproject.toml .testbox/x src/inner.py src/new top.py; do \
                  echo new > $f && echo $f; done; cat .testbox/last/journal.jsonl; true";
    let finished = ground.run(&[ALLOW, "--write"], &["/bin/sh", "-c", script]).expect_code(0);
    assert_eq!(finished.stdout, "src/inner.py\nsrc/new\ntop.py\n");
    assert_eq!(fs_err::read_to_string(ground.project.path().join("top.py")).expect("the file"), "new\n");
    assert_eq!(fs_err::read_to_string(ground.project.path().join(".git/config")).expect("the file"), "old");
    assert_eq!(ground.project.report()["view"]["way"], "write");
    finished.expect_stderr("nothing new can be made directly in the project's folder");
}

pub(crate) fn flags_open_and_close() {
    let ground = Ground::of_user();
    let (other, file) = outside(&ground);
    let (folder, file) = (other.path().to_string_lossy().into_owned(), file.to_string_lossy().into_owned());
    assert_eq!(tried(&ground, &["--ro", &folder], &file), "read list ");
    assert_eq!(tried(&ground, &["--ro", &folder, "--hide", &file], &file), "list ", "a hidden file");
    other.write("secret/key", "x");
    let hide = format!("{folder}/secret");
    let refused = ground.run(&["-q", ALLOW, "--ro", &folder, "--hide", &hide], &["/bin/true"]).expect_code(125);
    refused.expect_stderr("cannot hide the folder").expect_stderr("could be listed");
    ground.run(&["-q", ALLOW, "--hide", &hide], &["/bin/true"]).expect_code(0);
    let all = "read list write append truncate unlink make mkdir symlink ";
    assert_eq!(tried(&ground, &["--rw", &folder], &file), all);
}

pub(crate) fn scratch_space_is_bounded_by_file_and_gone_afterwards() {
    let ground = Ground::of_user();
    let program = "import os\n\
        for name in ('HOME', 'TMPDIR'): open(os.environ[name] + '/x', 'w').write('x')\n\
        assert os.path.isdir(os.environ['HOME']) and not os.access('/tmp/x', os.F_OK)\n\
        os.chdir(os.environ['TMPDIR'])\nos.mkdir('closed')\nopen('closed/x', 'w')\nos.chmod('closed', 0)\n\
        for _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n\
        os.symlink('/etc', 'link')\n";
    ground.python(&["-q", ALLOW], program).expect_code(0);
    let large = ["/bin/sh", "-c", "exec head -c 9M /dev/zero > $TMPDIR/large"];
    ground.run(&["-q", ALLOW, "--tmp-size", "8M"], &large).expect_code(122);
    assert_eq!(ground.project.report()["verdict"], "disk");
}
