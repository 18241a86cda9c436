//! What passes, what is shown instead, and that the split of the input never matters.

use super::*;

fn filtered(input: &[u8]) -> Vec<u8> {
    filtered_in_pieces([input])
}

fn filtered_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut filter, mut out) = (OutputFilter::new(), vec![]);
    pieces.into_iter().for_each(|piece| filter.push(piece, &mut out));
    filter.finish(&mut out);
    out
}

fn shown(input: &[u8]) -> String {
    String::from_utf8(filtered(input)).unwrap()
}

#[test]
fn plain_text_and_colours_pass_unchanged() {
    for text in [
        "",
        "tests/test_a.py::test_b PASSED [ 50%]\n",
        "a\tb\r\nc\r\n\r\n\n",
        "Grüße, 世界, 🦀, e\u{301}, \u{200d}\n",
        "\x1b[31mred\x1b[0m \x1b[m \x1b[1;38;5;208m \x1b[38:2::255:0:0m \x1b[4:3m\n",
        "# heading ## and ### [x] array[0] a::b ::c\n",
        "100% \\ ^[ \\x9b ~!@#$%^&*()_+{}|:\"<>?\n",
    ] {
        assert_eq!(shown(text.as_bytes()), text);
    }
    let latin1 = b"Gr\xfc\xdfe \xe9t\xe9 \xc3";
    assert_eq!(filtered(latin1), latin1, "not UTF-8, but harmless");
}

#[test]
fn what_a_terminal_would_obey_is_shown() {
    for (input, expected) in [
        (&b"\x1b[2J"[..], "^[[2J"),
        (b"\x1b]0;title\x07", "^[]0;title^G"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\", "^[]52;c;ZXZpbA==^[\\"),
        (b"\x1bP1$r\x1b\\\x1bc\x1b(0", "^[P1$r^[\\^[c^[(0"),
        (b"\x1b[>4;2m\x1b[?25l\x1b[6n", "^[[>4;2m^[[?25l^[[6n"),
        (b"\x1b\x1b[31m", "^[\x1b[31m"),
        (b"\x1b[3\x1b[31m", "^[[3\x1b[31m"),
        (b"\x1b[3\r\n", "^[[3\r\n"),
        (b"\0\x08\x0b\x0c\x0e\x7f", "^@^H^K^L^N^?"),
        (b"\x9b31m\x90q\x9d", "\\x9b31m\\x90q\\x9d"),
        (b"\xc2\x9b31m\xc2\x85", "\\x9b31m\\x85"),
        ("user\u{202e}cod\u{2066}\u{2069}".as_bytes(), "user\\u{202e}cod\\u{2066}\\u{2069}"),
    ] {
        assert_eq!(shown(input), expected);
    }
}

#[test]
fn broken_utf8_hides_no_control_character() {
    for (input, expected) in [
        (&b"\xe2\x80"[..], &b"\xe2\\x80"[..]),
        (b"\xe2\x80\x1b[2J", b"\xe2\\x80^[[2J"),
        (b"\xe2\x80\xc2\x9b", b"\xe2\\x80\\x9b"),
        (b"\xc0\x9b\xe0\x80\x9b\xf0\x80", b"\xc0\\x9b\xe0\\x80\\x9b\xf0\\x80"),
        (b"\xed\xa0\x80\xf4\x90\xff", b"\xed\xa0\\x80\xf4\\x90\xff"),
        (b"\xf0\x9f\xa6x", b"\xf0\\x9f\xa6x"),
    ] {
        assert_eq!(filtered(input), expected, "{input:x?}");
    }
}

#[test]
fn a_lone_carriage_return_starts_a_new_line() {
    assert_eq!(shown(b"10%\r20%\r\n30%\r"), "10%\n20%\r\n30%\n");
    assert_eq!(shown(b"\r\r\n"), "\n\r\n");
    assert_eq!(shown(b"safe\r::error::x"), "safe\n:\\:error::x");
}

#[test]
fn commands_of_ci_services_are_defused() {
    for (input, expected) in [
        ("::set-env name=A::b\n", ":\\:set-env name=A::b\n"),
        ("x\n \t::add-mask::a", "x\n \t:\\:add-mask::a"),
        ("\u{3000}\u{feff}::x", "\u{3000}\u{feff}:\\:x"),
        ("\x1b[31m::x :\x1b[0m:", "\x1b[31m:\\:x :\x1b[0m:"),
        (":\x1b[0m:x", ":\x1b[0m\\:x"),
        ("##vso[task.setvariable]", "##vso\\[task.setvariable]"),
        ("a ##[error]b ##\x1b[m[x]", "a ##\\[error]b ##\x1b[m\\[x]"),
        ("##\x1b[J", "##^[[J"),
        ("\u{200b}::x #\u{ad}#[x]", "\u{200b}:\\:x #\u{ad}#\\[x]"),
    ] {
        assert_eq!(shown(input.as_bytes()), expected);
    }
}

#[test]
fn an_overlong_sequence_is_not_held() {
    let longest = format!("\x1b[{}m", "1;".repeat(30) + "1");
    assert_eq!(longest.len(), 64);
    assert_eq!(shown(longest.as_bytes()), longest);
    let (mut filter, mut out) = (OutputFilter::new(), vec![]);
    filter.push(format!("\x1b[{}", "1".repeat(62)).as_bytes(), &mut out);
    assert_eq!(out, format!("^[[{}", "1".repeat(62)).as_bytes(), "shown before its end is known");
}

#[test]
fn text_is_never_held_back() {
    for text in ["collecting ...", "Password:", ":", "##", "##vso", "::", "é"] {
        let (mut filter, mut out) = (OutputFilter::new(), vec![]);
        filter.push(text.as_bytes(), &mut out);
        let first: Vec<u8> = out.clone();
        filter.finish(&mut out);
        assert_eq!(first, out, "{text}");
    }
}

#[test]
fn the_end_tells_how_the_terminal_is_left() {
    for (input, mid_line, styled) in [
        ("", false, false),
        ("a\n", false, false),
        ("a\r", false, false),
        ("a", true, false),
        ("\x1b[8mhidden\n", false, true),
        ("\x1b[31mred\x1b[0m\n\x1b[m", false, false),
        ("a\n\x1b[", true, false),
    ] {
        let (mut filter, mut out) = (OutputFilter::new(), vec![]);
        filter.push(input.as_bytes(), &mut out);
        assert_eq!(filter.finish(&mut out), Leftover { mid_line, styled }, "{input:?}");
    }
}

/// Pieces that a filter may confuse when they meet; glued at random they make the inputs of the property tests.
const PIECES: [&[u8]; 30] = [
    b"plain text",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b"::",
    b"#",
    b"##",
    b"##vso",
    b"[",
    b"\x1b",
    b"\x1b[",
    b"31",
    b";",
    b"m",
    b"\x1b[0m",
    b"\x1b]0;",
    b"\x07",
    b"\x9b",
    b"\xc2",
    b"\xe2\x80",
    b"\xae",
    "é".as_bytes(),
    "🦀".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{85}".as_bytes(),
    b"\xf0\x9f",
    b"1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;",
];

/// A small generator (xorshift), so that every run tests the same cases.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn input(&mut self) -> Vec<u8> {
        let count = 1 + self.below(20);
        (0..count).flat_map(|_| PIECES[self.below(PIECES.len())].to_vec()).collect()
    }
}

