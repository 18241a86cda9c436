"""A shell's part: testbox runs in the foreground of a terminal and is killed while the terminal is raw."""
import fcntl
import os
import select
import signal
import sys
import termios
import time

os.setsid()
master, slave = os.openpty()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.close(master)
    for number in range(3):
        os.dup2(slave, number)
    os.execv(sys.argv[1], sys.argv[1:] + ["-q", "--tty", "--", "/bin/sh", "-c", "echo marker; sleep 60"])


def until(holds, seconds):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        select.select([], [], [], 0.01)
    return holds()


def says_marker(output=bytearray()):
    while select.select([master], [], [], 0)[0]:
        output += os.read(master, 4096)
    return b"marker" in output


print("running" if until(says_marker, 20) else "silent", flush=True)
print("raw" if termios.tcgetattr(slave) != before else "not raw", flush=True)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print("intact" if until(lambda: termios.tcgetattr(slave) == before, 2) else "still raw", flush=True)
