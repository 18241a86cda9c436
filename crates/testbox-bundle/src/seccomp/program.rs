//! A stack of filters as programs for the kernel, as few as possible: most policies become one.
//!
//! seccompiler compiles the rules that look at arguments, for one system call at a time. Its way from call to call is a
//! chain of comparisons, which every `openat` would walk and every start of a box would pay for; here a search tree
//! over the numbers leads to the answers.

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

use super::policy::{Condition, Filter, Rule};
use super::table::syscalls;

/// x32 calls carry this bit; no other number reaches it.
const X32_BIT: u32 = 0x4000_0000;
/// The number that a tracer sets to skip a call.
const SKIPPED: u32 = u32::MAX;
const ENOSYS: u32 = 38;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Instructions that the kernel takes in one program.
const MAX_LENGTH: usize = 4096;

/// Offsets in the kernel's `struct seccomp_data`, and instructions of classic BPF (linux/filter.h).
const NUMBER_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The programs that answer like these filters loaded in this order, in the order of loading, each in the kernel's
/// `struct sock_filter` layout. Below them lies the guard: foreign ABIs are killed, unknown numbers do not exist.
pub(crate) fn compile(filters: &[Filter]) -> Result<Vec<Vec<u8>>, BackendError> {
    let mut stack = vec![Answers::guard()];
    for answers in filters.iter().map(Answers::of) {
        match stack.last_mut().and_then(|older| Some((older.below(&answers)?, older))) {
            Some((both, older)) => *older = both,
            None => stack.push(answers),
        }
    }
    stack.iter().map(|answers| Ok(bytes(&answers.assemble()?))).collect()
}

/// What the kernel does when an older and a newer filter say different things: the more severe answer counts, and of
/// two that are equally severe (two errno) the newer one.
pub(crate) fn decides<'a>(older: &'a SeccompAction, newer: &'a SeccompAction) -> &'a SeccompAction {
    let severity = |action: &SeccompAction| (u32::from(action.clone()) & 0xffff_0000).cast_signed();
    if severity(newer) <= severity(older) { newer } else { older }
}

/// Answers by number: each starts at its key and holds up to the next one.
#[derive(Debug)]
struct Answers(BTreeMap<u32, Answer>);

/// What happens to one system call.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    /// Always this.
    Always(SeccompAction),
    /// It depends on the arguments: one rule that matches is enough.
    Rules { rules: Vec<Rule>, matched: SeccompAction, otherwise: SeccompAction },
}

impl Answers {
    /// The answers below every policy.
    fn guard() -> Self {
        let unknown = Answer::Always(SeccompAction::Errno(ENOSYS));
        let mut answers = Self(BTreeMap::from([(0, unknown.clone()), (X32_BIT, Answer::KILL), (SKIPPED, unknown)]));
        syscalls().for_each(|syscall| answers.set(syscall.number, Answer::ALLOW));
        answers
    }

    fn of(filter: &Filter) -> Self {
        let mut answers = Self(BTreeMap::from([(0, Answer::Always(filter.mismatch_action.clone()))]));
        for rule in &filter.rules {
            let number = rule.syscall.number;
            answers.set(number, answers.at(number).or(rule, filter));
        }
        answers
    }

    fn at(&self, number: u32) -> &Answer {
        self.0.range(..=number).next_back().map_or(&Answer::KILL, |(_, answer)| answer)
    }

    fn set(&mut self, number: u32, answer: Answer) {
        let rest = self.at(number + 1).clone();
        self.0.insert(number + 1, rest);
        self.0.insert(number, answer);
    }

    /// The answers of both, `self` loaded before `newer`, if one program can give them.
    fn below(&self, newer: &Self) -> Option<Self> {
        let starts: BTreeSet<u32> = self.0.keys().chain(newer.0.keys()).copied().collect();
        let both = |start| Some((start, self.at(start).below(newer.at(start))?));
        Some(Self(starts.into_iter().map(both).collect::<Option<_>>()?))
    }

