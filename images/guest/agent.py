"""The guest's side of `cargo xtask guest`: runs the jobs that came with the disk, one after the other.

What a job prints goes to the host as frames on one line: a byte that says what it is, a length, the bytes.
"""
import json
import os
import selectors
import struct
import subprocess
import time

STDOUT, STDERR, STARTED, EXITED = b"O", b"E", b"S", b"X"
CHUNK = 1 << 16
# Seconds for output of what a job left behind and what still holds its pipes.
AFTERWARDS = 0.3


def parameter(name):
    with open("/proc/cmdline") as words:
        return dict(word.partition("=")[::2] for word in words.read().split())[name]


class Line:
    """The line to the host."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        if os.isatty(self.fd):
            subprocess.run(["stty", "raw", "-echo"], stdin=open(path), check=True)

    def send(self, kind, data):
        frame = kind + struct.pack("!I", len(data)) + data
        while frame:
            frame = frame[os.write(self.fd, frame):]


def run(line, argv):
    """Runs one job to its end."""
    line.send(STARTED, b"")
    job = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           start_new_session=True, cwd="/")
    ended = os.pidfd_open(job.pid)
    waiting = selectors.DefaultSelector()
    waiting.register(job.stdout, selectors.EVENT_READ, STDOUT)
    waiting.register(job.stderr, selectors.EVENT_READ, STDERR)
    waiting.register(ended, selectors.EVENT_READ)
    limit = None
    while waiting.get_map():
        ready = waiting.select(None if limit is None else max(0, limit - time.monotonic()))
        if not ready:
            break
        for key, _ in ready:
            if key.fd == ended:
                limit = time.monotonic() + AFTERWARDS
                waiting.unregister(ended)
                continue
            data = os.read(key.fd, CHUNK)
            if data:
                line.send(key.data, data)
            else:
                waiting.unregister(key.fileobj)
    code = job.wait()
    os.close(ended)
    line.send(EXITED, struct.pack("!i", code if code >= 0 else 128 - code))


def main():
    disk = parameter("testbox.disk")
    subprocess.run(["tar", "--extract", "--directory=/", "--file=" + disk], check=True)
    line = Line(parameter("testbox.line"))
    with open("/run/testbox-guest/jobs.json") as jobs:
        for argv in json.load(jobs):
            run(line, argv)


main()
