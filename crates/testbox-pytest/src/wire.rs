//! The plugin's frames: a length (four bytes, little endian) and a JSON object. Hostile input: bounded, typed, in order.

use serde::Deserialize;

/// Longest frame, in bytes (R11).
pub const MAX_FRAME: usize = 1 << 20;

/// What the plugin says. Unknown fields are ignored, unknown kinds are errors. `w` is the number of a worker, 0 where
/// it is missing.
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
    /// A heavy import is over.
    Import(ImportSaid),
    /// The collection of a file is over.
    Profile {
        /// Its node id.
        id: String,
        /// Wall time in milliseconds.
        wall_ms: u64,
        /// Growth of the interpreter's resident memory, in bytes.
        growth: i64,
    },
    /// The collection is over.
    Collected {
        /// Tests left after deselection.
        total: u64,
    },
    /// How the tests will be run.
    Workers {
        /// `session`, `file`, `3`, `test`, `none`: by pytest itself, or `other`: by another plugin.
        mode: String,
        /// Workers at once.
        jobs: u32,
    },
    /// Something that the user must know.
    Note {
        /// The whole sentence.
        text: String,
    },
    /// A worker is about to be forked and needs a slot.
    Want {
        /// Its number.
        #[serde(default)]
        w: u32,
        /// Its memory in bytes; `None`: what the box has left.
        memory: Option<u64>,
        /// Its processes and threads; `None`: what the box has left.
        pids: Option<u64>,
        /// The worker that must have ended before this one may begin.
        #[serde(default)]
        after: Option<u32>,
    },
    /// The worker says that it is in its slot.
    Joined {
        /// Its number.
        #[serde(default)]
        w: u32,
        /// Its process, as the box counts them; 0: not told.
        #[serde(default)]
        pid: i32,
    },
    /// A test begins, with its setup.
    Start {
        /// Its worker.
        #[serde(default)]
        w: u32,
        /// Its node id.
        id: String,
        /// Wall time that setup and call together may take, in milliseconds.
        timeout_ms: Option<u64>,
        /// Wall time that the teardown may take, in milliseconds.
        teardown_ms: Option<u64>,
    },
    /// The running test goes on to `call` or `teardown`.
    When {
        /// Its worker.
        #[serde(default)]
        w: u32,
        /// The phase.
        when: String,
    },
    /// A test is over.
    Done(Box<DoneSaid>),
    /// The killed test does not count; it is tried again.
    Retry {
        /// Its worker.
        #[serde(default)]
        w: u32,
        /// Its node id.
        id: String,
    },
    /// A worker was reaped.
    Ended {
        /// Its number.
        #[serde(default)]
        w: u32,
        /// Its raw wait status.
        status: i32,
        /// It said that its batch was over.
        clean: bool,
    },
    /// The interpreter comes to its ordinary end.
    Goodbye,
    /// The session is over.
    Finish {
        /// pytest's exit status.
        exit: i32,
    },
}

/// What an import cost, as the plugin says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImportSaid {
    /// The module.
    pub module: String,
    /// Growth of the interpreter's resident memory, in bytes.
    pub growth: i64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
}

/// The plugin's last word on a test.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DoneSaid {
    /// Its worker.
    #[serde(default)]
    pub w: u32,
    /// Its node id.
    pub id: String,
    /// `passed`, `failed`, `error`, `skipped`, `xfailed`, `xpassed`.
    pub outcome: String,
    /// Its phases.
    #[serde(default)]
    pub reports: Vec<ReportSaid>,
    /// What its worker used meanwhile.
    #[serde(default)]
    pub usage: UsageSaid,
}

/// One phase of a test.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReportSaid {
    /// `setup`, `call`, `teardown`.
    pub when: String,
    /// pytest's word.
    pub outcome: String,
    /// Wall time in milliseconds.
    pub ms: u64,
    /// Why it did not pass, in a line.
    #[serde(default)]
    pub message: Option<String>,
    /// Why it did not pass, at length.
    #[serde(default)]
    pub text: Option<String>,
}

/// What a worker used during a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct UsageSaid {
    /// Highest memory, in bytes.
    #[serde(default)]
    pub peak: Option<u64>,
    /// Memory left behind, in bytes.
    #[serde(default)]
    pub growth: Option<i64>,
    /// Page cache, in bytes.
    #[serde(default)]
    pub cache: Option<u64>,
    /// CPU time in milliseconds.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
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
            let expected = [
                Frame::Start { w: 0, id: "a::b".into(), timeout_ms: None, teardown_ms: None },
                Frame::When { w: 0, when: "call".into() },
            ];
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
