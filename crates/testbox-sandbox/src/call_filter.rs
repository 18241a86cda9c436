//! Seccomp filters that belong to no profile: that of fuse-overlayfs, which is no box but answers one, and that of a box
//! without namespaces, beside those of its profile: what Landlock cannot close.
//!
//! Without namespaces a socket leads to the host's network, or to services that do what they are told by the user
//! (D-Bus, container engines), whose paths Landlock does not guard; System V IPC and message queues lead to the user's
//! other processes, and so do limits and priorities that are set by pid. Pairs of connected sockets stay: none of them can
//! be connected anew, but for datagrams.

use seccompiler::sock_filter;
use testbox_model::Net;

/// BPF (linux/filter.h): load a word, compare it with a constant, test bits of it, return, AND with a constant.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const AND: u16 = 0x54;
const AT_LEAST: u16 = 0x35;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EACCES as u32;

/// Where `struct seccomp_data` has the number and, low word first, the arguments (seccomp(2)).
const NUMBER: u32 = 0;
const ARGUMENTS: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;
const ABI: u32 = 4;
/// AUDIT_ARCH_X86_64 (linux/audit.h), and where the numbers of x32 begin.
const X86_64: u32 = 0xc000_003e;
const X32: u32 = 0x4000_0000;

/// Leads to others always.
const REFUSED: [libc::c_long; 16] = [
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Does what is refused here past this filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What no daemon of a file system needs: each reaches beyond it, or widens the kernel's attack surface.
const CLOSED_TO_DAEMON: [libc::c_long; 27] = [
    libc::SYS_socket,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_personality,
    libc::SYS_quotactl,
];

/// Leads to others unless this argument, a pid, is 0: the caller itself.
const OF_SELF: [(libc::c_long, u32); 6] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

/// The bits of a socket's type that are no flags.
const TYPE: u32 = 0xf;

/// The filter of a box with this network. Foreign ABIs are refused by the filters of the profile.
pub(crate) fn of(net: Net) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for number in REFUSED {
        program.extend(if_number(number, vec![refuse()]));
    }
    for (number, argument) in OF_SELF {
        program.extend(if_number(number, vec![load(argument), skip_if(0, 1), refuse(), allow()]));
    }
    let socket = match net {
        Net::None => vec![refuse()],
        Net::Host => vec![load(0), skip_unless(libc::AF_UNIX as u32, 1), refuse(), allow()],
    };
    program.extend(if_number(libc::SYS_socket, socket));
    let stream = skip_if(libc::SOCK_STREAM as u32, 2);
    let packets = skip_if(libc::SOCK_SEQPACKET as u32, 1);
    let mask = sock_filter { code: AND, jt: 0, jf: 0, k: TYPE };
    program.extend(if_number(libc::SYS_socketpair, vec![load(1), mask, stream, packets, refuse(), allow()]));
    program.push(allow());
    program
}

/// The filter of fuse-overlayfs. It gets no profile's: it must be able to keep what a box may not make (set-user-ID files
/// of the project), and resolves paths by openat2, which profiles hide.
pub(crate) fn of_daemon() -> Vec<sock_filter> {
    let kill = sock_filter { code: RETURN, jt: 0, jf: 0, k: KILL };
    let mut program = vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: ABI },
        skip_if(X86_64, 1),
        kill.clone(),
        sock_filter { code: LOAD, jt: 0, jf: 0, k: NUMBER },
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 },
        kill,
    ];
    for number in REFUSED.into_iter().chain(CLOSED_TO_DAEMON) {
        program.extend(if_number(number, vec![refuse()]));
    }
    program.push(allow());
    program
}

/// `then`, which returns, for this system call.
fn if_number(number: libc::c_long, then: Vec<sock_filter>) -> Vec<sock_filter> {
    let mut program = vec![sock_filter { code: LOAD, jt: 0, jf: 0, k: NUMBER }];
    program.push(skip_unless(number as u32, then.len() as u8));
    program.extend(then);
    program
}

