//! The first line of a script: which interpreter the kernel would start. Reads, never runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Two lines of a script are within this; the kernel itself reads 256 bytes.
const START_BYTES: u64 = 4096;

/// What a script's first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shebang {
    /// An interpreter by path.
    Program(PathBuf),
    /// A program that `env` searches in PATH.
    Searched(OsString),
}

/// The interpreter of a script; `None` if the file is no script or cannot be read.
pub(crate) fn of_script(host: &Host, script: &Path) -> Option<Shebang> {
    parse(&host.read_start(script, START_BYTES).ok()?)
}

/// Is the last part of the path the name of a Python interpreter?
pub(crate) fn is_python(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(testbox_pytest::is_python)
}

fn parse(start: &[u8]) -> Option<Shebang> {
    let mut lines = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n');
    let first = lines.next()?.trim_ascii();
    let mut words = first.splitn(2, u8::is_ascii_whitespace);
    let program = words.next()?;
    let rest = words.next().unwrap_or_default().trim_ascii();
    if program.ends_with(b"/env") {
        return searched(rest);
    }
    if program.ends_with(b"/sh") {
        return Some(Shebang::Program(trampoline(lines.next()?).unwrap_or_else(|| path(program))));
    }
    Some(Shebang::Program(path(program)))
}

/// `env [-S] [NAME=VALUE] program`.
fn searched(arguments: &[u8]) -> Option<Shebang> {
    let words = arguments.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut programs = words.filter(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    programs.next().map(|program| Shebang::Searched(OsStr::from_bytes(program).to_owned()))
}

/// The second line of pip's and uv's scripts for long paths: `'''exec' "/long path/bin/python" "$0" "$@"`.
fn trampoline(line: &[u8]) -> Option<PathBuf> {
    let rest = line.strip_prefix(b"'''exec' ")?;
    let (quote, end): (&[u8], fn(&u8) -> bool) = match rest.first()? {
        b'"' => (&rest[1..], |byte| *byte == b'"'),
        b'\'' => (&rest[1..], |byte| *byte == b'\''),
        _ => (rest, u8::is_ascii_whitespace),
    };
    quote.split(end).next().filter(|program| !program.is_empty()).map(path)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_name_their_interpreter() {
        let program = |path: &str| Some(Shebang::Program(path.into()));
        assert_eq!(parse(b"#!/v/bin/python\nimport x"), program("/v/bin/python"));
        assert_eq!(parse(b"#! /v/bin/python3 -E\n"), program("/v/bin/python3"));
        assert_eq!(parse(b"#!/usr/bin/env python3\n"), Some(Shebang::Searched("python3".into())));
        assert_eq!(parse(b"#!/usr/bin/env -S X=1 python3 -u\n"), Some(Shebang::Searched("python3".into())));
        assert_eq!(
            parse(b"#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n"),
            program("/a b/bin/python")
        );
        assert_eq!(parse(b"#!/bin/sh\n'''exec' /ab/bin/python \"$0\" \"$@\"\n' '''\n"), program("/ab/bin/python"));
        assert_eq!(parse(b"#!/bin/sh\necho\n"), program("/bin/sh"));
        assert_eq!(parse(b"\x7fELF"), None);
        assert_eq!(parse(b"#!"), program(""));
    }
}
