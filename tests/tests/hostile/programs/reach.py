"""Everything that a process may try to get out of its box, one errno each."""
import glob
import resource
import socket

from probe import *

# Privileges.
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines() if ":\t" in line)
for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups"):
    answers[field] = status[field].strip()
answers["uid"] = " ".join(str(one) for one in os.getresuid())
attempt("setuid 0", lambda: os.setuid(0))
attempt("setgroups", lambda: os.setgroups([0]))
attempt("setgid 0", lambda: os.setgid(0))
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt("realtime", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt("raise nofile", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)))
attempt("raise core", lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
answers["core"] = "%d %d" % resource.getrlimit(resource.RLIMIT_CORE)

# The init.
for name in ("environ", "mem", "maps", "auxv", "syscall", "stack", "io", "pagemap"):
    attempt("init/" + name, lambda: read("/proc/1/" + name))
for name in ("exe", "cwd", "root", "ns/user", "ns/mnt"):
    attempt("init/link " + name, lambda: os.readlink("/proc/1/" + name))
    attempt("init/open " + name, lambda: opened("/proc/1/" + name))
attempt("init/fd", lambda: os.listdir("/proc/1/fd"))
attempt("init/fdinfo", lambda: os.listdir("/proc/1/fdinfo"))
attempt("init/map_files", lambda: os.listdir("/proc/1/map_files"))
attempt("init/task", lambda: os.listdir("/proc/1/task/1/fd"))
call("init/ptrace attach", 101, 16, 1, 0, 0)
call("init/ptrace seize", 101, 0x4206, 1, 0, 0)
vector = (ctypes.c_ulong * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
call("init/process_vm_readv", 310, 1, vector, 1, vector, 1, 0)
call("init/process_vm_writev", 311, 1, vector, 1, vector, 1, 0)
call("init/prlimit", 302, 1, 7, ctypes.create_string_buffer(16), 0)
attempt("init/oom_score_adj", lambda: write("/proc/1/oom_score_adj", "1000"))
attempt("init/comm", lambda: write("/proc/1/comm", "x"))
call("init/setns by pidfd", 308, os.pidfd_open(1), 0x10000000)
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGSEGV, 34, 63):
    attempt("init/signal %d" % number, lambda: os.kill(1, number))
attempt("init/is there", lambda: os.kill(1, 0))

# Processes of the host.
attempt("host/signal", lambda: os.kill(HOST["pid"], 9) if HOST["pid"] > 200 else os.kill(1 << 21, 9))
answers["host/processes"] = sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) == [1, 2]
attempt("oom_score_adj -1000", lambda: write("/proc/self/oom_score_adj", "-1000"))

# Kernel and devices.
for path in ("/dev/kmsg", "/dev/mem", "/dev/port", "/dev/vda", "/dev/sda", "/dev/loop0", "/dev/loop-control", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"):
    attempt("device " + path, lambda: opened(path, os.O_RDWR))
attempt("kmsg", lambda: read("/proc/kmsg"))
for name, mode, device in (("kmsg", 0o020666, (1, 11)), ("mem", 0o020666, (1, 1)), ("disk", 0o060666, (254, 0)), ("zero", 0o020666, (0, 0))):
    attempt("mknod " + name, lambda: os.mknod("/tmp/" + name, mode, os.makedev(*device)))
attempt("mknod fifo", lambda: os.mkfifo("/tmp/fifo"))
for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger"):
    try:
        answers["masked " + path] = "empty" if not os.path.exists(path) or read(path) == b"" else "content"
    except OSError as error:
        answers["masked " + path] = name_of(error.errno)
attempt("write /proc/sysrq-trigger", lambda: write("/proc/sysrq-trigger", "h"))
answers["firmware"] = os.listdir("/sys/firmware") if os.path.isdir("/sys/firmware") else []

# Settings: nothing below /proc/sys and /sys opens for writing.
writable = []
for top in ("/proc/sys", "/sys"):
    for folder, _, files in os.walk(top):
        for name in files:
            try:
                opened(os.path.join(folder, name), os.O_WRONLY)
                writable.append(os.path.join(folder, name))
            except OSError:
                pass
answers["writable settings"] = writable
attempt("core_pattern", lambda: write("/proc/sys/kernel/core_pattern", "|/bin/true"))
attempt("modprobe", lambda: write("/proc/sys/kernel/modprobe", "/tmp/x"))

# cgroups.
mounts = [line.split() for line in read("/proc/self/mountinfo").decode().splitlines()]
answers["cgroup mounts"] = [m[4] for m in mounts if " - cgroup" in " ".join(m) and "ro" not in m[5].split(",")]
answers["cgroup writable"] = [p for p in glob.glob("/sys/fs/cgroup/**", recursive=True) if os.access(p, os.W_OK)]
answers["release_agent"] = [p for p in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True)]
call("mount cgroup", 165, ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/tmp"), ctypes.c_char_p(b"cgroup"), 0, ctypes.c_char_p(b"memory"))

# Mounts: without setuid anywhere; devices only below /dev.
answers["mounts with setuid"] = [m[4] for m in mounts if "nosuid" not in m[5].split(",") and "ro" not in m[5].split(",") and not m[4].startswith(("/dev/", "/proc/"))]
answers["writable mounts"] = sorted(m[4] for m in mounts if "rw" in m[5].split(",") and " - ext4" in " ".join(m))
shared = [m[4] for m in mounts if any(word.startswith(("shared:", "master:")) for word in m[6:m.index("-")])]
answers["propagating mounts"] = shared

# Files of the host.
for name in ("open", "secret"):
    attempt("canary " + name, lambda: read(os.path.join(HOST["dir"], name)))
attempt("canary through init", lambda: read("/proc/1/root" + os.path.join(HOST["dir"], "open")))
for path in ("/etc/shadow", "/root/.ssh", "/root/.bash_history", "/var/run/docker.sock", "/boot", "/lost+found"):
    answers["seen " + path] = os.path.exists(path)
for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/proc", "/sys", "/var", "/root", "/mnt", "/home"):
    attempt("plant in " + folder, lambda: opened(os.path.join(folder, "planted"), os.O_CREAT | os.O_WRONLY))

# The network.
answers["interfaces"] = ",".join(sorted(os.listdir("/sys/class/net")))


def abstract(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect("\0" + HOST["abstract"])


def tcp(address):
    with socket.socket() as client:
        client.settimeout(2)
        client.connect(address)


attempt("abstract socket", abstract)
attempt("loopback of the host", lambda: tcp(("127.0.0.1", HOST["port"])))
attempt("address far away", lambda: tcp(("192.0.2.1", 80)))
server = socket.create_server(("127.0.0.1", 0))
attempt("own loopback", lambda: tcp(server.getsockname()))

# Nothing was done to the own side.
attempt("oom_score_adj 1000", lambda: write("/proc/self/oom_score_adj", "1000"))
done()
