//! The filter of a box's output: whatever goes in, a terminal and a CI log obey nothing of what comes out.

use testbox_fuzz::{bytes, run};
use testbox_report::OutputFilter;

fn filtered(input: &[u8], piece: usize) -> Vec<u8> {
    let (mut filter, mut output) = (OutputFilter::new(), Vec::new());
    for bytes in input.chunks(piece) {
        let before = output.len();
        filter.push(bytes, &mut output);
        assert!(output.len() - before <= 4 * bytes.len() + 4 * 64, "more than promised");
    }
    filter.finish(&mut output);
    output
}

fn check(input: &[u8]) {
    let output = filtered(input, 4096);
    for piece in [1, 3, 64] {
        assert_eq!(output, filtered(input, piece), "however the stream is cut");
    }
    harmless(&output);
    assert_eq!(filtered(&output, 4096), output, "what is harmless stays as it is");
}

/// Control characters are newline, tab, CR before newline, and the ESC of a colour.
fn harmless(output: &[u8]) {
    for (index, byte) in output.iter().enumerate() {
        let rest = &output[index + 1..];
        let known = match byte {
            b'\n' | b'\t' => true,
            b'\r' => rest.first() == Some(&b'\n'),
            0x1b => is_colour(rest),
            0..0x20 | 0x7f => false,
            _ => true,
        };
        assert!(known, "{byte:#x} at {index} of {}", String::from_utf8_lossy(output));
    }
    for line in String::from_utf8_lossy(output).lines() {
        let visible = without_colours(line);
        let start = visible.trim_start();
        assert!(!start.starts_with("::") && !visible.contains("##vso["), "{visible}");
    }
}

fn is_colour(rest: &[u8]) -> bool {
    let end = rest.iter().position(|byte| *byte == b'm');
    rest.first() == Some(&b'[') && end.is_some_and(|end| rest[1..end].iter().all(|b| b"0123456789;:".contains(b)))
}

fn without_colours(line: &str) -> String {
    let mut visible = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        visible.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    visible + rest
}

#[test]
fn output() {
    run("output", bytes, check);
}