#[test]
fn the_split_of_the_input_never_matters() {
    let mut dice = Dice(0x5eed);
    for _ in 0..3000 {
        let input = dice.input();
        let whole = filtered(&input);
        assert_eq!(filtered_in_pieces(input.chunks(1)), whole, "byte by byte: {input:x?}");
        for at in 0..=input.len() {
            assert_eq!(filtered_in_pieces([&input[..at], &input[at..]]), whole, "split at {at}: {input:x?}");
        }
        let size = 1 + dice.below(input.len());
        assert_eq!(filtered_in_pieces(input.chunks(size)), whole, "pieces of {size}: {input:x?}");
    }
}

#[test]
fn nothing_that_a_terminal_or_ci_obeys_comes_through() {
    let mut dice = Dice(0xbad_c0de);
    for _ in 0..30_000 {
        let input = dice.input();
        let output = filtered(&input);
        assert_eq!(complaint(&output), None, "{input:x?} became {:?}", String::from_utf8_lossy(&output));
    }
}

/// What is wrong with an output, judged by other means than the filter's own.
fn complaint(output: &[u8]) -> Option<&'static str> {
    let text = without_colours(&String::from_utf8_lossy(output));
    let text = text.replace("\r\n", "\n");
    let bare_c1 = output.utf8_chunks().any(|chunk| chunk.invalid().iter().any(|byte| (0x80..0xa0).contains(byte)));
    [
        (text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "control character"),
        (text.chars().any(is_bidi_control), "bidi control"),
        (bare_c1, "bare C1 byte"),
        (text.lines().any(|line| line.trim_start().starts_with("::")), "command by colons"),
        (text.contains("##[") || text.contains("##vso["), "command by hashes"),
    ]
    .into_iter()
    .find_map(|(wrong, what)| wrong.then_some(what))
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| {
        let parameters = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
        before + parameters.strip_prefix('m').unwrap_or("\x1b")
    })
}

/// Run with `cargo test --release -p testbox-report -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement: wants a release build"]
fn speed() {
    let log = "tests/test_module.py::test_name[parameter-1] PASSED                      [ 50%]\n".repeat(12_500);
    let words = "Grüße aus Köln: 世界 ist groß, naïve café, 世界 und 🦀\n".repeat(15_000);
    let colours = "\x1b[32mPASSED\x1b[0m tests/test_module.py::test_name \x1b[1m[ 50%]\x1b[0m\n".repeat(15_000);
    for (name, text) in
        [("ASCII log", log), ("UTF-8", words), ("colours", colours), ("control", "\x1b[2J".repeat(250_000))]
    {
        let (mut filter, mut out, rounds) = (OutputFilter::new(), Vec::new(), 50);
        let start = std::time::Instant::now();
        for piece in (0..rounds).flat_map(|_| text.as_bytes().chunks(64 << 10)) {
            out.clear();
            filter.push(piece, &mut out);
        }
        let megabytes = (text.len() * rounds) as f64 / 1e6;
        println!("{name:10} {:6.0} MB/s", megabytes / start.elapsed().as_secs_f64());
    }
}
