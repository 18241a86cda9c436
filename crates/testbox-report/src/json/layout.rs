//! How JSON is laid out as text, while it is written: readable, and harmless where a terminal or a CI log shows it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

use crate::harmless::is_bidi_control;

/// Writes an object over several lines, with a line break at the end: what it holds is indented, and each item of a
/// list has one line.
pub(super) fn write_lines(value: &impl Serialize, out: impl Write) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Layout::default()))
}

/// `value` in one line, without a line break at its end.
pub(crate) fn one_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut line = vec![];
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut line, Layout { items: 1, ..Layout::default() }))?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Escapes in strings, as JSON allows, what a reader's terminal or CI service would obey: control characters (those
/// above ASCII too), bidi controls and the `##` of CI commands.
#[derive(Default)]
struct Layout {
    /// Open objects and lists that are laid out over several lines.
    depth: usize,
    /// Open items of lists: inside of one everything is in one line.
    items: usize,
    /// The object or list that was opened last has nothing in it so far.
    empty: bool,
    /// The last character of this string was `#`.
    after_hash: bool,
}

impl Layout {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !std::mem::take(&mut self.empty) {
            self.break_line(out, b"")?;
        }
        out.write_all(bracket)?;
        if self.depth == 0 && self.items == 0 { out.write_all(b"\n") } else { Ok(()) }
    }

    fn next<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            out.write_all(b",")?;
        }
        self.break_line(out, if first { b"" } else { b" " })
    }

    /// A line break and the indentation, or `blank` inside of an item.
    fn break_line<W: ?Sized + Write>(&self, out: &mut W, blank: &[u8]) -> io::Result<()> {
        if self.items > 0 {
            return out.write_all(blank);
        }
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(b"  "))
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)?;
        self.items += 1;
        Ok(())
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.items -= 1;
        self.empty = false;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.after_hash = false;
        out.write_all(b"\"")
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        self.after_hash = false;
        serde_json::ser::CompactFormatter.write_char_escape(out, escape)
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, c) in fragment.char_indices() {
            let obeyed = c.is_control() || is_bidi_control(c) || (c == '#' && self.after_hash);
            self.after_hash = c == '#' && !obeyed;
            if obeyed {
                out.write_all(&fragment.as_bytes()[written..at])?;
                write!(out, "\\u{:04x}", u32::from(c))?;
                written = at + c.len_utf8();
            }
        }
        out.write_all(&fragment.as_bytes()[written..])
    }
}
