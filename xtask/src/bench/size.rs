//! Size of the static binary that users get.

use crate::bench::line::Line;
use crate::dist;
use crate::error::Error;
use crate::workspace::Workspace;

const BOUND_MIB: f64 = 10.0;

/// Builds it, which takes a few minutes, and looks.
pub(crate) fn measure(workspace: &Workspace) -> Result<Line, Error> {
    let binary = dist::build(workspace)?;
    let bytes = fs_err::metadata(&binary)?.len();
    Ok(Line {
        name: "size of the static binary".to_owned(),
        value: bytes as f64 / f64::from(1 << 20),
        unit: "MiB",
        bound: Some(BOUND_MIB),
        enforced: true,
        detail: format!("{}: {bytes} bytes", workspace.short(&binary)),
    })
}
