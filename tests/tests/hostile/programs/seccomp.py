"""Each system call that the floor refuses, and numbers and calling conventions that nobody should use."""
import ctypes
import mmap
import signal
import socket

from probe import *

CALLS = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "move_mount": 429, "open_tree": 428, "mount_setattr": 442, "open_tree_attr": 467, "setns": 308,
    "unshare": 272, "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
    "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179,
    "quotactl_fd": 443, "settimeofday": 164, "clock_settime": 227, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "syslog": 103, "vhangup": 153, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "add_key": 248, "request_key": 249, "keyctl": 250, "userfaultfd": 323, "bpf": 321,
    "perf_event_open": 298, "open_by_handle_at": 304, "kcmp": 312, "pidfd_getfd": 438, "process_madvise": 440,
    "fanotify_init": 300, "clone3": 435, "lookup_dcookie": 212, "nfsservctl": 180, "unknown_999": 999,
    "unknown_500": 500, "uselib": 134, "_sysctl": 156, "create_module": 174,
}
for name, number in CALLS.items():
    call(name, number, 0, 0, 0, 0, 0, 0)

CLONE_NEW = {"user": 0x10000000, "ns": 0x20000, "pid": 0x20000000, "net": 0x40000000, "cgroup": 0x2000000, "ipc": 0x8000000, "uts": 0x4000000}
for name, flag in CLONE_NEW.items():
    call("clone new " + name, 56, flag | signal.SIGCHLD, 0, 0, 0, 0)
    call("unshare new " + name, 272, flag)
call("unshare with high bits", 272, 0x100000000 | 0x10000000)

FAMILIES = {"vsock": 40, "alg": 38, "packet": 17, "key": 15, "bluetooth": 31, "xdp": 44, "can": 29, "tipc": 30}
for name, family in FAMILIES.items():
    call("socket " + name, 41, family, socket.SOCK_RAW, 0)
    call("socket seqpacket " + name, 41, family, socket.SOCK_SEQPACKET, 0)
attempt("socket raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))


def machine_code(code):
    """Runs bytes as a function, and gives its result."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def int_0x80():
    """getpid of the 32-bit table. User Mode Linux has none: there the 64-bit number works, and the process ends with 64."""
    if machine_code(b"\xb8\x27\x00\x00\x00\xcd\x80\xc3") == os.getpid():  # mov eax, 39; int 0x80; ret
        os._exit(64)
    machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret


in_child("int 0x80", int_0x80)
in_child("machine code by itself", lambda: machine_code(b"\xb8\x27\x00\x00\x00\x0f\x05\xc3"))  # mov eax, 39; syscall
in_child("x32", lambda: syscall(0x40000000 | 39))
in_child("x32 execve", lambda: syscall(0x40000000 | 520, 0, 0, 0))

open("program", "w").close()
for mode in (0o4755, 0o2755, 0o6755):
    attempt("chmod %o" % mode, lambda: os.chmod("program", mode))
    call("fchmodat %o" % mode, 268, -100, ctypes.c_char_p(b"program"), mode)
    call("fchmodat2 %o" % mode, 452, -100, ctypes.c_char_p(b"program"), mode, 0)
    call("open with %o" % mode, 2, ctypes.c_char_p(b"made-%o" % mode), os.O_CREAT | os.O_WRONLY, mode)
    call("creat with %o" % mode, 85, ctypes.c_char_p(b"created-%o" % mode), mode)
    call("mknod with %o" % mode, 133, ctypes.c_char_p(b"node-%o" % mode), 0o100000 | mode, 0)
    call("mknodat with %o" % mode, 259, -100, ctypes.c_char_p(b"node-at-%o" % mode), 0o100000 | mode, 0)
    call("chmod with high bits %o" % mode, 90, ctypes.c_char_p(b"program"), mode | 1 << 40)
attempt("chmod 755", lambda: os.chmod("program", 0o755))
found = [path for path in os.listdir(".") if os.path.isfile(path) and os.stat(path).st_mode & 0o6000]
answers["setuid files"] = ",".join(sorted(found))
done()
