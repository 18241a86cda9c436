//! User Mode Linux: the guest's kernel as an ordinary process. Native speed, one CPU; no Landlock, PSI, cpuset, swap.

use std::path::Path;

use crate::cache::is_root;
use crate::program::Program;

/// Memory of the guest.
const MEMORY: &str = "2048M";

/// Makes the kernel's cell (its own C library; images; a tmpfs for what the guest writes) and runs the kernel in it, as
/// the child of this script: when the script dies, as the first process of its pid namespace, everything dies.
const CELL: &str = r#"set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$2" "$1/image"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
cell=$1
shift 2
TMPDIR=/tmp HOME=/tmp chroot "$cell" "$@"
exit"#;

/// What boots from this image, with stdin, stdout and stderr as `Machine` has them.
pub(crate) fn program(image: &Path) -> Program {
    let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    Program::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(user)
        .args(["sh", "-c", CELL, "sh"])
        .arg(image.join("cell"))
        .arg(image)
        .args(["/linux", &format!("mem={MEMORY}"), "seccomp=on"])
        .args(["ubd0=/tmp/root.cow,/image/root.ext4", "ubd1rc=/proc/self/fd/0", "root=/dev/ubda", "rw"])
        .args(["con=null", "con0=null,fd:2", "con1=null,fd:1", "console=tty0"])
        .args(["testbox.line=/dev/tty1", "testbox.disk=/dev/ubdb"])
        .args(["quiet", "loglevel=3", "panic=-1", "systemd.show_status=0", "systemd.log_level=notice"])
}
