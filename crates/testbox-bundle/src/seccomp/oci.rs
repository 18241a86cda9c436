//! A policy in the form of the OCI runtime specification.

use std::collections::BTreeMap;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::SeccompAction;

use super::decision::{Decision, Decisions};
use super::region::{Cube, Region};

const ENOSYS: u32 = 38;

/// The arguments of a rule: index, mask, and the bits under it.
type Arguments = Vec<(usize, u64, u64)>;

/// The list of rules. Whatever matches none of them, unknown numbers too, gets ENOSYS.
pub(crate) fn profile(decisions: &Decisions) -> Result<LinuxSeccomp, OciSpecError> {
    let mut groups: BTreeMap<(u32, Arguments), (SeccompAction, Vec<String>)> = BTreeMap::new();
    for (syscall, parts) in &decisions.0 {
        for Decision { region, answer } in parts.iter().filter(|part| part.answer != SeccompAction::Errno(ENOSYS)) {
            let key = (u32::from(answer.clone()), arguments(region));
            groups.entry(key).or_insert_with(|| (answer.clone(), Vec::new())).1.push(syscall.name.to_owned());
        }
    }
    let rules = groups.into_iter().map(|((_, arguments), (answer, names))| rule(names, &answer, &arguments));
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActErrno);
    profile.set_default_errno_ret(Some(ENOSYS));
    profile.set_architectures(Some(vec![Arch::ScmpArchX86_64]));
    profile.set_syscalls(Some(rules.collect::<Result<_, _>>()?));
    Ok(profile)
}

fn arguments(region: &Region) -> Arguments {
    let fixed = region.0.iter().enumerate().filter(|(_, cube)| cube.mask != 0);
    fixed.map(|(index, Cube { mask, bits })| (index, *mask, *bits)).collect()
}

fn rule(names: Vec<String>, answer: &SeccompAction, arguments: &Arguments) -> Result<LinuxSyscall, OciSpecError> {
    let (action, number) = action(answer);
    let arguments = arguments.iter().map(argument).collect::<Result<Vec<_>, _>>()?;
    let mut rule = LinuxSyscall::default();
    rule.set_names(names);
    rule.set_action(action);
    rule.set_errno_ret(number);
    rule.set_args(Some(arguments).filter(|arguments| !arguments.is_empty()));
    Ok(rule)
}

fn argument((index, mask, bits): &(usize, u64, u64)) -> Result<LinuxSeccompArg, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default().index(*index);
    match *mask {
        u64::MAX => argument.op(LinuxSeccompOperator::ScmpCmpEq).value(*bits).build(),
        mask => argument.op(LinuxSeccompOperator::ScmpCmpMaskedEq).value(mask).value_two(*bits).build(),
    }
}

fn action(answer: &SeccompAction) -> (LinuxSeccompAction, Option<u32>) {
    match answer {
        SeccompAction::Allow => (LinuxSeccompAction::ScmpActAllow, None),
        SeccompAction::Errno(errno) => (LinuxSeccompAction::ScmpActErrno, Some(*errno)),
        SeccompAction::KillThread => (LinuxSeccompAction::ScmpActKillThread, None),
        SeccompAction::KillProcess => (LinuxSeccompAction::ScmpActKillProcess, None),
        SeccompAction::Log => (LinuxSeccompAction::ScmpActLog, None),
        SeccompAction::Trace(data) => (LinuxSeccompAction::ScmpActTrace, Some(*data)),
        SeccompAction::Trap => (LinuxSeccompAction::ScmpActTrap, None),
    }
}
