//! The built-in policies are complete, say what the reviewed table says, and hold no rule without effect.

use std::collections::BTreeMap;

use seccompiler::{SeccompAction, TargetArch};

use super::super::builtin::Builtin;
use super::super::decision::{Decision, decide};
use super::super::policy::Filter;
use super::super::program;
use super::super::table::{rows, syscalls};
use super::bpf::{self, ARCH_X86_64};
use super::calls::{self, call};
use super::{filters, policy_dir, programs};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;
const ALLOW: u32 = 0;

/// Refused by Docker's default profile to a container without capabilities.
const DOCKER_REFUSES: &str = "acct add_key bpf chroot clock_settime create_module delete_module fanotify_init \
    finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter \
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie \
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount mount_setattr move_mount move_pages \
    nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise query_module quotactl \
    quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday \
    swapoff swapon sysfs syslog _sysctl umount2 unshare uselib userfaultfd ustat vhangup vserver";

#[test]
fn the_embedded_programs_are_the_policies_of_the_tree() {
    for builtin in Builtin::ALL {
        let file = policy_dir().join(builtin.name).with_extension("json");
        assert_eq!(fs_err::read_to_string(file).unwrap(), builtin.json, "{}", builtin.name);
        assert_eq!(program::compile(&filters(builtin.name)).unwrap(), programs(builtin.name), "{}", builtin.name);
    }
}

#[test]
fn every_system_call_is_answered_as_the_reviewed_table_says() {
    let policies: Vec<Vec<Filter>> = Builtin::ALL.iter().map(|builtin| filters(builtin.name)).collect();
    for (syscall, reviewed) in rows() {
        let answers: Vec<&str> = policies.iter().map(|filters| in_words(&decide(syscall, filters))).collect();
        assert_eq!(answers, reviewed.collect::<Vec<&str>>(), "{} {}", syscall.number, syscall.name);
    }
}

#[test]
fn the_table_is_the_kernels_without_a_gap() {
    let numbers: Vec<u32> = syscalls().map(|syscall| syscall.number).collect();
    assert_eq!(numbers, (0..=336).chain(424..=469).collect::<Vec<u32>>());
    // An independent list, up to where it ends; seccompiler compares with the number in its fifth instruction.
    for syscall in syscalls().filter(|s| s.number <= 462 && s.name != "uprobe") {
        let json = format!(
            r#"{{"f": {{"mismatch_action": "allow", "match_action": "trap", "filter": [{{"syscall": "{}"}}]}}}}"#,
            syscall.name
        );
        let compiled = seccompiler::compile_from_json(json.as_bytes(), TargetArch::x86_64).unwrap();
        assert_eq!(compiled["f"][4].k, syscall.number, "{}", syscall.name);
    }
}

#[test]
fn no_rule_is_without_effect() {
    for builtin in Builtin::ALL {
        let mut below = builtin.extends.map(filters).unwrap_or_default();
        for (name, filter) in builtin.policy().unwrap().filters {
            assert_eq!(without_effect(&below, &filter), Vec::<String>::new(), "{} {name}", builtin.name);
            below.push(filter);
        }
    }
}

#[test]
fn a_dead_rule_is_found() {
    let mut filter = filters("open").remove(0);
    filter.rules.push(filter.rules[0].clone());
    assert_eq!(without_effect(&[], &filter), ["clone3", "clone3"]);
}

#[test]
fn each_policy_refuses_all_that_the_one_below_it_refuses() {
    for builtin in Builtin::ALL {
        let Some(below) = builtin.extends else { continue };
        let (wider, narrower, filters) = (programs(below), programs(builtin.name), filters(builtin.name));
        for call in syscalls().flat_map(|syscall| calls::of(syscall, &filters)) {
            let allowed = |programs| bpf::answer(programs, &call, ARCH_X86_64) == u32::from(SeccompAction::Allow);
            assert!(allowed(&wider) || !allowed(&narrower), "{} allows {call:x?}", builtin.name);
        }
    }
}

#[test]
fn docker_refuses_nothing_that_default_allows() {
    for name in DOCKER_REFUSES.split_whitespace() {
        assert_ne!(errno("default", name, &[]), ALLOW, "{name}");
    }
}

