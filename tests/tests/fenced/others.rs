//! Other processes and services of the same user, beside a box without namespaces.

use std::process::Command;

use testbox_tests::unprivileged;

use crate::ground::{ALLOW, Ground, POSSIBLE};

const REACH: &str = r#"
import ctypes, os, resource, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
init, other = os.getppid(), int(sys.argv[1])

def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "no")

for name, pid in ("init", init), ("other", other):
    possible(name + " exists", lambda: os.kill(pid, 0))
    possible(name + " killed", lambda: os.kill(pid, signal.SIGKILL))
    possible(name + " traced", lambda: call(libc.ptrace(16, pid, 0, 0)))
    possible(name + " environ", lambda: open(f"/proc/{pid}/environ").read())
    possible(name + " memory", lambda: open(f"/proc/{pid}/mem", "rb"))
    possible(name + " files", lambda: os.readlink(f"/proc/{pid}/fd/0"))
    possible(name + " root", lambda: os.listdir(f"/proc/{pid}/root/"))
    possible(name + " limited", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, 1)))
    possible(name + " score", lambda: open(f"/proc/{pid}/oom_score_adj", "w").write("1000"))
    possible(name + " priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
print(os.path.exists(f"/proc/{other}"))
child = os.fork() or os.execv("/bin/sleep", ["sleep", "100"])
os.kill(child, signal.SIGKILL)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

pub(crate) fn processes_of_the_user_are_out_of_reach() {
    let ground = Ground::of_user();
    let mut other = unprivileged(Command::new("sleep").arg("1000")).spawn().expect("sleep");
    ground.project.write("reach.py", &[POSSIBLE, REACH].concat());
    let program = ground.project.path().join("reach.py").to_string_lossy().into_owned();
    let finished = ground.run(&["-q", ALLOW], &["/usr/bin/python3", &program, &other.id().to_string()]);
    let ended = other.try_wait().expect("a status");
    other.kill().expect("SIGKILL");
    other.wait().expect("an end");
    assert_eq!(finished.expect_code(0).stdout, "True\n-9\n");
    assert!(ended.is_none(), "{ended:?}");
}

pub(crate) fn sockets_and_queues_lead_nowhere() {
    const PROGRAM: &str = r#"
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def refused(work):
    try:
        work()
    except PermissionError:
        return True

for family in socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK:
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        assert refused(lambda: socket.socket(family, kind)), (family, kind)
assert refused(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
ours, theirs = socket.socketpair()
ours.sendall(b"x")
assert theirs.recv(1) == b"x"
assert libc.shmget(0, 4096, 0o1600) < 0 and ctypes.get_errno() == 13
assert libc.mq_open(b"/x", os.O_RDWR | os.O_CREAT, 0o600, None) < 0 and ctypes.get_errno() == 13
assert refused(os.openpty)
"#;
    let ground = Ground::of_user();
    ground.python(&["-q", ALLOW], PROGRAM).expect_code(0);
    let network = "import socket\nsocket.create_server(('127.0.0.1', 0))\n\
        try: socket.socket(socket.AF_UNIX)\nexcept PermissionError: print('refused')\n";
    let finished = ground.python(&["-q", ALLOW, "--net", "host"], network).expect_code(0);
    assert_eq!(finished.stdout, "refused\n");
}

pub(crate) fn semaphores_work() {
    let program = "import multiprocessing\n\
        def work(lock, queue):\n    with lock: queue.put(1)\n\
        if __name__ == '__main__':\n    context = multiprocessing.get_context('fork')\n    \
            lock, queue = context.Lock(), context.Queue()\n    \
            children = [context.Process(target=work, args=(lock, queue)) for _ in range(3)]\n    \
            [child.start() for child in children]\n    print(sum(queue.get() for _ in children))\n    \
            [child.join() for child in children]\n";
    let ground = Ground::of_user();
    assert_eq!(ground.python(&["-q", ALLOW], program).expect_code(0).stdout, "3\n");
}
