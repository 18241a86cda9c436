//! Every form of a policy gives the same answer to the same call: the embedded programs, what seccompiler makes of the
//! same file by itself, the decisions, and the OCI list.

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use seccompiler::{SeccompAction, TargetArch};
use serde_json::Value;

use super::super::builtin::Builtin;
use super::super::decision::Decisions;
use super::super::region::Region;
use super::super::table::{Syscall, syscalls};
use super::bpf::{self, ARCH_I386, ARCH_X86_64};
use super::calls::{self, Call};
use super::{builtin, filters, programs};

/// The last system call that seccompiler's own table knows.
const SECCOMPILER_KNOWS: u32 = 462;

#[test]
fn seccompiler_answers_the_same_to_every_call() {
    for Builtin { name, .. } in Builtin::ALL {
        let (ours, filters) = (programs(name), filters(name));
        let theirs = by_seccompiler(name);
        for syscall in syscalls().filter(|s| s.number <= SECCOMPILER_KNOWS && s.name != "uprobe") {
            for call in calls::of(syscall, &filters) {
                let (ours, theirs) = (bpf::answer(&ours, &call, ARCH_X86_64), bpf::answer(&theirs, &call, ARCH_X86_64));
                assert_eq!(ours, theirs, "{name}: {} {call:x?}", syscall.name);
            }
        }
    }
}

#[test]
fn the_oci_list_answers_the_same_to_every_call() {
    for Builtin { name, .. } in Builtin::ALL {
        let (programs, filters) = (programs(name), filters(name));
        let list = super::super::oci(&builtin(name)).unwrap();
        for (syscall, decisions) in Decisions::of(&filters).0 {
            for call in calls::of(syscall, &filters) {
                let expected = bpf::answer(&programs, &call, ARCH_X86_64);
                let contains = |region: &Region| (0..6).all(|i| call.args[i] & region.0[i].mask == region.0[i].bits);
                let decided: Vec<u32> =
                    decisions.iter().filter(|d| contains(&d.region)).map(|d| d.answer.clone().into()).collect();
                assert_eq!(decided, [expected], "{name}: {} {call:x?}", syscall.name);
                assert_eq!(by_list(&list, syscall, &call), expected, "{name}: {} {call:x?}", syscall.name);
            }
        }
    }
}

#[test]
fn runc_reads_the_oci_list_as_it_is_meant() {
    for Builtin { name, .. } in Builtin::ALL {
        let list = super::super::oci(&builtin(name)).unwrap();
        for rule in list.syscalls().iter().flatten() {
            let indices: Vec<usize> = rule.args().iter().flatten().map(LinuxSeccompArg::index).collect();
            assert!(
                indices.is_sorted_by(|a, b| a < b),
                "{name}: two conditions of one argument are alternatives: {rule:?}"
            );
            assert!(!rule.names().is_empty());
        }
        assert_eq!(list.default_errno_ret(), Some(38), "{name}");
    }
}

#[test]
fn foreign_abis_are_killed_and_unknown_numbers_do_not_exist() {
    let (kill, enosys) = (u32::from(SeccompAction::KillProcess), u32::from(SeccompAction::Errno(38)));
    let known: BTreeSet<u32> = syscalls().map(|syscall| syscall.number).collect();
    for Builtin { name, .. } in Builtin::ALL {
        let programs = programs(name);
        let answer = |number, arch| bpf::answer(&programs, &Call { number, args: [0; 6] }, arch);
        for number in [0, 39, 102, 0x4000_0000, u32::MAX] {
            assert_eq!(answer(number, ARCH_I386), kill, "{name}: i386 {number}");
        }
        for number in [0x4000_0000, 0x4000_0027, 0x4000_0208, 0x7fff_ffff, u32::MAX - 1] {
            assert_eq!(answer(number, ARCH_X86_64), kill, "{name}: x32 {number:#x}");
        }
        for number in (0..4096).filter(|number| !known.contains(number)).chain([0x3fff_ffff, u32::MAX]) {
            assert_eq!(answer(number, ARCH_X86_64), enosys, "{name}: {number}");
        }
    }
}

/// The answer of an OCI list; panics if two rules match, which runtimes may order as they like.
fn by_list(list: &LinuxSeccomp, syscall: Syscall, call: &Call) -> u32 {
    let holds = |arg: &LinuxSeccompArg| match (arg.op(), arg.value_two()) {
        (LinuxSeccompOperator::ScmpCmpEq, None) => call.args[arg.index()] == arg.value(),
        (LinuxSeccompOperator::ScmpCmpMaskedEq, Some(bits)) => call.args[arg.index()] & arg.value() == bits,
        other => panic!("{other:?}"),
    };
    let rules = list.syscalls().iter().flatten().filter(|rule| rule.names().iter().any(|name| name == syscall.name));
    let matching: Vec<_> = rules.filter(|rule| rule.args().iter().flatten().all(holds)).collect();
    match matching.as_slice() {
        [] => SeccompAction::Errno(list.default_errno_ret().unwrap()).into(),
        [rule] => match rule.action() {
            LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow.into(),
            LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno(rule.errno_ret().unwrap()).into(),
            other => panic!("{other:?}"),
        },
        more => panic!("{} {call:x?} matches {more:?}", syscall.name),
    }
}

/// The filters of a policy as seccompiler itself reads and compiles them, without what testbox adds to its format.
fn by_seccompiler(name: &str) -> Vec<Vec<u8>> {
    let policy = Builtin::find(name).unwrap();
    let mut programs = policy.extends.map(by_seccompiler).unwrap_or_default();
    for (name, _) in policy.policy().unwrap().filters {
        let mut json: Value = serde_json::from_str(policy.json).unwrap();
        let mut filter = json[&name].take();
        filter.as_object_mut().unwrap().remove("comment");
        let known = |rule: &Value| syscalls().any(|s| rule["syscall"] == s.name && s.number <= SECCOMPILER_KNOWS);
        filter["filter"].as_array_mut().unwrap().retain(known);
        let alone = serde_json::json!({ "alone": filter }).to_string();
        let compiled = seccompiler::compile_from_json(alone.as_bytes(), TargetArch::x86_64).unwrap();
        let bytes =
            |i: &seccompiler::sock_filter| [&i.code.to_ne_bytes()[..], &[i.jt, i.jf], &i.k.to_ne_bytes()].concat();
        programs.push(compiled["alone"].iter().flat_map(bytes).collect());
    }
    programs
}