#[test]
fn arguments_decide_as_documented() {
    const S_ISUID: u64 = 0o4000;
    const S_ISGID: u64 = 0o2000;
    let cases: &[(&str, &[u64], [u32; 3])] = &[
        ("clone", &[0x0120_0011], [ALLOW; 3]),
        ("clone", &[0x003d_0f00], [ALLOW; 3]),
        ("clone", &[0x1000_0011], [EPERM; 3]),
        ("clone", &[0x0002_0000], [EPERM; 3]),
        ("clone", &[0x2000_0000 | 1 << 40], [EPERM; 3]),
        ("ioctl", &[0, 0x5401], [ALLOW; 3]),
        ("ioctl", &[0, 0x5412], [EPERM; 3]),
        ("ioctl", &[0, 0x5412 | 1 << 32], [EPERM; 3]),
        ("ioctl", &[0, 0xdead_0000_0000_541c], [EPERM; 3]),
        ("ioctl", &[0, 0x5423], [ALLOW, ALLOW, EPERM]),
        ("chmod", &[0, 0o1777], [ALLOW; 3]),
        ("chmod", &[0, S_ISUID | 0o755], [EPERM; 3]),
        ("fchmod", &[0, S_ISGID | 0o755], [ALLOW, EPERM, EPERM]),
        ("fchmodat", &[0, 0, S_ISUID], [EPERM; 3]),
        ("fchmodat2", &[0, 0, S_ISUID | S_ISGID], [EPERM; 3]),
        ("creat", &[0, S_ISUID], [EPERM; 3]),
        ("mknod", &[0, 0o100_000 | S_ISUID], [EPERM; 3]),
        ("mknodat", &[0, 0, 0o010_644], [ALLOW; 3]),
        ("open", &[0, 0, S_ISUID], [ALLOW; 3]),
        ("open", &[0, 0o100, S_ISUID], [EPERM; 3]),
        ("openat", &[0, 0, 0o102, 0o644], [ALLOW; 3]),
        ("openat", &[0, 0, 0o102, S_ISUID | 0o644], [EPERM; 3]),
        ("openat", &[0, 0, 0o20_200_002, S_ISUID], [EPERM; 3]),
        ("openat", &[0, 0, 0o20_200_002, S_ISGID], [ALLOW, EPERM, EPERM]),
        ("socket", &[1, 1], [ALLOW; 3]),
        ("socket", &[2, 0o2_004_001], [ALLOW; 3]),
        ("socket", &[10, 2], [ALLOW; 3]),
        ("socket", &[2, 10], [ALLOW, EAFNOSUPPORT, EAFNOSUPPORT]),
        ("socket", &[16, 3, 0], [ALLOW, ALLOW, EAFNOSUPPORT]),
        ("socket", &[16, 3, 12], [ALLOW, EAFNOSUPPORT, EAFNOSUPPORT]),
        ("socket", &[17, 3], [ALLOW, EAFNOSUPPORT, EAFNOSUPPORT]),
        ("socket", &[38, 5], [EAFNOSUPPORT; 3]),
        ("socket", &[40 | 1 << 33, 1], [EAFNOSUPPORT; 3]),
        ("socketpair", &[1, 1], [ALLOW; 3]),
        ("socketpair", &[40, 1], [EAFNOSUPPORT; 3]),
        ("personality", &[0xffff_ffff], [ALLOW; 3]),
        ("personality", &[u64::MAX], [ALLOW; 3]),
        ("personality", &[0], [ALLOW; 3]),
        ("personality", &[8], [ALLOW, ALLOW, EPERM]),
        ("personality", &[0x0040_0000], [ALLOW, EPERM, EPERM]),
    ];
    for (name, args, expected) in cases {
        let answers = ["open", "default", "strict"].map(|policy| errno(policy, name, args));
        assert_eq!(answers, *expected, "{name} {args:x?}");
    }
    assert_eq!(errno("open", "clone3", &[]), ENOSYS);
}

/// Printed for the reader of the log: what a policy costs at load.
#[test]
fn programs_stay_small() {
    for builtin in Builtin::ALL {
        let lengths: Vec<usize> = programs(builtin.name).iter().map(|program| program.len() / 8).collect();
        println!("{}: {lengths:?} instructions", builtin.name);
        assert!(lengths.len() == 1 && lengths[0] <= 700, "{}: {lengths:?}", builtin.name);
    }
}

fn errno(policy: &str, name: &str, args: &[u64]) -> u32 {
    let answer = bpf::answer(&programs(policy), &call(name, args), ARCH_X86_64);
    match answer & 0xffff_0000 {
        0x7fff_0000 => ALLOW,
        0x0005_0000 => answer & 0xffff,
        _ => panic!("{policy}: {name} {args:x?} gets {answer:#x}"),
    }
}

fn in_words(decisions: &[Decision]) -> &'static str {
    match decisions {
        [Decision { answer: SeccompAction::Allow, .. }] => "allow",
        [Decision { answer: SeccompAction::Errno(EPERM), .. }] => "EPERM",
        [Decision { answer: SeccompAction::Errno(ENOSYS), .. }] => "ENOSYS",
        [_, _, ..] => "args",
        other => panic!("{other:?}"),
    }
}

/// The system calls of the rules that change nothing: filters below, or other rules of the filter, answer the same.
fn without_effect(below: &[Filter], filter: &Filter) -> Vec<String> {
    let answers = |filter: &Filter, syscall| decide(syscall, &[below, std::slice::from_ref(filter)].concat());
    let same = |with: &[Decision], without: &[Decision]| {
        with.iter().all(|a| without.iter().all(|b| a.answer == b.answer || a.region.and(&b.region).is_none()))
    };
    let mut dead = BTreeMap::new();
    for (position, rule) in filter.rules.iter().enumerate() {
        let mut less = filter.clone();
        less.rules.remove(position);
        if same(&answers(filter, rule.syscall), &answers(&less, rule.syscall)) {
            dead.insert(position, rule.syscall.name.to_owned());
        }
    }
    dead.into_values().collect()
}
