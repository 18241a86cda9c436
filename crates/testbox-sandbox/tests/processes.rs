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
        Some("play-dismissed") => play_main(true),
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
    (
        "a_dismissed_reaper_did_its_chores_and_cleans_nothing_up",
        a_dismissed_reaper_did_its_chores_and_cleans_nothing_up,
    ),
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

fn a_dismissed_reaper_did_its_chores_and_cleans_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let main = played("play-dismissed", dir.path());
    assert!(main.success());
    assert!(dir.path().join("chores").exists());
    assert!(!dir.path().join("cleaned").exists());
}

/// The role of main: with a reaper, which main outlives only if it says goodbye.
fn play_main(says_goodbye: bool) {
    let folder = std::env::args().nth(2).unwrap();
    let folder = Path::new(&folder);
    fs_err::write(folder.join("keep"), "kept").unwrap();
    let keep: OwnedFd = fs_err::File::open(folder.join("keep")).unwrap().into_parts().0.into();
    let chores = |_: &MainsEnd<'_>| fs_err::write(folder.join("chores"), "").unwrap();
    let clean_up = |kept: Option<OwnedFd>| {
        let mut text = String::new();
        std::fs::File::from(kept.unwrap()).read_to_string(&mut text).unwrap();
        fs_err::write(folder.join("cleaning"), text).unwrap();
        fs_err::rename(folder.join("cleaning"), folder.join("cleaned")).unwrap();
    };
    let reaper = Reaper::start(Some(keep), chores, clean_up).unwrap();
    if says_goodbye {
        drop(reaper.dismiss());
        std::process::exit(0);
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
    while !status.success() && !folder.join("cleaned").exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    status
}
