//! Frames of every kind that is kept, as large as they may be. A process of its own: its memory is measured.

use testbox_fuzz::resident_bytes;
use testbox_pytest::{Decoder, MAX_FRAME, Session};

#[test]
fn a_flood_of_large_frames_does_not_pile_up() {
    let text = "\u{10ffff}".repeat(4096);
    for (kind, fields) in [
        ("collect", r#""id":"ID""#),
        ("import", r#""module":"ID","growth":1,"wall_ms":1"#),
        ("start", r#""id":"ID","timeout_ms":null,"teardown_ms":null"#),
        (
            "done",
            r#""id":"ID","outcome":"failed","reports":[{"when":"call","outcome":"failed","ms":1,"message":"ID"}]"#,
        ),
    ] {
        let before = resident_bytes();
        let (mut decoder, mut session) = (Decoder::default(), Session::default());
        for number in 1..=4_500_u64 {
            let fields = fields.replace("ID", &format!("{number}{text}"));
            let body = format!("{{\"t\":\"{kind}\",\"s\":{number},{fields}}}");
            assert!(body.len() < MAX_FRAME);
            decoder.feed(&(body.len() as u32).to_le_bytes());
            decoder.feed(body.as_bytes());
            session.on(decoder.next().unwrap().unwrap(), number);
        }
        let growth = resident_bytes().saturating_sub(before);
        assert!(growth < 48 << 20, "{kind}: {growth} bytes");
        drop(session);
    }
}
