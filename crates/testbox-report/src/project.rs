//! Files as seen from the project.

use std::path::Path;

/// `/project/tests/a.py:3 in f` as `tests/a.py:3 in f`; a call in a file elsewhere as it is.
pub(crate) fn in_project<'a>(call: &'a str, project: &Path) -> &'a str {
    let inside = project.to_str().and_then(|project| call.strip_prefix(project)?.strip_prefix('/'));
    inside.unwrap_or(call)
}
