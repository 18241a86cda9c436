//! The look of lines: colours, plural forms, wrapped lists.

use super::Style;

/// What a word is, for its colour.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Good,
    Bad,
    Caution,
    Hint,
}

/// `word` in its colour, if there are colours.
pub(super) fn paint(word: &str, ink: Ink, style: Style) -> String {
    let code = match ink {
        Ink::Good => "1;32",
        Ink::Bad => "1;31",
        Ink::Caution => "1;33",
        Ink::Hint => "1;36",
    };
    if style.color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}

/// `1 process`, `2 processes`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// `first` and the items, wrapped between items where the width demands it; further lines start with `indent`.
pub(super) fn fill(first: &str, items: &[String], separator: &str, indent: &str, style: Style) -> String {
    let width = usize::from(style.width);
    let mut text = first.to_owned();
    let mut column = first.chars().count();
    for (index, item) in items.iter().enumerate() {
        let last = index + 1 == items.len();
        let item = if last { item.clone() } else { format!("{item}{separator}") };
        let length = item.trim_end().chars().count();
        if width > 0 && index > 0 && column + length > width {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n{indent}"));
            column = indent.chars().count();
        }
        text.push_str(&item);
        column += item.chars().count();
    }
    text.push('\n');
    text
}
