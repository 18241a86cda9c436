//! The plugin's frames: cut into messages, then believed as far as they may be.

use testbox_fuzz::{lines, run};
use testbox_model::TestVerdict;
use testbox_pytest::{Decoder, Session};

/// Frames as they travel: the seeds are lines of JSON without the numbers.
fn framed(lines: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, line) in (1..).zip(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
        let body = match line.strip_prefix(b"{") {
            Some(rest) => [format!("{{\"s\":{number},").as_bytes(), rest].concat(),
            None => line.to_vec(),
        };
        stream.extend_from_slice(&(body.len() as u32).to_le_bytes());
        stream.extend_from_slice(&body);
    }
    stream
}

/// What comes of a stream that is read in pieces of this size.
fn heard(stream: &[u8], piece: usize) -> (Session, u64) {
    let (mut decoder, mut session, mut frames) = (Decoder::default(), Session::default(), 0);
    for bytes in stream.chunks(piece) {
        decoder.feed(bytes);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    frames += 1;
                    session.on(frame, frames);
                }
                Ok(None) => break,
                Err(_) => return (session, frames),
            }
        }
    }
    (session, frames)
}

fn check(lines: &[u8]) {
    for stream in [framed(lines), lines.to_vec()] {
        let (session, frames) = heard(&stream, 4096);
        let (in_pieces, same_frames) = heard(&stream, 7);
        let evidence = session.clone().into_evidence();
        assert_eq!(evidence, in_pieces.into_evidence(), "however the stream is cut");
        assert_eq!(frames, same_frames);
        assert!(evidence.outcomes.total() <= frames, "a result without a word of the plugin");
        assert!((evidence.tests.len() + evidence.running.len()) as u64 <= 2 * frames);
        a_kill_is_never_talked_away(session, &stream);
    }
}

/// Whatever the plugin says after it, a killed test has failed.
fn a_kill_is_never_talked_away(mut session: Session, stream: &[u8]) {
    let Some(running) = session.running(0).cloned() else { return };
    session.killed(0, TestVerdict::Memory, &[], None);
    let rows = session.clone().into_evidence().tests;
    let killed = rows.iter().position(|row| row.nodeid == running.nodeid && row.verdict == TestVerdict::Memory);
    let mut decoder = Decoder::default();
    decoder.feed(stream);
    while let Ok(Some(frame)) = decoder.next() {
        session.on(frame, 0);
    }
    let Some(row) = killed.map(|index| session.clone().into_evidence().tests[index].clone()) else { return };
    let passed = row.verdict == TestVerdict::Passed && row.killed_before.is_empty();
    assert!(!passed, "{row:?}");
}

#[test]
fn frames() {
    run("frames", lines, check);
}
