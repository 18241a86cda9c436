//! A seccomp policy as written: filters in the JSON format of seccompiler, in the order of loading.
//!
//! A file made for seccompiler can be used unchanged. Two things are added: `comment` is allowed at every level, and
//! `extends` names a built-in policy whose filters are loaded first. What seccompiler would silently ignore (a value
//! wider than its argument, a rule shadowed by another one of its filter) is an error here.

use std::fmt;

use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::table::{Syscall, syscalls};

/// A policy file.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The built-in policy that lies below it.
    pub(crate) extends: Option<String>,
    /// Its own filters, in the order of the file.
    pub(crate) filters: Vec<(String, Filter)>,
}

/// One filter: what happens to the calls that a rule names, and to all others.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(try_from = "RawFilter")]
pub(crate) struct Filter {
    /// The answer when no rule matches.
    pub(crate) mismatch_action: SeccompAction,
    /// The answer when a rule matches.
    pub(crate) match_action: SeccompAction,
    /// The rules; one is enough.
    pub(crate) rules: Vec<Rule>,
}

/// A system call, and what its arguments must be.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "RawRule")]
pub(crate) struct Rule {
    /// The system call.
    pub(crate) syscall: Syscall,
    /// All of these must hold; none means: always.
    pub(crate) conditions: Vec<Condition>,
}

/// A comparison of one argument with a value.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "RawCondition")]
pub(crate) struct Condition {
    /// Which argument, 0 to 5.
    pub(crate) index: u8,
    /// How much of it: its low 32 bits or all 64.
    pub(crate) width: SeccompCmpArgLen,
    /// The comparison.
    pub(crate) op: SeccompCmpOp,
    /// The value.
    pub(crate) value: u64,
}

impl Policy {
    /// Reads a policy; an error names line and column.
    pub(crate) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFilter {
    #[serde(rename = "comment")]
    _comment: Option<Comment>,
    #[serde(alias = "default_action")]
    mismatch_action: SeccompAction,
    #[serde(alias = "filter_action")]
    match_action: SeccompAction,
    filter: Vec<Rule>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    syscall: Syscall,
    args: Option<Vec<Condition>>,
    #[serde(rename = "comment")]
    _comment: Option<Comment>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCondition {
    index: u8,
    #[serde(rename = "type")]
    width: SeccompCmpArgLen,
    op: SeccompCmpOp,
    val: u64,
    #[serde(rename = "comment")]
    _comment: Option<Comment>,
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "a `comment` is a string or a list of strings")]
enum Comment {
    Line(#[expect(dead_code, reason = "read by people only")] String),
    Lines(#[expect(dead_code, reason = "read by people only")] Vec<String>),
}

impl TryFrom<RawFilter> for Filter {
    type Error = String;

    fn try_from(raw: RawFilter) -> Result<Self, String> {
        let RawFilter { mismatch_action, match_action, filter: rules, .. } = raw;
        if mismatch_action == match_action {
            return Err("`match_action` and `mismatch_action` are the same: the filter decides nothing".to_owned());
        }
        [&mismatch_action, &match_action].into_iter().try_for_each(check_action)?;
        match shadowed(&rules) {
            Some(name) => Err(format!("a rule of `{name}` is without effect: another one names it without `args`")),
            None => Ok(Self { mismatch_action, match_action, rules }),
        }
    }
}

impl TryFrom<RawRule> for Rule {
    type Error = String;

    fn try_from(raw: RawRule) -> Result<Self, String> {
        match raw.args {
            Some(args) if args.is_empty() => {
                Err(format!("`args` of `{}` is empty: leave it out to match every call", raw.syscall.name))
            }
            args => Ok(Self { syscall: raw.syscall, conditions: args.unwrap_or_default() }),
        }
    }
}

impl TryFrom<RawCondition> for Condition {
    type Error = String;

    fn try_from(raw: RawCondition) -> Result<Self, String> {
        let RawCondition { index, width, op, val: value, .. } = raw;
        let mask = if let SeccompCmpOp::MaskedEq(mask) = op { mask } else { u64::MAX };
        let given = if mask == u64::MAX { value } else { value | mask };
        if index > 5 {
            return Err(format!("`index` {index} is not an argument: a system call has six, 0 to 5"));
        }
        if width == SeccompCmpArgLen::Dword && given > u64::from(u32::MAX) {
            return Err(format!("{given} does not fit a `dword` of 32 bits"));
        }
        if value & !mask != 0 {
            return Err(format!("`val` {value} has bits outside of its mask {mask}"));
        }
        Ok(Self { index, width, op, value })
    }
}

impl<'de> Deserialize<'de> for Syscall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        syscalls().find(|syscall| syscall.name == name).ok_or_else(|| {
            let nearest = testbox_model::nearest(&name, syscalls().map(|syscall| syscall.name));
            let guess = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
            D::Error::custom(format!("`{name}` is not a system call of x86_64{guess}"))
        })
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PolicyVisitor)
    }
}

/// Keeps the order of the filters, which a map would lose.
struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = Policy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named filters")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Policy, M::Error> {
        let mut policy = Policy { extends: None, filters: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "comment" => drop(map.next_value::<Comment>()?),
                "extends" => policy.extends = Some(map.next_value()?),
                name if policy.filters.iter().any(|(known, _)| known == name) => {
                    return Err(M::Error::custom(format!("there are two filters `{name}`")));
                }
                _ => policy.filters.push((key, map.next_value()?)),
            }
        }
        Ok(policy)
    }
}

/// The kernel takes an errno of at most 4095 and would silently use 4095 for a larger one.
fn check_action(action: &SeccompAction) -> Result<(), String> {
    match action {
        SeccompAction::Errno(errno) if *errno > 4095 => Err(format!("`errno` {errno} is not an error number")),
        SeccompAction::Trace(data) if *data > 0xffff => Err(format!("`trace` {data} does not fit 16 bits")),
        _ => Ok(()),
    }
}

/// A system call that has an unconditional rule and another rule beside it.
fn shadowed(rules: &[Rule]) -> Option<&'static str> {
    let of = |name: &str| rules.iter().filter(move |rule| rule.syscall.name == name).count();
    let unconditional = rules.iter().filter(|rule| rule.conditions.is_empty());
    unconditional.map(|rule| rule.syscall.name).find(|name| of(name) > 1)
}
