//! Reads the payload's set-up back from its own status file and compares it with what was meant (P11).

use testbox_model::{Readback, SetupStep};

use crate::error::{AtStep, StepFailure};

/// What must be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) filters: u32,
    /// The bounding set of capabilities is empty as well; no_new_privs makes one that is not void.
    pub(crate) bounding: bool,
}

/// Reads `/proc/self/status` and refuses any difference (proc_pid_status(5)).
pub(crate) fn verify(expected: Expected) -> Result<Readback, StepFailure> {
    let status =
        fs_err::read_to_string("/proc/self/status").at(SetupStep::Readback, || "read /proc/self/status".to_owned())?;
    let found = parse(&status, expected.bounding);
    let wanted = Readback {
        uid: expected.uid,
        gid: expected.gid,
        capabilities: 0,
        no_new_privs: true,
        seccomp_mode: 2,
        seccomp_filters: expected.filters,
    };
    // Filters of an enclosing container (docker, another box) are on top of ours.
    let enough_filters = found.seccomp_filters >= wanted.seccomp_filters;
    let same = Readback { seccomp_filters: wanted.seccomp_filters, ..found.clone() } == wanted;
    if same && enough_filters {
        return Ok(found);
    }
    let detail = format!("found {found:?} where {wanted:?} was set");
    Err(StepFailure { step: SetupStep::Readback, errno: 0, detail })
}

fn parse(status: &str, bounding: bool) -> Readback {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default()
    };
    let number = |name: &str| field(name).parse().unwrap_or(u32::MAX);
    let set = |name: &str| u64::from_str_radix(field(name), 16).unwrap_or(u64::MAX);
    let sets = ["CapBnd", "CapInh", "CapPrm", "CapEff", "CapAmb"];
    Readback {
        uid: number("Uid"),
        gid: number("Gid"),
        capabilities: sets[usize::from(!bounding)..].iter().map(|name| set(name)).fold(0, |all, s| all | s),
        no_new_privs: number("NoNewPrivs") == 1,
        seccomp_mode: number("Seccomp"),
        seccomp_filters: number("Seccomp_filters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t4\n";

    #[test]
    fn a_confined_process_reads_as_such() {
        let found = parse(STATUS, true);
        assert_eq!((found.uid, found.gid, found.capabilities), (1000, 1000, 0));
        assert!(found.no_new_privs);
        assert_eq!((found.seccomp_mode, found.seccomp_filters), (2, 4));
    }

    #[test]
    fn a_single_capability_or_a_missing_line_is_a_difference() {
        assert_ne!(
            parse(&STATUS.replace("CapBnd:\t0000000000000000", "CapBnd:\t0000000000000001"), true).capabilities,
            0
        );
        assert_eq!(
            parse(&STATUS.replace("CapBnd:\t0000000000000000", "CapBnd:\t0000000000000001"), false).capabilities,
            0
        );
        assert_ne!(parse(&STATUS.replace("CapAmb", "CapXyz"), true).capabilities, 0);
        assert!(!parse(&STATUS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"), true).no_new_privs);
    }
}
