//! A command on a pty: copied raw, ended by the hang-up.

use std::io::Write;
use std::os::fd::AsFd;

use nix::sys::signal::{Signal, raise};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use testbox_model::{PayloadEnd, RunEvent};

use super::fake_box::FakeBox;
use super::fake_meter::FakeMeter;
use super::messages::ready;
use crate::{RawTerminal, SavedTerminal};

#[test]
fn a_pty_is_copied_raw() {
    let (mut fake, texts) = FakeBox::with_files("test -t 0 && test -t 1 && printf 'a\\033[2Jb\\n'; exit 3");
    fake.pty = true;
    let outcome = fake.run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 3 });
    assert_eq!(texts().0, "a\u{1b}[2Jb\r\n");
}

#[test]
fn input_reaches_a_pty_and_its_end_does_too() {
    let (stdin, user) = std::io::pipe().unwrap();
    (&user).write_all(b"hello\n").unwrap();
    drop(user);
    let (mut fake, texts) = FakeBox::with_files("stty -echo 2>/dev/null; cat; echo end");
    (fake.pty, fake.host_stdin) = (true, Some(stdin.into()));
    fake.run(FakeMeter::of).outcome();
    let text = texts().0;
    assert!(text.ends_with("hello\r\nend\r\n"), "{text:?}");
}

#[test]
fn a_pty_that_nobody_holds_does_not_end_the_run() {
    let mut fake = FakeBox::new("exec </dev/null >/dev/null 2>&1; sleep 0.3; exit 2");
    fake.pty = true;
    let outcome = fake.run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 2 });
}

#[test]
fn a_pty_has_the_size_of_the_users_terminal_and_the_terminal_is_restored() {
    let host = nix::pty::openpty(None, None).unwrap();
    let resize = |rows| {
        tcsetwinsize(&host.slave, Winsize { ws_row: rows, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    };
    resize(33);
    let (stdin, user) = std::io::pipe().unwrap();
    let (mut fake, texts) = FakeBox::with_files("read _; stty size");
    (fake.pty, fake.host_stdin) = (true, Some(stdin.into()));
    fake.terminal = Some(RawTerminal::enter(SavedTerminal::of(host.slave.as_fd()).unwrap()).unwrap());
    fake.says = vec![ready()];
    let echoes = || tcgetattr(&host.slave).unwrap().local_modes.contains(LocalModes::ECHO);
    fake.run_with(FakeMeter::of, |event| {
        if matches!(event, RunEvent::Started { .. }) {
            assert!(!echoes());
            resize(44);
            raise(Signal::SIGWINCH).unwrap();
            (&user).write_all(b"\n").unwrap();
        }
    });
    assert!(texts().0.ends_with("44 99\r\n"));
    assert!(echoes());
}
