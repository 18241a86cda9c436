//! Which characters a terminal or a CI service would obey instead of show, and how text of the box is told in one line.

mod ci_command;

pub(crate) use ci_command::CiCommands;

/// Characters that reorder what the reader sees ("Trojan source"): bidi embeddings, overrides and isolates.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in one line that a terminal only shows: control characters, line breaks, bidi controls and CI commands are
/// spelled out. For command lines, file names and messages that originate in the box or the project.
pub fn one_line(text: &str) -> String {
    let mut commands = CiCommands::in_line();
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        // A line break is spelled out, so it starts no line.
        if commands.defuses(if c == '\n' { ' ' } else { c }) {
            line.push('\\');
        }
        match c {
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => line.extend(c.escape_default()),
            c => push_harmless(&mut line, c),
        }
    }
    line
}

/// As [`one_line`], but line breaks and tabs are kept. The text begins within a line.
pub(crate) fn lines(text: &str) -> String {
    let mut commands = CiCommands::in_line();
    let mut lines = String::with_capacity(text.len());
    for c in text.chars() {
        if commands.defuses(c) {
            lines.push('\\');
        }
        match c {
            '\n' | '\t' => lines.push(c),
            c => push_harmless(&mut lines, c),
        }
    }
    lines
}

/// The character, spelled out if a terminal would obey it, or if XML cannot hold it.
fn push_harmless(text: &mut String, c: char) {
    match c {
        '\r' => text.extend(c.escape_default()),
        c if c.is_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if is_bidi_control(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => text.extend(c.escape_unicode()),
        c => text.push(c),
    }
}

/// `text` in one line, cut after `limit` characters.
pub(crate) fn short_line(text: &str, limit: usize) -> String {
    let line = one_line(text);
    match line.char_indices().nth(limit) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_in_its_line_and_is_shown() {
        assert_eq!(one_line("a\nb\tc\r\x1b[2J\u{7f}\u{9b}"), r"a\nb\tc\r\x1b[2J\x7f\x9b");
        assert_eq!(one_line("x\u{202e}y\u{2028}"), r"x\u{202e}y\u{2028}");
        assert_eq!(one_line("##[error]no ##vso[x] ::notice"), r"##\[error]no ##vso\[x] ::notice");
        assert_eq!(one_line("Überprüfung naïve 测试"), "Überprüfung naïve 测试");
    }

    #[test]
    fn lines_stay_lines_and_give_no_command() {
        assert_eq!(lines("a\r\n\tb\x1b[2J\n::error::x\u{ffff}"), "a\\r\n\tb\\x1b[2J\n:\\:error::x\\u{ffff}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(short_line("äöü", 2), "äö...");
        assert_eq!(short_line("äöü", 3), "äöü");
    }
}
