//! The kernel obeys: the filters installed for real, calls made, and ordinary programs run under them.

use std::io::Write;
use std::process::Output;

use super::super::builtin::Builtin;
use super::super::table::rows;
use super::bpf::{self, ARCH_X86_64};
use super::calls::{Call, call};
use super::python::{has, run, script};
use super::{builtin, programs};

const ENOSYS: i32 = 38;
const SIGSYS: i32 = 31;

fn has_python() -> bool {
    has("python3", &["--version"])
}

/// Runs the probe under these programs.
fn probe(programs: &[Vec<u8>], arguments: &[&str], input: &str) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for program in programs {
        file.write_all(&u32::try_from(program.len()).unwrap().to_ne_bytes()).unwrap();
        file.write_all(program).unwrap();
    }
    run(|python| python.arg(script("probe.py")).arg(file.path()).args(arguments), input)
}

/// What the kernel answers to each call: 0, an errno, or minus a signal.
fn ask(programs: &[Vec<u8>], calls: &serde_json::Value) -> Vec<i32> {
    let output = probe(programs, &["calls"], &calls.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn words(call: &Call) -> Vec<u64> {
    std::iter::once(u64::from(call.number)).chain(call.args).collect()
}

/// Arguments that are wrong everywhere, so that a hole in a filter would do no harm here.
#[test]
fn the_kernel_refuses_what_the_table_says() {
    if !has_python() {
        return;
    }
    for builtin in Builtin::ALL {
        let refused = |syscall: &str, column: &str| {
            let errno = match column {
                "EPERM" => 1,
                "ENOSYS" => ENOSYS,
                _ => return None,
            };
            Some((Call { args: [u64::MAX; 6], ..call(syscall, &[]) }, errno))
        };
        let column = Builtin::ALL.iter().position(|other| other.name == builtin.name).unwrap();
        let expected: Vec<(Call, i32)> =
            rows().filter_map(|(syscall, mut answers)| refused(syscall.name, answers.nth(column)?)).collect();
        let calls: Vec<Vec<u64>> = expected.iter().map(|(call, _)| words(call)).collect();
        let answers = ask(&programs(builtin.name), &calls.into());
        for ((call, errno), answer) in expected.iter().zip(answers) {
            assert_eq!(answer, *errno, "{}: {call:x?}", builtin.name);
        }
    }
}

#[test]
fn the_kernel_looks_at_arguments_as_the_machine_of_these_tests_does() {
    if !has_python() {
        return;
    }
    let (efault, ebadf, einval) = (14, 9, 22);
    let cases: &[(&str, &[u64], i32)] = &[
        ("getppid", &[], 0),
        ("clone", &[0x1000_0011], 1),
        ("clone", &[0x0001_0000], einval),
        ("ioctl", &[u64::MAX, 0x5412], 1),
        ("ioctl", &[u64::MAX, 0x5412 | 1 << 32], 1),
        ("ioctl", &[u64::MAX, 0x541c], 1),
        ("ioctl", &[u64::MAX, 0x5413], ebadf),
        ("chmod", &[0, 0o4755], 1),
        ("chmod", &[0, 0o1755], efault),
        ("fchmod", &[u64::MAX, 0o2755], 1),
        ("fchmod", &[u64::MAX, 0o755], ebadf),
        ("openat", &[u64::MAX, 0, 0o100, 0o4755], 1),
        ("openat", &[u64::MAX, 0, 0o20_200_002, 0o4755], 1),
        ("openat", &[u64::MAX, 0, 0o100, 0o755], efault),
        ("mknodat", &[u64::MAX, 0, 0o104_755, 0], 1),
        ("socket", &[1, 1, 0], 0),
        ("socket", &[16, 3, 0], 0),
        ("socket", &[16, 3, 12], 97),
        ("socket", &[40, 1, 0], 97),
        ("socket", &[38, 5, 0], 97),
        ("socket", &[17, 3, 0], 97),
        ("personality", &[0xffff_ffff], 0),
        ("personality", &[0x0040_0000], 1),
    ];
    let calls: Vec<Vec<u64>> = cases.iter().map(|(name, args, _)| words(&call(name, args))).collect();
    let programs = programs("default");
    for ((name, args, expected), answer) in cases.iter().zip(ask(&programs, &calls.into())) {
        assert_eq!(answer, *expected, "{name} {args:x?}");
        let machine = bpf::answer(&programs, &call(name, args), ARCH_X86_64);
        let refused = machine & 0xffff_0000 == 0x0005_0000;
        assert_eq!(refused, [1, 97].contains(expected), "{name} {args:x?}: {machine:#x}");
    }
}

#[test]
fn the_kernel_kills_foreign_abis() {
    if !has_python() {
        return;
    }
    let getpid_as_i386 = "b814000000cd80c3";
    let calls = serde_json::json!([[0x4000_0027], getpid_as_i386, [u64::from(u32::MAX)], [400]]);
    for builtin in Builtin::ALL {
        assert_eq!(ask(&programs(builtin.name), &calls), [-SIGSYS, -SIGSYS, ENOSYS, ENOSYS], "{}", builtin.name);
    }
}

/// Of two errno the kernel takes that of the newer filter, as `decides` says.
#[test]
fn the_kernel_prefers_the_newer_of_two_errno() {
    if !has_python() {
        return;
    }
    let refuse = |errno: u32| {
        let instructions = [(0x20, 0, 0), (0x15, 1, 110), (0x06, 0, 0x0005_0000 | errno), (0x06, 0, 0x7fff_0000)];
        let bytes = |(code, jf, k): (u8, u8, u32)| [vec![code, 0, 0, jf], k.to_ne_bytes().to_vec()].concat();
        instructions.into_iter().flat_map(bytes).collect::<Vec<u8>>()
    };
    assert_eq!(ask(&[refuse(5), refuse(7)], &serde_json::json!([[110], [39]])), [7, 0]);
}

#[test]
fn ordinary_programs_work() {
    if !has_python() {
        return;
    }
    let world = script("world.py");
    for builtin in Builtin::ALL {
        let run = ["run", "python3", "-W", "ignore", world.to_str().unwrap(), builtin.name];
        let output = probe(&programs(builtin.name), &run, "");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stdout == "ok\n", "{}: {stdout}{stderr}", builtin.name);
    }
}

/// What `testbox bundle` exports is JSON that names every action and operator as the specification does.
#[test]
fn the_oci_form_is_written_as_runtimes_read_it() {
    let text = serde_json::to_string(&super::super::oci(&builtin("default")).unwrap()).unwrap();
    for part in [
        r#""defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"]"#,
        r#""action":"SCMP_ACT_ERRNO","errnoRet":1"#,
        r#"{"index":1,"value":4294967295,"valueTwo":21522,"op":"SCMP_CMP_MASKED_EQ"}"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
