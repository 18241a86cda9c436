//! Policies of users: what works, and what each mistake is told.

use std::error::Error as _;

use seccompiler::SeccompAction;
use testbox_model::SeccompChoice;

use super::super::{SeccompError, load, oci};
use super::bpf::{self, ARCH_X86_64};
use super::builtin;
use super::calls::call;

/// Loads a policy with this text; the error is given with its cause.
fn try_policy(json: &str) -> Result<Vec<Vec<u8>>, (String, SeccompError)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.json");
    fs_err::write(&path, json).unwrap();
    let programs = load(&SeccompChoice::File(path.clone()));
    let texts = |error: SeccompError| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        (format!("{error}: {cause}").replace(path.to_str().unwrap(), "mine.json"), error)
    };
    programs.map_err(texts)
}

fn refusal(json: &str) -> String {
    try_policy(json).unwrap_err().0
}

fn one_rule(rule: &str) -> String {
    format!(
        "{{\"mine\": {{\"mismatch_action\": \"allow\", \"match_action\": {{\"errno\": 13}}, \"filter\": [\n{rule}]}}}}"
    )
}

fn answer(programs: &[Vec<u8>], name: &str, args: &[u64]) -> u32 {
    bpf::answer(programs, &call(name, args), ARCH_X86_64)
}

#[test]
fn a_policy_can_add_to_a_built_in_one() {
    let json =
        one_rule(r#"{"syscall": "ptrace"}, {"syscall": "mount"}"#).replacen('{', r#"{"extends": "default", "#, 1);
    let programs = try_policy(&json).unwrap();
    assert_eq!(answer(&programs, "ptrace", &[]), u32::from(SeccompAction::Errno(13)));
    assert_eq!(answer(&programs, "mount", &[]), u32::from(SeccompAction::Errno(13)), "the newer errno decides");
    assert_eq!(answer(&programs, "unshare", &[]), u32::from(SeccompAction::Errno(1)));
    assert_eq!(answer(&programs, "read", &[]), u32::from(SeccompAction::Allow));
}

#[test]
fn a_policy_of_its_own_still_has_the_guard() {
    let programs = try_policy("{}").unwrap();
    assert_eq!(answer(&programs, "mount", &[]), u32::from(SeccompAction::Allow));
    let x32 = super::calls::Call { number: 0x4000_0001, args: [0; 6] };
    assert_eq!(bpf::answer(&programs, &x32, ARCH_X86_64), u32::from(SeccompAction::KillProcess));
}

#[test]
fn an_allow_list_and_every_comparison_work() {
    let json = r#"{
        "list": {"default_action": {"errno": 13}, "filter_action": "allow", "filter": [
            {"syscall": "execve"}, {"syscall": "seccomp"},
            {"syscall": "lseek", "args": [{"index": 1, "type": "qword", "op": "ge", "val": 4294967296}]},
            {"syscall": "lseek", "args": [{"index": 1, "type": "qword", "op": "lt", "val": 16}, {"index": 2, "type": "dword", "op": "ne", "val": 2}]},
            {"syscall": "kill", "args": [{"index": 0, "type": "dword", "op": "gt", "val": 1}, {"index": 1, "type": "dword", "op": "le", "val": 15}]}
        ]},
        "kill": {"mismatch_action": "allow", "match_action": "kill_process", "filter": [
            {"syscall": "kill", "args": [{"index": 1, "type": "dword", "op": "eq", "val": 9}]}
        ]}
    }"#;
    let programs = try_policy(json).unwrap();
    let (allow, refuse) = (u32::from(SeccompAction::Allow), u32::from(SeccompAction::Errno(13)));
    let cases: &[(&str, &[u64], u32)] = &[
        ("read", &[], refuse),
        ("lseek", &[0, 1 << 32, 2], allow),
        ("lseek", &[0, 16, 0], refuse),
        ("lseek", &[0, 15, 0], allow),
        ("lseek", &[0, 15, 2], refuse),
        ("kill", &[2, 15], allow),
        ("kill", &[1, 15], refuse),
        ("kill", &[2, 16], refuse),
        ("kill", &[1, 9], u32::from(SeccompAction::KillProcess)),
        ("kill", &[2, 9 | 1 << 40], u32::from(SeccompAction::KillProcess)),
    ];
    for (name, args, expected) in cases {
        assert_eq!(answer(&programs, name, args), *expected, "{name} {args:x?}");
    }
}

