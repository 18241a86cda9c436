"""Frames: a length (four bytes, little endian) and a JSON object, over a socket, both ways, with descriptors."""

import array
import collections
import json
import os
import select
import signal
import socket
import struct
import time

#: testbox takes a longer frame for an attack.
MAX_FRAME = 1 << 20
#: A worker's report may be longer: it carries captured output.
MAX_REPORT_FRAME = 32 << 20
#: All that one test may have told of it.
MAX_TEST_BYTES = 256 << 20
#: A node id that testbox is told is cut to this many characters.
MAX_ID = 4096
#: Descriptors that one order brings, at most.
MAX_DESCRIPTORS = 32
#: testbox asks for the stacks of all threads by this signal.
DUMP_SIGNAL = signal.SIGRTMAX - 3
#: How long to wait for testbox's answer to the first frame.
ANSWER_SECONDS = 10.0

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_DECODE = json.JSONDecoder().decode
#: Taken at one look.
_ROOM = 1 << 16
_SPACE = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_WAIT = int(socket.MSG_CMSG_CLOEXEC)
_DO_NOT_WAIT = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
_TRUNCATED = int(socket.MSG_CTRUNC)


class Lost(Exception):
    """The other end is gone, or says what nobody of ours says."""


class TooLong(Lost):
    """A frame that the other end would take for an attack."""


class Stream:
    """One end of a socket that carries frames of at most `limit` bytes.

    With a `bell`, a second socket, the other end need not wait for frames: it is told when it must look.
    """

    def __init__(self, sock, limit, encode=_ENCODE, bell=None):
        self._socket = sock
        self._bell = bell
        self._limit = limit
        self._encode = encode
        self._unsent = bytearray()
        self._buffer = bytearray()
        #: Where the first frame begins that nobody took.
        self._taken = 0
        self._descriptors = collections.deque()
        #: Bytes that have come so far.
        self.received = 0

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()
        if self._bell is not None:
            self._bell.close()

    def hold(self, message):
        """One frame, to be sent with what is sent next: each time that the other end wakes up costs."""
        body = self._encode(message)
        if len(body) > self._limit:
            raise TooLong("a frame of %d bytes, where %d are the most" % (len(body), self._limit))
        self._unsent += struct.pack("<I", len(body)) + body.encode()

    def flush(self):
        """Sends what is held; waits until the other end has room for it."""
        if self._unsent:
            unsent, self._unsent = self._unsent, bytearray()
            try:
                self._socket.sendall(unsent)
            except OSError as error:
                raise Lost(f"cannot send: {error}") from error

    def send(self, message):
        """Sends one frame, after those that are held, and rings."""
        self.hold(message)
        self.flush()
        self.ring()

    def ring(self):
        """The other end shall look now."""
        if self._bell is not None:
            try:
                self._bell.send(b"\0", socket.MSG_DONTWAIT)
            except BlockingIOError:
                # It rings already.
                pass
            except OSError as error:
                raise Lost(f"cannot ring: {error}") from error

    def receive(self, wait=True):
        """The next frame; None if `wait` is false and there is no whole one. Raises Lost at the end of the stream."""
        while True:
            message = self._take()
            if message is not None:
                return message
            if not self._read(wait):
                return None

    def frames(self):
        """Those that have come by now. Raises Lost at the end of the stream."""
        came = _ROOM
        while came:
            message = self._take()
            while message is not None:
                yield message
                message = self._take()
            # What has left room was all that there was.
            came = self._read(wait=False) if came == _ROOM else 0

    def _take(self):
        begin = self._taken + 4
        if len(self._buffer) < begin:
            return None
        (length,) = struct.unpack_from("<I", self._buffer, self._taken)
        if length > self._limit:
            raise Lost("a frame of %d bytes, where %d are the most" % (length, self._limit))
        if len(self._buffer) < begin + length:
            return None
        self._taken = begin + length
        try:
            message = _DECODE(self._buffer[begin : self._taken].decode())
        except (ValueError, RecursionError) as error:
            raise Lost(f"a frame that is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise Lost("a frame that is no object")
        if message.get("fds"):
            message["descriptors"] = self._pop_descriptors(message["fds"])
        return message

    def _pop_descriptors(self, count):
        if not isinstance(count, int) or count > len(self._descriptors):
            raise Lost("%r descriptors announced, %d came" % (count, len(self._descriptors)))
        return [self._descriptors.popleft() for _ in range(count)]

    def _read(self, wait):
        """How many bytes came."""
        try:
            data, ancillary, told, _ = self._socket.recvmsg(_ROOM, _SPACE, _WAIT if wait else _DO_NOT_WAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Lost(f"cannot receive: {error}") from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self._descriptors.extend(fds)
        if told & _TRUNCATED:
            raise Lost("descriptors were lost on the way")
        if not data:
            raise Lost("the other end is closed")
        del self._buffer[: self._taken]
        self._taken = 0
        self._buffer += data
        self.received += len(data)
        return len(data)


class Channel:
    """testbox's socket. Every frame is numbered. After the first failure it is silent and `lost` says why."""

    def __init__(self, sock):
        self._stream = Stream(sock, MAX_FRAME, _encode_for_all)
        self._owner = os.getpid()
        self._sequence = 0
        #: When the first frame that is held was told, by the monotonic clock.
        self.held_since = None
        self.lost = None

    def fileno(self):
        return self._stream.fileno()

    def close(self):
        """For a worker, which has no say here."""
        self.lost = "closed"
        self._stream.close()

    def send(self, kind, **fields):
        """Tells testbox; a process that a test forked has the same hooks and the same socket, but no say."""
        self.hold(kind, **fields)
        self.flush()

    def hold(self, kind, **fields):
        """Tells testbox with what is sent next: a moment later is early enough."""
        if self.lost is not None or os.getpid() != self._owner:
            return
        self._sequence += 1
        try:
            self._stream.hold(dict(fields, t=kind, s=self._sequence))
            self.held_since = self.held_since or time.monotonic()
        except Lost as error:
            self.lost = str(error)

    def flush(self):
        """Sends what is held."""
        if self.held_since is None or self.lost is not None or os.getpid() != self._owner:
            return
        self.held_since = None
        try:
            self._stream.flush()
        except Lost as error:
            self.lost = str(error)

    def receive(self, wait_seconds=0.0):
        """The next order; None if there is none within that time."""
        if self.lost is not None:
            return None
        try:
            order = self._stream.receive(wait=False)
            if order is None and wait_seconds and select.select([self._stream], [], [], wait_seconds)[0]:
                order = self._stream.receive(wait=False)
            return order
        except Lost as error:
            self.lost = str(error)
            return None

    def wait_for_welcome(self):
        """testbox's answer to the first frame; None if there is none."""
        order = self.receive(ANSWER_SECONDS)
        if order is None and self.lost is None:
            self.lost = "no answer within %d seconds" % ANSWER_SECONDS
        return order if order is not None and order.get("t") == "welcome" else None


def _encode_for_all(message):
    """JSON that every reader takes: of half characters it has only the names."""
    body = _ENCODE(message)
    return _ENCODE(_readable(message)) if "\\ud" in body else body


def _readable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in value]
    return value
