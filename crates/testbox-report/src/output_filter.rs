//! Makes the bytes that a box prints harmless for terminals and CI logs: a stream, in constant memory.
//!
//! Unchanged: valid UTF-8, newline, tab, CR LF and colours (SGR, `ESC [ digits ; : m`). Everything else that a terminal
//! would obey is shown instead: control characters as `^[` or `\x9b`, bidi controls as `\u{202e}`; a lone CR becomes a
//! newline, so that nothing that was printed can be overwritten. Commands of CI services get a backslash.
//!
//! Only the beginning of a sequence is ever held back (at most 64 bytes), never text.

mod sequence;

use crate::harmless::{CiCommands, is_bidi_control};
use sequence::{Held, Progress};

/// The filter of one stream; one value for each of stdout and stderr, or one for both if they share a pipe.
///
/// However the input is split into pieces, the output is the same.
#[derive(Debug, Clone)]
pub struct OutputFilter {
    held: Held,
    commands: CiCommands,
    leftover: Leftover,
}

/// In what state a stream left the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftover {
    /// The last line has no newline.
    pub mid_line: bool,
    /// Colours or other attributes (hidden text among them) were switched on and not reset.
    pub styled: bool,
}

impl Default for OutputFilter {
    fn default() -> Self {
        Self::new()
    }
}

impl OutputFilter {
    /// A filter at the start of a stream.
    pub fn new() -> Self {
        Self { held: Held::default(), commands: CiCommands::at_line_start(), leftover: Leftover::default() }
    }

    /// Filters the next piece of the stream; appends to `out`, at most four bytes for each of `input` and 64 more.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(input.len());
        let mut rest = input;
        while let Some((&byte, tail)) = rest.split_first() {
            let plain = self.plain_prefix(rest);
            if plain > 0 {
                out.extend_from_slice(&rest[..plain]);
                self.leftover.mid_line = true;
                rest = &rest[plain..];
            } else {
                self.step(byte, out);
                rest = tail;
            }
        }
    }

    /// The end of the stream: appends what was held back of an incomplete sequence, and tells how the terminal is left.
    /// The filter is then at the start of a new stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Leftover {
        self.release(out);
        std::mem::take(self).leftover
    }

    /// How many bytes from the start of `bytes` on are printable ASCII that changes no state.
    fn plain_prefix(&self, bytes: &[u8]) -> usize {
        match self.held.is_empty() && self.commands.is_idle() {
            true => bytes.iter().position(|&byte| !IS_PLAIN[usize::from(byte)]).unwrap_or(bytes.len()),
            false => 0,
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.held.take(byte) {
            Progress::Nothing => self.single(byte, out),
            Progress::Held => {}
            Progress::LineEnd => self.text("\r\n", out),
            Progress::Character(c) => self.character(c, out),
            Progress::Colour => self.colour(out),
            Progress::Broken => {
                self.release(out);
                self.step(byte, out);
            }
        }
    }

    /// A byte that belongs to no sequence.
    fn single(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' | b'\t' | b' '..=b'~' => self.put(char::from(byte), out),
            0..0x20 | 0x7f => [b'^', byte ^ 0x40].iter().for_each(|&b| self.put(char::from(b), out)),
            0x80..=0x9f => self.text(&format!("\\x{byte:02x}"), out),
            // Not UTF-8, but no terminal obeys it: Latin-1 text, for example.
            0xa0..=0xff => {
                self.commands.defuses(char::REPLACEMENT_CHARACTER);
                self.leftover.mid_line = true;
                out.push(byte);
            }
        }
    }

    /// A complete character outside ASCII.
    fn character(&mut self, c: char, out: &mut Vec<u8>) {
        match c {
            '\u{80}'..='\u{9f}' => self.text(&format!("\\x{:02x}", u32::from(c)), out),
            c if is_bidi_control(c) => self.text(&c.escape_unicode().to_string(), out),
            c => self.put(c, out),
        }
    }

    /// The held bytes are a complete SGR sequence. It is invisible to the search for commands, so that `:ESC[m:` is
    /// defused like `::`.
    fn colour(&mut self, out: &mut Vec<u8>) {
        let sequence = self.held.clear();
        self.leftover.styled = sequence.iter().any(|byte| (b'1'..=b'9').contains(byte));
        out.extend_from_slice(&sequence);
    }

    /// The held bytes will not become a sequence: each is shown on its own.
    fn release(&mut self, out: &mut Vec<u8>) {
        let bytes = self.held.clear();
        match *bytes {
            [b'\r'] => self.put('\n', out),
            _ => bytes.iter().for_each(|&byte| self.single(byte, out)),
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        text.chars().for_each(|c| self.put(c, out));
    }

    fn put(&mut self, c: char, out: &mut Vec<u8>) {
        if self.commands.defuses(c) {
            out.push(b'\\');
        }
        self.leftover.mid_line = c != '\n';
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Printable ASCII and tab, without `#`, which may open a command anywhere in a line.
static IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = byte != b'#';
        byte += 1;
    }
    plain[b'\t' as usize] = true;
    plain
};

#[cfg(test)]
mod tests;
