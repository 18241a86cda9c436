"""Processes, threads, signals, terminals and shared memory."""

import concurrent.futures
import ctypes
import multiprocessing
import multiprocessing.shared_memory
import os
import pathlib
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest


def double(number):
    return number * 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(double, range(4)) == [0, 2, 4, 6]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_queues_locks_and_semaphores(method):
    context = multiprocessing.get_context(method)
    queue, lock, semaphore = context.Queue(), context.Lock(), context.BoundedSemaphore(2)
    with lock, semaphore:
        queue.put("x")
    assert queue.get(timeout=10) == "x"


def test_executors():
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(double, [1, 2])) == [2, 4]


def test_managers():
    with multiprocessing.Manager() as manager:
        shared = manager.dict(a=1)
        assert dict(shared) == {"a": 1}


def test_shared_memory():
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=1 << 16)
    try:
        memory.buf[:3] = b"abc"
        again = multiprocessing.shared_memory.SharedMemory(memory.name)
        assert bytes(again.buf[:3]) == b"abc"
        again.close()
    finally:
        memory.close()
        memory.unlink()


def test_shared_memory_folder_can_be_written():
    path = pathlib.Path("/dev/shm/everyday")
    path.write_text("x")
    path.unlink()


def test_the_interpreter_can_start_itself():
    code = "import sys; print(sys.prefix != sys.base_prefix, sys.executable)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"{sys.prefix != sys.base_prefix} {sys.executable}\n"


def test_the_interpreter_is_in_the_path():
    assert os.path.samefile(shutil.which("python"), sys.executable)
    assert shutil.which("pytest")


@pytest.mark.parametrize("command", ["sh", "env", "ls", "cat", "grep", "sed", "tar", "find", "ps"])
def test_programs_of_the_system(command):
    assert shutil.which(command)
    assert subprocess.run([command, "--version"], capture_output=True).returncode in (0, 2)


def test_a_shell_pipeline():
    assert subprocess.check_output("seq 5 | sort -r | head -1", shell=True, text=True) == "5\n"


def test_signals_reach_their_handler():
    got = []
    before = signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert got == [1]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGPIPE", "SIGCHLD", "SIGHUP", "SIGQUIT"])
def test_children_start_with_default_signals(name):
    code = f"import signal; print(signal.getsignal(signal.{name}) is not signal.SIG_IGN)"
    expected = "False\n" if name == "SIGPIPE" else "True\n"  # Python itself ignores SIGPIPE.
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == expected


def test_no_signal_is_blocked():
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_alarms():
    with pytest.raises(TimeoutError):
        def ring(*_):
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(10)
        finally:
            signal.signal(signal.SIGALRM, before)


def test_a_killed_child_is_seen_as_killed():
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    assert child.wait() == -signal.SIGKILL


def test_process_groups_and_sessions():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid
        os.killpg(child.pid, signal.SIGTERM)
    finally:
        assert child.wait() == -signal.SIGTERM


def test_a_terminal():
    master, slave = pty.openpty()
    assert os.isatty(slave) and os.ttyname(slave).startswith("/dev/pts/")
    os.write(slave, b"x\n")
    assert select.select([master], [], [], 10)[0]
    assert os.read(master, 10) == b"x\r\n"
    os.close(master)
    os.close(slave)


def test_a_child_with_a_terminal():
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "test -t 0 && test -t 1 && tty"])
    output = b""
    while True:
        try:
            chunk = os.read(master, 100)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    os.waitpid(pid, 0)
    os.close(master)
    assert output.startswith(b"/dev/pts/")


def test_threads():
    done = []
    threads = [threading.Thread(target=done.append, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(16))


def test_cpus():
    assert os.cpu_count() == len([line for line in open("/proc/cpuinfo") if line.startswith("processor")])
    assert 1 <= len(os.sched_getaffinity(0)) <= os.cpu_count()
    assert os.sysconf("SC_NPROCESSORS_ONLN") >= 1


def test_own_entry_in_proc():
    assert os.readlink("/proc/self/exe") == os.path.realpath(sys.executable)
    assert pathlib.Path("/proc/self/cmdline").read_bytes()
    assert str(os.getpid()) in os.listdir("/proc")
    assert f"Pid:\t{os.getpid()}\n" in pathlib.Path("/proc/self/status").read_text()


def test_memory_and_load_are_told():
    assert "MemAvailable" in pathlib.Path("/proc/meminfo").read_text()
    assert len(os.getloadavg()) == 3


def test_limits_can_be_lowered():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_niceness_can_be_raised():
    assert subprocess.run(["nice", "-n", "5", "nice"], capture_output=True, text=True, check=True).stdout.strip().isdigit()


def test_c_library():
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getpid() == os.getpid()


def test_standard_streams_are_open():
    for number in (0, 1, 2):
        os.fstat(number)
    assert subprocess.run(["cat"], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout == b""


def test_no_descriptor_leaks_into_the_tests():
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[3:])"
    opened = subprocess.check_output([sys.executable, "-c", code], text=True)
    # The one that lists the folder.
    assert opened == "[3]\n"


def test_orphans_get_another_parent():
    code = "import os, time\nif os.fork() == 0:\n time.sleep(0.2)\n print(os.getppid() > 0, flush=True)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


def test_random_numbers():
    assert len({os.urandom(8) for _ in range(10)}) == 10
    assert open("/dev/urandom", "rb").read(4) and open("/dev/zero", "rb").read(4) == b"\0" * 4


def test_clocks():
    assert time.clock_gettime(time.CLOCK_MONOTONIC) > 0
    assert abs(time.clock_gettime(time.CLOCK_REALTIME) - time.time()) < 5
    assert time.process_time() > 0
