//! Output and input: order, streaming, slow and dead readers, the limit.

use std::io::{Read, Write};

use testbox_model::{Bytes, PayloadEnd, StopCause};

use super::fake_box::{FakeBox, read_all};
use super::fake_meter::FakeMeter;

const MIB: u64 = 1 << 20;

#[test]
fn each_stream_arrives_at_its_place() {
    let (fake, texts) = FakeBox::with_files("echo out; echo err >&2; exit 3");
    let run = fake.run(FakeMeter::of);
    assert_eq!(run.words(), ["ended"]);
    let outcome = run.outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 3 });
    assert_eq!(outcome.evidence.output.bytes, 8);
    assert!(!outcome.evidence.output.truncated);
    assert_eq!(outcome.warnings, Vec::<String>::new());
    assert_eq!(texts(), ("out\n".to_owned(), "err\n".to_owned()));
}

#[test]
fn a_shared_pipe_keeps_the_order() {
    let script = "i=0; while [ $i -lt 200 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    let (mut fake, texts) = FakeBox::with_files(script);
    fake.shared = true;
    fake.run(FakeMeter::of).outcome();
    let expected: String = (0..200).map(|i| format!("o{i}\ne{i}\n")).collect();
    assert_eq!(texts(), (expected, String::new()));
}

#[test]
fn output_streams_while_the_command_waits_for_its_input() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (stdin, mut user) = std::io::pipe().unwrap();
    let mut fake = FakeBox::new("echo question; read answer; echo got $answer");
    (fake.host_stdout, fake.host_stdin) = (writer.into(), Some(stdin.into()));
    let dialog = std::thread::spawn(move || {
        let mut question = [0; 9];
        reader.read_exact(&mut question).unwrap();
        user.write_all(b"it\n").unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        rest
    });
    let outcome = fake.run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 0 });
    assert_eq!(dialog.join().unwrap(), "got it\n");
}

#[test]
fn a_large_input_goes_through_and_ends() {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&vec![b'x'; 3 * MIB as usize]).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let (mut fake, texts) = FakeBox::with_files("wc -c");
    fake.host_stdin = Some(input.into());
    fake.run(FakeMeter::of).outcome();
    assert_eq!(texts().0.trim(), "3145728");
}

#[test]
fn a_command_that_ignores_its_input_ends() {
    let mut fake = FakeBox::new("exit 4");
    fake.host_stdin = Some(fs_err::File::open("/dev/zero").unwrap().into_file().into());
    assert_eq!(fake.run(FakeMeter::of).outcome().evidence.payload, PayloadEnd::Exited { code: 4 });
}

#[test]
fn everything_that_was_printed_arrives_after_the_end() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut fake = FakeBox::new("head -c 5000000 /dev/zero");
    fake.host_stdout = writer.into();
    let reader = read_all(reader);
    fake.run(FakeMeter::of).outcome();
    assert_eq!(reader.join().unwrap().len(), 5_000_000);
}

#[test]
fn a_reader_that_takes_nothing_delays_neither_timeout_nor_end() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut fake = FakeBox::new("echo > $GATE; yes").gated().timeout_ms(1500, 20_000).idle_ms(750);
    fake.host_stdout = writer.into();
    let run = fake.run(FakeMeter::of);
    assert!(run.took.as_millis() < 15_000, "{:?}", run.took);
    let outcome = run.outcome();
    let stop = outcome.evidence.stop.unwrap();
    assert_eq!((stop.cause, stop.killed), (StopCause::Timeout, false), "waiting for a reader is not idling");
    assert!((1500..10_000).contains(&stop.at_ms), "{}", stop.at_ms);
    assert!(outcome.evidence.output.truncated);
    assert!(outcome.warnings[0].contains("the reader of stdout took nothing"), "{:?}", outcome.warnings);
    assert!(outcome.evidence.output.bytes < 300_000, "bounded: {}", outcome.evidence.output.bytes);
}

#[test]
fn a_reader_that_goes_away_is_a_warning_and_the_command_goes_on() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut fake = FakeBox::new("head -c 1000000 /dev/zero; exit 7");
    fake.host_stdout = writer.into();
    let outcome = fake.run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 7 });
    assert_eq!(outcome.evidence.output.bytes, 1_000_000);
    assert!(outcome.evidence.output.truncated);
    assert!(outcome.warnings[0].starts_with("cannot write to stdout any more"), "{:?}", outcome.warnings);
}

#[test]
fn the_output_limit_is_exact_and_marked() {
    let (fake, texts) = FakeBox::with_files("head -c 3000 /dev/zero | tr '\\0' x");
    let outcome = fake.output_limit(1000).run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.stop.unwrap().cause, StopCause::OutputLimit, "also when the command ended already");
    assert!(outcome.evidence.output.truncated);
    assert_eq!(outcome.evidence.output.bytes, 3000);
    let (stdout, stderr) = texts();
    assert_eq!(stdout, "x".repeat(1000));
    assert_eq!(stderr, "testbox: output truncated at 1000 B\n");
}

#[test]
fn exactly_the_limit_is_no_excess() {
    let outcome = FakeBox::new("head -c 1000 /dev/zero").output_limit(1000).run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.stop, None);
    assert!(!outcome.evidence.output.truncated);
}

#[test]
fn a_flood_is_stopped_in_constant_memory() {
    let before = resident_bytes();
    let (mut fake, texts) = FakeBox::with_files("echo line >&2; yes");
    fake.shared = true;
    let outcome = fake.output_limit(64 * MIB).run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Signaled { signal: 15 });
    assert!(resident_bytes().saturating_sub(before) < 32 * MIB);
    let text = texts().0;
    assert!(text.ends_with("y\ntestbox: output truncated at 64.0 MiB\n"), "a line of its own");
    assert_eq!(outcome.evidence.output.limit_bytes, Some(Bytes(64 * MIB)));
}

#[test]
fn own_lines_stand_on_lines_of_their_own() {
    let (mut fake, texts) = FakeBox::with_files("printf unfinished >&2; exit 1");
    fake.notices = true;
    fake.run(FakeMeter::of).outcome();
    let text = texts().1;
    assert!(text == "unfinished\n<ended>\n" || text == "<ended>\nunfinished", "{text:?}");
}

fn resident_bytes() -> u64 {
    let statm = fs_err::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
