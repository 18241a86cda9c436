"""What ordinary test suites do, in one go; prints `ok` at the end.

Without an argument it is the twin that runs under no filter; with the name of a policy it expects its refusals too.
"""

import asyncio
import ctypes
import errno
import fcntl
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import pty
import random
import resource
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import termios
import threading
import time


def double(number):
    return 2 * number


def refused(expected, call, *args):
    try:
        call(*args)
    except OSError as error:
        assert error.errno == expected, error
    else:
        raise AssertionError("%r was not refused" % call)


def processes():
    assert subprocess.check_output(["sh", "-c", "echo $((6 * 7)) | cat"]) == b"42\n"
    assert os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)[1] == 0
    subprocess.run(["true"], preexec_fn=os.setsid, close_fds=True, check=True)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, range(8)) == [0, 2, 4, 6, 8, 10, 12, 14]
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    shared.buf[0] = 7
    shared.close()
    shared.unlink()
    if hasattr(os, "pidfd_open"):
        child = subprocess.Popen(["sleep", "60"])
        signal.pidfd_send_signal(os.pidfd_open(child.pid), signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM


def threads():
    lock, done = threading.Lock(), []

    def work():
        with lock:
            done.append(1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert len(done) == 8
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.signal(signal.SIGALRM, lambda *_: None)
    time.sleep(0.02)


def sockets():
    async def talk():
        server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b"hello"
        writer.close()
        server.close()
        echo = await asyncio.create_subprocess_exec("echo", "there", stdout=subprocess.PIPE)
        assert await echo.stdout.read() == b"there\n"
        await echo.wait()

    asyncio.run(talk())
    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [0]) if hasattr(socket, "send_fds") else left.send(b"x")
    assert right.recv(1) == b"x"
    epoll = select.epoll()
    epoll.register(left, select.EPOLLIN)
    epoll.poll(0)


def interfaces():
    assert socket.if_nameindex()
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def files():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "wb") as file:
            file.write(b"x" * 9999)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.fsync(file.fileno())
            os.posix_fallocate(file.fileno(), 0, 20000)
        for mode in (0o600, 0o755, 0o1777, 0):
            os.chmod(path, mode)
        os.chmod(path, 0o644)
        os.mkfifo(os.path.join(folder, "fifo"))
        os.mkdir(os.path.join(folder, "sticky"), 0o1777)
        os.symlink(path, path + ".link")
        os.link(path, path + ".hard")
        shutil.copytree(folder, folder + ".copy", symlinks=True, ignore=shutil.ignore_patterns("fifo"))
        shutil.rmtree(folder + ".copy")
        with open(path, "r+b") as file, open(path + ".2", "wb") as other:
            with mmap.mmap(file.fileno(), 0) as area:
                area[0:1] = b"y"
                area.flush()
            if hasattr(os, "copy_file_range"):
                os.copy_file_range(file.fileno(), other.fileno(), 100)
            os.sendfile(other.fileno(), file.fileno(), 0, 10)
        os.utime(path, ns=(1, 2))
        os.truncate(path, 5)
        if hasattr(os, "memfd_create"):
            os.write(os.memfd_create("memory"), b"x")
        database = sqlite3.connect(os.path.join(folder, "db"))
        database.execute("pragma journal_mode = wal")
        database.execute("create table t (a)")
        database.executemany("insert into t values (?)", [(i,) for i in range(100)])
        database.commit()
        database.close()


def terminals():
    child, master = pty.fork()
    if child == 0:
        os.execvp("echo", ["echo", "from a terminal"])
    termios.tcgetattr(master)
    fcntl.ioctl(master, termios.TIOCSWINSZ, b"\0" * 8)
    assert b"terminal" in os.read(master, 100)
    os.waitpid(child, 0)


def process_state():
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.sched_yield()
    os.nice(0)
    os.getrandom(8)
    random.SystemRandom().random()
    os.umask(os.umask(0o22))
    os.times(), os.uname(), os.getloadavg(), os.cpu_count(), os.getgroups()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.getrusage(resource.RUSAGE_CHILDREN)
    for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_THREAD_CPUTIME_ID):
        time.clock_gettime(clock)


def refusals():
    libc = ctypes.CDLL(None, use_errno=True)

    def raw(number, *args):
        if libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(arg) for arg in args)) == -1:
            raise OSError(ctypes.get_errno(), "refused")

    refused(errno.ENOSYS, raw, 435, 0, 0)
    refused(errno.EPERM, raw, 425, 1, 0)
    refused(errno.EPERM, raw, 272, 0x10000000)
    refused(errno.EAFNOSUPPORT, socket.socket, 40, socket.SOCK_STREAM)
    leader, follower = os.openpty()
    refused(errno.EPERM, fcntl.ioctl, follower, termios.TIOCSTI, b"x")
    with tempfile.NamedTemporaryFile() as file:
        refused(errno.EPERM, os.chmod, file.name, 0o4755)
        refused(errno.EPERM, os.open, file.name + ".suid", os.O_CREAT | os.O_WRONLY, 0o4755)
        assert not os.stat(file.name).st_mode & stat.S_ISUID


for part in (processes, threads, sockets, files, terminals, process_state):
    part()
policy = sys.argv[1] if len(sys.argv) > 1 else None
if policy == "strict":
    refused(errno.EAFNOSUPPORT, socket.if_nameindex)
else:
    interfaces()
if policy:
    refusals()
print("ok")