#[test]
fn each_mistake_is_named_with_its_place() {
    for (rule, expected) in [
        (
            r#"{"syscall": "ptrase"}"#,
            "`ptrase` is not a system call of x86_64; did you mean `ptrace`? at line 2 column 21",
        ),
        (r#"{"sycall": "read"}"#, "unknown field `sycall`, expected one of `syscall`, `args`, `comment` at line 2"),
        (r#"{"syscall": "read", "args": []}"#, "`args` of `read` is empty: leave it out to match every call at line 2"),
        (r#"{"syscall": "read"}, {"syscall": "read"}"#, "a rule of `read` is without effect"),
        (
            r#"{"syscall": "read", "args": [{"index": 6, "type": "dword", "op": "eq", "val": 1}]}"#,
            "`index` 6 is not an argument",
        ),
        (
            r#"{"syscall": "read", "args": [{"index": 0, "type": "dword", "op": "eq", "val": 4294967296}]}"#,
            "4294967296 does not fit a `dword`",
        ),
        (
            r#"{"syscall": "read", "args": [{"index": 0, "type": "dword", "op": {"masked_eq": 2}, "val": 3}]}"#,
            "`val` 3 has bits outside of its mask 2",
        ),
        (
            r#"{"syscall": "read", "args": [{"index": 0, "type": "word", "op": "eq", "val": 1}]}"#,
            "unknown variant `word`, expected `dword` or `qword`",
        ),
    ] {
        let refusal = refusal(&one_rule(rule));
        assert!(refusal.starts_with("cannot use seccomp policy `mine.json`, line 2"), "{refusal}");
        assert!(refusal.contains(expected), "{rule}: {refusal}");
    }
    for (json, expected) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("[]", "expected an object of named filters"),
        (r#"{"a": {"mismatch_action": "allow", "match_action": "allow", "filter": []}}"#, "the filter decides nothing"),
        (
            r#"{"a": {"mismatch_action": "allow", "match_action": {"errno": 5000}, "filter": []}}"#,
            "`errno` 5000 is not an error number",
        ),
        (r#"{"comment": 5}"#, "a `comment` is a string or a list of strings"),
        (r#"{"extends": "strikt"}"#, "extends `strikt`, which is not a built-in policy"),
    ] {
        assert!(refusal(json).contains(expected), "{json}: {}", refusal(json));
    }
}

#[test]
fn two_filters_of_one_name_are_refused() {
    let filter = r#""a": {"mismatch_action": "allow", "match_action": "trap", "filter": []}"#;
    assert!(refusal(&format!("{{{filter}, {filter}}}")).contains("there are two filters `a`"));
}

#[test]
fn a_policy_that_lets_nothing_start_is_refused() {
    let (text, error) = try_policy(&one_rule(r#"{"syscall": "execve"}"#)).unwrap_err();
    assert!(text.contains("`mine.json` refuses every `execve`, so no command could be started"), "{text}");
    assert!(error.hint().unwrap().contains("\"extends\": \"default\""));
    assert!(try_policy(&one_rule(r#"{"syscall": "seccomp"}"#)).is_ok(), "one program needs no second load");
}

#[test]
fn a_policy_that_is_too_large_is_refused() {
    let rule = |val: u32| {
        format!(r#"{{"syscall": "read", "args": [{{"index": 0, "type": "qword", "op": "eq", "val": {val}}}]}}"#)
    };
    let rules: Vec<String> = (0..1000).map(rule).collect();
    assert!(
        refusal(&one_rule(&rules.join(",\n")))
            .contains("cannot compile seccomp policy `mine.json`: The seccomp filter")
    );
}

#[test]
fn an_unknown_name_and_a_missing_file_are_told() {
    let error = load(&builtin("defualt")).unwrap_err();
    assert_eq!(error.to_string(), "`defualt` is not a built-in seccomp policy");
    assert_eq!(error.hint().unwrap(), "did you mean `default`? Built in are open, default, strict");
    let missing = oci(&SeccompChoice::File("/nonexistent/mine.json".into())).unwrap_err();
    assert!(missing.source().unwrap().to_string().contains("/nonexistent/mine.json"));
}
