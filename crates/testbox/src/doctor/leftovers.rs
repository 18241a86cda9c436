//! What dead runs had left on this host.

use testbox_cgroup::GcReport;

use super::finding::Finding;

const SUBJECT: &str = "leftovers";

/// What the garbage collection did, and what it could not.
pub(super) fn finding(garbage: &GcReport) -> Finding {
    let (running, stuck): (Vec<_>, Vec<_>) =
        garbage.kept.iter().partition(|(_, reason)| reason.ends_with("is running"));
    let mut parts = Vec::new();
    if !garbage.removed.is_empty() {
        parts.push(format!("removed {} of dead runs", groups(garbage.removed.len())));
    }
    if !running.is_empty() {
        parts.push(format!("{} of runs that go on", groups(running.len())));
    }
    if !stuck.is_empty() {
        parts.push(format!("{} cannot be removed", groups(stuck.len())));
    }
    let text = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    let finding = Finding::note(SUBJECT, text);
    if stuck.is_empty() {
        return finding;
    }
    let causes = stuck.iter().map(|(path, reason)| format!("{}: {reason}", path.display()));
    finding.because(causes).fix("run `testbox gc` as the user who started those runs, or as root")
}

fn groups(number: usize) -> String {
    if number == 1 { "1 cgroup".to_owned() } else { format!("{number} cgroups") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_has_its_reason_and_a_fix() {
        let report = GcReport {
            removed: vec!["/sys/fs/cgroup/pids/testbox-a".into()],
            kept: vec![
                ("/sys/fs/cgroup/pids/testbox-b".into(), "its owner, process 7, is running".to_owned()),
                ("/sys/fs/cgroup/pids/testbox-c".into(), "not permitted".to_owned()),
            ],
        };
        let finding = finding(&report);
        assert_eq!(
            finding.text,
            "removed 1 cgroup of dead runs, 1 cgroup of runs that go on, 1 cgroup cannot be removed"
        );
        assert_eq!(finding.because, ["/sys/fs/cgroup/pids/testbox-c: not permitted"]);
        assert!(finding.fix.is_some());
    }

    #[test]
    fn a_clean_host_needs_no_fix() {
        assert_eq!(finding(&GcReport::default()), Finding::note(SUBJECT, "none"));
    }
}
