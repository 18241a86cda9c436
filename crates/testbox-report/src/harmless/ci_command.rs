//! Finds the commands that CI services read from logs, as a stream: it never needs to hold text back.
//!
//! GitHub obeys `::command::` at the start of a line, after blanks (all of Unicode's, as .NET's `TrimStart` does), and
//! `##[command]` anywhere; Azure obeys `##vso[`, TeamCity `##teamcity[`. One backslash makes each plain text.

/// The words after `##` that open a command, besides none.
const WORDS: [&str; 2] = ["vso", "teamcity"];

/// What of a command was seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CiCommands {
    colons: Colons,
    hashes: Hashes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colons {
    /// Nothing but blanks in this line so far.
    LineStart,
    /// The line starts with one colon.
    One,
    /// A command can no longer start by colons in this line.
    InLine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hashes {
    None,
    One,
    Two,
    /// `##` and the start of a word, whose rest is still to come.
    Word(&'static str),
}

impl CiCommands {
    /// At the start of a line.
    pub(crate) fn at_line_start() -> Self {
        Self { colons: Colons::LineStart, hashes: Hashes::None }
    }

    /// In a line whose start is known to be harmless.
    pub(crate) fn in_line() -> Self {
        Self { colons: Colons::InLine, hashes: Hashes::None }
    }

    /// Nothing of a command is pending, so that plain characters other than `#` and newline change nothing.
    pub(crate) fn is_idle(&self) -> bool {
        *self == Self::in_line()
    }

    /// Takes the next character of the text; true if a backslash must stand before it.
    pub(crate) fn defuses(&mut self, c: char) -> bool {
        if is_invisible(c) {
            return false;
        }
        let command = match c {
            ':' => self.colons == Colons::One,
            '[' => matches!(self.hashes, Hashes::Two | Hashes::Word("")),
            _ => false,
        };
        self.colons = self.colons.next(c);
        self.hashes = self.hashes.next(c);
        command
    }
}

impl Colons {
    fn next(self, c: char) -> Self {
        match (self, c) {
            (_, '\n') => Self::LineStart,
            (Self::LineStart, c) if c.is_whitespace() => Self::LineStart,
            (Self::LineStart, ':') => Self::One,
            _ => Self::InLine,
        }
    }
}

impl Hashes {
    fn next(self, c: char) -> Self {
        match (self, c) {
            (Self::One | Self::Two, '#') => Self::Two,
            (_, '#') => Self::One,
            (Self::Two, c) => WORDS.iter().find_map(|word| rest_after(word, c)).map_or(Self::None, Self::Word),
            (Self::Word(rest), c) => rest_after(rest, c).map_or(Self::None, Self::Word),
            _ => Self::None,
        }
    }
}

fn rest_after(word: &'static str, c: char) -> Option<&'static str> {
    let first = word.chars().next()?;
    first.eq_ignore_ascii_case(&c).then(|| &word[first.len_utf8()..])
}

/// Characters without width (byte order mark, joiners, soft hyphen): comparisons by language skip them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defused(text: &str) -> String {
        let mut commands = CiCommands::at_line_start();
        text.chars().flat_map(|c| commands.defuses(c).then_some('\\').into_iter().chain([c])).collect()
    }

    #[test]
    fn each_command_gets_one_backslash() {
        for (text, expected) in [
            ("::error::x", r":\:error::x"),
            ("  \t::set-env", "  \t:\\:set-env"),
            ("a\n::x\n ::y", "a\n:\\:x\n :\\:y"),
            ("\u{a0}\u{3000}\u{feff}::x", "\u{a0}\u{3000}\u{feff}:\\:x"),
            ("##[error]", r"##\[error]"),
            ("text ##vso[task.x]", r"text ##vso\[task.x]"),
            ("##VSO[x] ###[x] ##teamcity[x]", r"##VSO\[x] ###\[x] ##teamcity\[x]"),
            ("##v##vso[x]", r"##v##vso\[x]"),
        ] {
            assert_eq!(defused(text), expected);
        }
    }

    #[test]
    fn what_only_looks_like_a_command_is_unchanged() {
        for text in [
            "tests/a.py::test_b",
            "a ::x",
            ": :",
            "# [x]",
            "##vs[x]",
            "##vsoo[x]",
            "##vso#[x]",
            "##vsovso[x]",
            "## [x]",
            "##\n[x]",
            "#[x]",
        ] {
            assert_eq!(defused(text), text);
        }
    }
}
