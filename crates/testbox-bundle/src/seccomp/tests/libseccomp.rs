//! What a real OCI runtime makes of the exported list: libseccomp compiles it, and its program answers the same.

use std::process::Command;

use super::super::builtin::Builtin;
use super::super::table::syscalls;
use super::bpf::{self, ARCH_I386, ARCH_X86_64};
use super::calls::{self, Call};
use super::python::{has, run, script};
use super::{builtin, filters, programs};

const ENOSYS: u32 = 0x0005_0000 | 38;

fn has_libseccomp() -> bool {
    let load = "import ctypes; ctypes.CDLL('libseccomp.so.2')";
    has("python3", &["--version"]) && has("libseccomp", &["-c", load])
}

/// The program, and the names that this libseccomp is too old for.
fn compile(name: &str) -> (Vec<u8>, Vec<String>) {
    let list = serde_json::to_string(&super::super::oci(&builtin(name)).unwrap()).unwrap();
    let output = run(|python: &mut Command| python.arg(script("libseccomp.py")), &list);
    let skipped = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{skipped}");
    (output.stdout, skipped.lines().map(str::to_owned).collect())
}

#[test]
fn libseccomp_compiles_the_oci_list_to_the_same_answers() {
    if !has_libseccomp() {
        return;
    }
    for Builtin { name, .. } in Builtin::ALL {
        let (programs, filters, (theirs, skipped)) = (programs(name), filters(name), compile(name));
        let theirs = [theirs];
        for syscall in syscalls() {
            let is_known = !skipped.iter().any(|name| name == syscall.name);
            for call in calls::of(syscall, &filters) {
                let expected = if is_known { bpf::answer(&programs, &call, ARCH_X86_64) } else { ENOSYS };
                assert_eq!(bpf::answer(&theirs, &call, ARCH_X86_64), expected, "{name}: {} {call:x?}", syscall.name);
            }
        }
        let foreign = [(0x4000_0000, ARCH_X86_64), (1, ARCH_I386)];
        for (number, arch) in foreign {
            let kill_thread = 0;
            assert_eq!(bpf::answer(&theirs, &Call { number, args: [0; 6] }, arch), kill_thread, "{name}: {number:#x}");
        }
    }
}
