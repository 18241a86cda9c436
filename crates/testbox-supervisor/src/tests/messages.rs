//! The status socket: what init says, what it says wrongly, and its silence.

use testbox_model::*;

use super::fake_box::FakeBox;
use super::fake_meter::FakeMeter;

pub(super) fn readback() -> Readback {
    Readback { uid: 1000, gid: 1000, capabilities: 0, no_new_privs: true, seccomp_mode: 2, seccomp_filters: 3 }
}

pub(super) fn ready() -> Vec<u8> {
    serde_json::to_vec(&InitMessage::Ready { readback: readback() }).unwrap()
}

#[test]
fn the_readback_starts_the_run() {
    let mut fake = FakeBox::new("exit 0");
    fake.says = vec![ready()];
    let run = fake.run(FakeMeter::of);
    assert_eq!(run.words(), ["started", "ended"]);
    assert_eq!(run.outcome().evidence.readback, Some(readback()));
}

#[test]
fn a_failed_step_is_the_end() {
    let failed = InitMessage::Failed { step: SetupStep::Exec, errno: 2, detail: "exec `nope`".to_owned() };
    let mut fake = FakeBox::new("sleep 1000");
    fake.says = vec![serde_json::to_vec(&failed).unwrap()];
    let run = fake.run(FakeMeter::of);
    assert!(run.took.as_millis() < 20_000, "{:?}", run.took);
    let expected = PayloadEnd::SetupFailed { step: SetupStep::Exec, errno: 2, detail: "exec `nope`".to_owned() };
    assert_eq!(run.outcome().evidence.payload, expected);
}

#[test]
fn garbage_is_one_warning_and_changes_nothing() {
    let mut fake = FakeBox::new("exit 6");
    fake.says = vec![b"\xff{".to_vec(); 100];
    let outcome = fake.run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 6 });
    assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
}

#[test]
fn an_init_that_dies_silently_is_lost() {
    let (mut fake, texts) = FakeBox::with_files("echo before; sleep 1000");
    fake.init_dies = true;
    let run = fake.run(FakeMeter::of);
    assert!(run.took.as_millis() < 20_000, "{:?}", run.took);
    let evidence = run.outcome().evidence;
    assert_eq!((evidence.payload, evidence.stop), (PayloadEnd::Lost, None));
    drop(texts);
}

#[test]
fn an_init_that_dies_with_its_last_word_is_not() {
    let mut fake = FakeBox::new("sleep 1000");
    fake.says = vec![b"{".to_vec(); 100];
    fake.says.push(serde_json::to_vec(&InitMessage::Exited { status: 7 << 8 }).unwrap());
    fake.init_dies = true;
    assert_eq!(fake.run(FakeMeter::of).outcome().evidence.payload, PayloadEnd::Exited { code: 7 });
}