fn load(argument: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: ARGUMENTS + argument * ARGUMENT_BYTES }
}

fn skip_if(value: u32, instructions: u8) -> sock_filter {
    sock_filter { code: EQUAL, jt: instructions, jf: 0, k: value }
}

fn skip_unless(value: u32, instructions: u8) -> sock_filter {
    sock_filter { code: EQUAL, jt: 0, jf: instructions, k: value }
}

fn refuse() -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: REFUSE }
}

fn allow() -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: ALLOW }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program returns for a call: the kernel's machine, as far as it is used.
    fn verdict(program: &[sock_filter], number: libc::c_long, arguments: [u32; 2]) -> u32 {
        verdict_of(program, X86_64, number, arguments)
    }

    fn verdict_of(program: &[sock_filter], abi: u32, number: libc::c_long, arguments: [u32; 2]) -> u32 {
        let (mut at, mut word) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            match step.code {
                LOAD if step.k == NUMBER => word = number as u32,
                LOAD if step.k == ABI => word = abi,
                AT_LEAST => at += usize::from(if word >= step.k { step.jt } else { step.jf }),
                LOAD => word = arguments[((step.k - ARGUMENTS) / ARGUMENT_BYTES) as usize],
                AND => word &= step.k,
                EQUAL => at += usize::from(if word == step.k { step.jt } else { step.jf }),
                _ => return step.k,
            }
        }
    }

    #[test]
    fn sockets_that_lead_out_are_refused() {
        let (none, host) = (of(Net::None), of(Net::Host));
        let (unix, inet) = (libc::AF_UNIX as u32, libc::AF_INET as u32);
        assert_eq!(verdict(&none, libc::SYS_socket, [unix, 1]), REFUSE);
        assert_eq!(verdict(&none, libc::SYS_socket, [inet, 1]), REFUSE);
        assert_eq!(verdict(&host, libc::SYS_socket, [unix, 1]), REFUSE);
        assert_eq!(verdict(&host, libc::SYS_socket, [inet, 1]), ALLOW);
        let flags = libc::SOCK_CLOEXEC as u32;
        for (kind, expected) in [(1, ALLOW), (2, REFUSE), (3, REFUSE), (5, ALLOW)] {
            assert_eq!(verdict(&none, libc::SYS_socketpair, [unix, kind | flags]), expected, "{kind}");
        }
    }

    #[test]
    fn the_daemon_has_files_and_nothing_else() {
        let program = of_daemon();
        for number in [libc::SYS_openat2, libc::SYS_read, libc::SYS_mknodat, libc::SYS_fchmod, libc::SYS_execve] {
            assert_eq!(verdict(&program, number, [0, 0]), ALLOW, "{number}");
        }
        for number in [libc::SYS_socket, libc::SYS_mount, libc::SYS_io_uring_setup, libc::SYS_ptrace] {
            assert_eq!(verdict(&program, number, [0, 0]), REFUSE, "{number}");
        }
        assert_eq!(verdict_of(&program, 0x4000_0003, libc::SYS_read, [0, 0]), KILL, "int 0x80");
        assert_eq!(verdict(&program, 0x4000_0000, [0, 0]), KILL, "x32");
    }

    #[test]
    fn only_the_caller_itself_is_changed_and_the_rest_is_untouched() {
        let program = of(Net::None);
        assert_eq!(verdict(&program, libc::SYS_prlimit64, [0, 7]), ALLOW);
        assert_eq!(verdict(&program, libc::SYS_prlimit64, [7, 0]), REFUSE);
        assert_eq!(verdict(&program, libc::SYS_setpriority, [0, 0]), ALLOW);
        assert_eq!(verdict(&program, libc::SYS_setpriority, [0, 7]), REFUSE);
        assert_eq!(verdict(&program, libc::SYS_shmget, [0, 0]), REFUSE);
        assert_eq!(verdict(&program, libc::SYS_read, [0, 0]), ALLOW);
    }
}
