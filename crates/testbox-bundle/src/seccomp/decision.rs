//! What a stack of filters answers to each known system call, worked out from the rules.

use seccompiler::SeccompAction;

use super::policy::Filter;
use super::program::decides;
use super::region::Region;
use super::table::{Syscall, syscalls};

/// The answers to every system call of the table.
#[derive(Debug)]
pub(crate) struct Decisions(pub(crate) Vec<(Syscall, Vec<Decision>)>);

/// The answer to the calls of one region. The regions of a system call are disjoint and
/// together hold every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Which calls.
    pub(crate) region: Region,
    /// The answer.
    pub(crate) answer: SeccompAction,
}

impl Decisions {
    /// The answers of filters that are loaded in this order.
    pub(crate) fn of(filters: &[Filter]) -> Self {
        Self(syscalls().map(|syscall| (syscall, decide(syscall, filters))).collect())
    }

    /// No call of this name gets through.
    pub(crate) fn always_refuse(&self, name: &str) -> bool {
        let passes = |decision: &Decision| matches!(decision.answer, SeccompAction::Allow | SeccompAction::Log);
        let of_name = self.0.iter().filter(|(syscall, _)| syscall.name == name);
        !of_name.flat_map(|(_, decisions)| decisions).any(passes)
    }
}

/// The answers to one system call.
pub(crate) fn decide(syscall: Syscall, filters: &[Filter]) -> Vec<Decision> {
    let all = Decision { region: Region::ALL, answer: SeccompAction::Allow };
    let decisions = filters.iter().fold(vec![all], |older, filter| stack(&older, syscall, filter));
    match decisions.first() {
        Some(first) if decisions.iter().all(|decision| decision.answer == first.answer) => {
            vec![Decision { region: Region::ALL, answer: first.answer.clone() }]
        }
        _ => decisions,
    }
}

/// The answers after one more filter.
fn stack(older: &[Decision], syscall: Syscall, filter: &Filter) -> Vec<Decision> {
    let mut open = older.to_vec();
    let mut decided = Vec::new();
    for region in filter.rules.iter().filter(|rule| rule.syscall == syscall).flat_map(Region::of) {
        decided.extend(open.iter().filter_map(|decision| {
            decision.region.and(&region).map(|both| decision.within(both, &filter.match_action))
        }));
        let outside = |decision: &Decision| {
            let answer = decision.answer.clone();
            decision.region.without(&region).into_iter().map(move |region| Decision { region, answer: answer.clone() })
        };
        open = open.iter().flat_map(outside).collect();
    }
    decided.extend(open.iter().map(|decision| decision.within(decision.region, &filter.mismatch_action)));
    decided
}

impl Decision {
    fn within(&self, region: Region, newer: &SeccompAction) -> Self {
        Self { region, answer: decides(&self.answer, newer).clone() }
    }
}
