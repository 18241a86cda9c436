//! Fresh copies of a project's sources.

use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

/// Copies the folder `from` with all that is in it to the new folder `to`; everything belongs to `owner`, else to the
/// caller.
pub(crate) fn tree(from: &Path, to: &Path, owner: Option<u32>) {
    fs_err::create_dir(to).expect("a folder");
    for entry in fs_err::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            tree(&entry.path(), &target, owner);
            continue;
        }
        if kind.is_symlink() {
            symlink(fs_err::read_link(entry.path()).expect("a link"), &target).expect("a link");
        } else {
            fs_err::copy(entry.path(), &target).expect("a copy");
        }
        lchown(&target, owner, owner).expect("chown");
    }
    lchown(to, owner, owner).expect("chown");
}
