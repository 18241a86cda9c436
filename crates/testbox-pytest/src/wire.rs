//! The plugin's frames: a length (four bytes, little endian) and a JSON object. Hostile input: bounded, typed, in order.

use serde::Deserialize;

/// Longest frame, in bytes (R11).
pub const MAX_FRAME: usize = 1 << 20;

/// What the plugin says. Unknown fields are ignored, unknown kinds are errors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum Frame {
    /// The plugin is there.
    Hello {
        /// Version of the protocol.
        protocol: u32,
        /// The interpreter's version.
        python: String,
        /// pytest's version.
        pytest: String,
        /// The signal that makes it dump its stacks.
        dump_signal: i32,
    },
    /// A stage of the session begins: `configuration`, `collection`, `tests`.
    Phase {
        /// Its name.
        name: String,
    },
    /// A file is about to be collected.
    Collect {
        /// Its node id.
        id: String,
    },
    /// The collection is over.
    Collected {
        /// Tests left after deselection.
        total: u64,
    },
    /// A test begins, with its setup.
    Start {
        /// Its node id.
        id: String,
    },
    /// The running test goes on to `call` or `teardown`.
    When {
        /// The phase.
        when: String,
    },
    /// A test is over.
    Done {
        /// Its node id.
        id: String,
        /// Phase, outcome and milliseconds of each of its reports.
        reports: Vec<(String, String, u64)>,
    },
    /// The interpreter comes to its ordinary end.
    Goodbye,
    /// The session is over.
    Finish {
        /// pytest's exit status.
        exit: i32,
    },
}

/// Why the plugin is no longer listened to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame is too long.
    #[error("a frame of {bytes} bytes, where {MAX_FRAME} are the most")]
    TooLong {
        /// Its length.
        bytes: u32,
    },
    /// A frame is no known message.
    #[error("a frame that is no message: {reason}")]
    NoMessage {
        /// What the parser said.
        reason: String,
    },
    /// Frames are missing, doubled or forged.
    #[error("frame {found} where frame {expected} was due")]
    OutOfOrder {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

#[derive(Deserialize)]
struct Numbered {
    s: u64,
    #[serde(flatten)]
    frame: Frame,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    last: u64,
}

impl Decoder {
    /// Takes what was read. Call [`Decoder::next`] until it has nothing before feeding more: the buffer then never
    /// holds more than one frame and one read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// What came is not what the plugin sends; nothing after it can be trusted.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results would have to end after an error")]
    pub fn next(&mut self) -> Result<Option<Frame>, WireError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*head);
        let length = bytes as usize;
        if length > MAX_FRAME {
            return Err(WireError::TooLong { bytes });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let numbered: Numbered =
            serde_json::from_slice(body).map_err(|error| WireError::NoMessage { reason: error.to_string() })?;
        self.buffer.drain(..4 + length);
        let expected = self.last + 1;
        if numbered.s != expected {
            return Err(WireError::OutOfOrder { expected, found: numbered.s });
        }
        self.last = expected;
        Ok(Some(numbered.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(json: &str) -> Vec<u8> {
        [&(json.len() as u32).to_le_bytes()[..], json.as_bytes()].concat()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let stream =
            [framed(r#"{"t":"start","s":1,"id":"a::b"}"#), framed(r#"{"t":"when","s":2,"when":"call","new":[]}"#)];
        let stream = stream.concat();
        for size in 1..stream.len() {
            let (mut decoder, mut frames) = (Decoder::default(), vec![]);
            for piece in stream.chunks(size) {
                decoder.feed(piece);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push(frame);
                }
            }
            let expected = [Frame::Start { id: "a::b".into() }, Frame::When { when: "call".into() }];
            assert_eq!(frames, expected, "pieces of {size}");
        }
    }

    #[test]
    fn hostile_frames_end_the_conversation() {
        let first = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            decoder.next()
        };
        assert_eq!(first(&[0xff; 64]), Err(WireError::TooLong { bytes: u32::MAX }));
        assert!(matches!(first(&framed("{}")), Err(WireError::NoMessage { .. })));
        assert!(matches!(first(&framed("\"\u{0}\"")), Err(WireError::NoMessage { .. })));
        assert!(matches!(first(&framed(r#"{"t":"verdict","s":1}"#)), Err(WireError::NoMessage { .. })));
        assert!(matches!(first(&framed(&"[".repeat(100_000))), Err(WireError::NoMessage { .. })), "depth");
        let skipped = first(&framed(r#"{"t":"start","s":2,"id":"x"}"#));
        assert_eq!(skipped, Err(WireError::OutOfOrder { expected: 1, found: 2 }));
        assert_eq!(first(&[4, 0]), Ok(None));
    }

    #[test]
    fn random_bytes_never_panic_nor_pile_up() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..2_000 {
            let mut decoder = Decoder::default();
            for _ in 0..32 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                decoder.feed(&state.to_le_bytes());
                if decoder.next().is_err() {
                    break;
                }
            }
            assert!(decoder.buffer.len() <= 32 * 8);
        }
    }
}
