//! Sequences of bytes that mean one thing: a UTF-8 character, CR LF, an SGR sequence. Bounded by 64 bytes.

use std::ops::Deref;

/// A longer SGR sequence is not held but shown.
const CAPACITY: usize = 64;

/// The beginning of a sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    bytes: [u8; CAPACITY],
    len: usize,
}

/// What the next byte means together with the held ones.
pub(super) enum Progress {
    /// Nothing is held, and the byte starts no sequence.
    Nothing,
    /// The byte is held as well.
    Held,
    /// CR LF; nothing is held any more.
    LineEnd,
    /// A character outside ASCII; nothing is held any more.
    Character(char),
    /// A complete SGR sequence, still held.
    Colour,
    /// The byte does not continue the held bytes: they must be released before it is looked at again.
    Broken,
}

impl Default for Held {
    fn default() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Held {
    pub(super) fn take(&mut self, byte: u8) -> Progress {
        match **self {
            [] if starts_sequence(byte) => self.hold(byte),
            [] => Progress::Nothing,
            [b'\r'] if byte == b'\n' => {
                self.clear();
                Progress::LineEnd
            }
            [b'\x1b'] if byte == b'[' => self.hold(byte),
            [b'\x1b', b'[', ..] if byte == b'm' => {
                self.hold(byte);
                Progress::Colour
            }
            [b'\x1b', b'[', ..] if matches!(byte, b'0'..=b'9' | b';' | b':') && self.len + 1 < CAPACITY => {
                self.hold(byte)
            }
            [0xc2..=0xf4, ..] => self.continue_character(byte),
            _ => Progress::Broken,
        }
    }

    /// Hands out what was held and holds nothing any more.
    pub(super) fn clear(&mut self) -> Self {
        std::mem::take(self)
    }

    fn hold(&mut self, byte: u8) -> Progress {
        self.bytes[self.len] = byte;
        self.len += 1;
        Progress::Held
    }

    fn continue_character(&mut self, byte: u8) -> Progress {
        let mut longer = *self;
        longer.hold(byte);
        match std::str::from_utf8(&longer) {
            Ok(text) => {
                self.clear();
                text.chars().next().map_or(Progress::Broken, Progress::Character)
            }
            // `None`: not wrong, only not complete.
            Err(error) if error.error_len().is_none() => self.hold(byte),
            Err(_) => Progress::Broken,
        }
    }
}

/// CR, ESC, and the first byte of a UTF-8 character outside ASCII.
fn starts_sequence(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\x1b' | 0xc2..=0xf4)
}
