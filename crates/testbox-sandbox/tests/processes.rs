//! Sealing and the reaper, with real processes: the test starts itself again in the role that its first argument names,
//! because testbox forks only while it has one thread.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a test program")]

use std::fs::Permissions;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use testbox_sandbox::{Channel, MainsEnd, Reaper, seal};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("play-killed") => play_main(false),
        Some("play-ended") => play_main(true),
        Some("play-sealed") => return play_sealed(),
        _ => {}
    }
    // One thread and one after the other, as libtest's options do not matter here.
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

const TESTS: [(&str, fn()); 5] = [
    ("the_reaper_cleans_up_when_main_is_killed", the_reaper_cleans_up_when_main_is_killed),
    ("main_can_let_the_reaper_clean_up_and_wait_for_it", main_can_let_the_reaper_clean_up_and_wait_for_it),
    ("a_binary_that_others_may_write_runs_from_a_sealed_copy", a_binary_that_others_may_write_runs_from_a_sealed_copy),
    ("a_binary_that_only_root_may_write_runs_as_it_is", a_binary_that_only_root_may_write_runs_as_it_is),
    ("a_message_takes_its_descriptors_along", a_message_takes_its_descriptors_along),
];

fn the_reaper_cleans_up_when_main_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let main = played("play-killed", dir.path());
    assert_eq!(main.signal(), Some(9));
    assert!(dir.path().join("chores").exists());
    assert_eq!(fs_err::read_to_string(dir.path().join("cleaned")).unwrap(), "kept", "the kept descriptor was usable");
}

fn main_can_let_the_reaper_clean_up_and_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let main = played("play-ended", dir.path());
    assert!(main.success());
    assert!(dir.path().join("chores").exists());
    assert!(dir.path().join("cleaned").exists(), "done when main went on");
    assert_eq!(played("play-ended", Path::new("/proc")).code(), Some(1), "main knows that it could not");
}

/// The role of main: with a reaper, which main outlives only if it lets it clean up.
fn play_main(outlives: bool) {
    let folder = std::env::args().nth(2).unwrap();
    let folder = Path::new(&folder);
    let keep = rustix::fs::memfd_create("keep", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::io::pwrite(&keep, b"kept", 0).unwrap();
    let chores = |_: &MainsEnd<'_>| drop(fs_err::write(folder.join("chores"), ""));
    let clean_up = |kept: Option<OwnedFd>| {
        let mut text = String::new();
        std::fs::File::from(kept.unwrap()).read_to_string(&mut text).unwrap();
        let written = fs_err::write(folder.join("cleaning"), text);
        written.and_then(|()| fs_err::rename(folder.join("cleaning"), folder.join("cleaned"))).is_ok()
    };
    let reaper = Reaper::start(Some(keep), chores, clean_up).unwrap();
    if outlives {
        std::process::exit(i32::from(!reaper.clean_up().went_well()));
    }
    nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn a_binary_that_others_may_write_runs_from_a_sealed_copy() {
    assert!(executable_of_a_copy(0o777).contains("memfd:testbox"));
}

fn a_binary_that_only_root_may_write_runs_as_it_is() {
    let executable = executable_of_a_copy(0o755);
    // Who is not root owns the copy, and could change its mode.
    assert_eq!(executable.contains("memfd:testbox"), !nix::unistd::geteuid().is_root(), "{executable}");
}

/// What /proc/PID/exe says of a copy of this program with this mode after [`seal::ensure`].
fn executable_of_a_copy(mode: u32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    fs_err::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs_err::set_permissions(&copy, Permissions::from_mode(mode)).unwrap();
    let output = Command::new(&copy).arg("play-sealed").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn play_sealed() -> ExitCode {
    seal::ensure().unwrap();
    println!("{}", fs_err::read_link("/proc/self/exe").unwrap().display());
    ExitCode::SUCCESS
}

fn a_message_takes_its_descriptors_along() {
    let (ours, theirs) = Channel::pair().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    theirs.send(&"take this", &[writer.as_fd()]).unwrap();
    drop((theirs, writer));
    let (text, descriptors) = ours.receive::<String>().unwrap().unwrap();
    assert_eq!((text.as_str(), descriptors.len()), ("take this", 1));
    rustix::io::write(&descriptors[0], b"!").unwrap();
    let flags = rustix::io::fcntl_getfd(&descriptors[0]).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let mut byte = [0; 1];
    assert_eq!(rustix::io::read(&reader, &mut byte).unwrap(), 1);
    assert!(ours.receive::<String>().unwrap().is_none(), "the other side is gone");
}

/// Runs a role to the end of main and, where it cleans up, of its reaper's work.
fn played(role: &str, folder: &Path) -> ExitStatus {
    let status = Command::new(std::env::current_exe().unwrap()).arg(role).arg(folder).status().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while status.signal().is_some() && !folder.join("cleaned").exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    status
}