    fn assemble(&self) -> Result<BpfProgram, BackendError> {
        let mut ranges: Vec<(u32, &Answer)> = self.0.iter().map(|(start, answer)| (*start, answer)).collect();
        ranges.dedup_by_key(|(_, answer)| *answer);
        let code = |(start, answer): (u32, &Answer)| Ok((start, answer.assemble(start)?));
        let leaves = ranges.into_iter().map(code).collect::<Result<Vec<_>, _>>()?;
        let mut program = vec![
            statement(LOAD, ARCH_OFFSET),
            sock_filter { code: JUMP_IF_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH_X86_64 },
            statement(RETURN, SeccompAction::KillProcess.into()),
            statement(LOAD, NUMBER_OFFSET),
        ];
        program.append(&mut search_tree(&leaves));
        if program.len() > MAX_LENGTH { Err(BackendError::FilterTooLarge(program.len())) } else { Ok(program) }
    }
}

impl Answer {
    const ALLOW: Self = Self::Always(SeccompAction::Allow);
    const KILL: Self = Self::Always(SeccompAction::KillProcess);

    /// The answer of a filter after one more of its rules.
    fn or(&self, rule: &Rule, filter: &Filter) -> Self {
        let matched = filter.match_action.clone();
        if rule.conditions.is_empty() {
            return Self::Always(matched);
        }
        let mut rules = if let Self::Rules { rules, .. } = self { rules.clone() } else { Vec::new() };
        rules.push(rule.clone());
        Self::Rules { rules, matched, otherwise: filter.mismatch_action.clone() }
    }

    /// The answer of both, `self` loaded before `newer`. None if it needs two programs.
    fn below(&self, newer: &Self) -> Option<Self> {
        match (self, newer) {
            (Self::Always(older), Self::Always(newer)) => Some(Self::Always(decides(older, newer).clone())),
            (&Self::ALLOW, answer) | (answer, &Self::ALLOW) => Some(answer.clone()),
            (
                Self::Rules { rules, matched, otherwise: SeccompAction::Allow },
                Self::Rules { rules: more, matched: as_well, otherwise: SeccompAction::Allow },
            ) if matched == as_well => {
                let rules = rules.iter().chain(more).cloned().collect();
                Some(Self::Rules { rules, matched: matched.clone(), otherwise: SeccompAction::Allow })
            }
            _ => None,
        }
    }

    /// Instructions that end in the answer. They jump forward only, and only among themselves.
    fn assemble(&self, number: u32) -> Result<BpfProgram, BackendError> {
        match self {
            Self::Always(action) => Ok(vec![statement(RETURN, action.clone().into())]),
            Self::Rules { rules, matched, otherwise } => {
                let rules = rules.iter().map(compiled).collect::<Result<_, _>>()?;
                let only = BTreeMap::from([(i64::from(number), rules)]);
                SeccompFilter::new(only, otherwise.clone(), matched.clone(), TargetArch::x86_64)?.try_into()
            }
        }
    }
}

fn compiled(rule: &Rule) -> Result<SeccompRule, BackendError> {
    let compiled = |Condition { index, width, op, value }: &Condition| {
        SeccompCondition::new(*index, width.clone(), op.clone(), *value)
    };
    SeccompRule::new(rule.conditions.iter().map(compiled).collect::<Result<_, _>>()?)
}

/// Finds the code for the loaded number by halving; each code starts with its lowest number.
fn search_tree(leaves: &[(u32, BpfProgram)]) -> BpfProgram {
    let middle = leaves.len() / 2;
    if middle == 0 {
        return leaves.iter().flat_map(|(_, code)| code.clone()).collect();
    }
    let (mut low, mut high) = (search_tree(&leaves[..middle]), search_tree(&leaves[middle..]));
    let k = leaves[middle].0;
    let mut tree = match u8::try_from(low.len()) {
        Ok(jt) => vec![sock_filter { code: JUMP_IF_AT_LEAST, jt, jf: 0, k }],
        // A conditional jump reaches 255 instructions; an unconditional one everything.
        Err(_) => vec![
            sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k },
            statement(JUMP, u32::try_from(low.len()).unwrap_or(u32::MAX)),
        ],
    };
    tree.append(&mut low);
    tree.append(&mut high);
    tree
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let instruction = |i: &sock_filter| [i.code.to_ne_bytes().as_slice(), &[i.jt, i.jf], &i.k.to_ne_bytes()].concat();
    program.iter().flat_map(instruction).collect()
}
