//! `testbox gc`: removes the cgroups, and the scratch folders, of boxes whose testbox is dead.

use std::path::Path;

use testbox_cgroup::Host;

use crate::fault::{OrFault, Outcome};
use crate::print;

/// Removes what dead runs left, and says what.
pub(crate) fn gc() -> Outcome {
    let host = Host::detect(Path::new("/")).or_fault()?;
    let mut report = testbox_cgroup::gc(&host).or_fault()?;
    let scratch = testbox_sandbox::collect_scratch(host.root()).or_fault()?;
    report.removed.extend(scratch.removed);
    report.kept.extend(scratch.kept);
    let removed = report.removed.iter().map(|path| format!("removed {}\n", path.display()));
    let kept = report.kept.iter().map(|(path, why)| format!("kept {}: {why}\n", path.display()));
    print::text(&removed.chain(kept).collect::<String>())
}
