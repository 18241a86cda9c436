//! Calls to ask about: around every value that a rule compares with, with garbage in the upper half too.

use std::collections::BTreeSet;

use seccompiler::SeccompCmpOp;

use super::super::policy::{Condition, Filter};
use super::super::table::{Syscall, syscalls};

/// A system call with its arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

/// A call by name; arguments that are not given are 0.
pub(super) fn call(name: &str, args: &[u64]) -> Call {
    let syscall = syscalls().find(|syscall| syscall.name == name).unwrap_or_else(|| panic!("no `{name}`"));
    let mut call = Call { number: syscall.number, args: [0; 6] };
    call.args[..args.len()].copy_from_slice(args);
    call
}

/// Every call of interest to one system call under these filters.
pub(super) fn of(syscall: Syscall, filters: &[Filter]) -> Vec<Call> {
    let rules = filters.iter().flat_map(|filter| &filter.rules).filter(|rule| rule.syscall == syscall);
    let conditions: Vec<&Condition> = rules.flat_map(|rule| &rule.conditions).collect();
    (0..6).fold(vec![Call { number: syscall.number, args: [0; 6] }], |calls, index| {
        let values: BTreeSet<u64> =
            conditions.iter().filter(|c| usize::from(c.index) == index).flat_map(|c| around(c)).chain([0]).collect();
        let with = |call: &Call, value: u64| {
            let mut call = *call;
            call.args[index] = value;
            call
        };
        calls.iter().flat_map(|call| values.iter().map(|value| with(call, *value)).collect::<Vec<_>>()).collect()
    })
}

fn around(condition: &Condition) -> Vec<u64> {
    let Condition { value, op, .. } = condition;
    let mask = if let SeccompCmpOp::MaskedEq(mask) = op { *mask } else { 0 };
    let near = [*value, value.wrapping_add(1), value.wrapping_sub(1), value | mask, value ^ mask, !mask, u64::MAX];
    near.into_iter().chain([value | 1 << 32, value | 1 << 63, value | 1 << 31]).collect()
}
