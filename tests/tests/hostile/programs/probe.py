"""What the hostile programs share: attempts with their errno, raw system calls, attempts in a child."""
import ctypes
import errno
import json
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
with open("host.json") as file:
    HOST = json.load(file)
answers = {}


def name_of(number):
    return errno.errorcode.get(number, str(number))


def attempt(name, work):
    """Records `ok` or the errno."""
    try:
        work()
    except OSError as error:
        answers[name] = name_of(error.errno)
    except ValueError as error:
        answers[name] = "refused: " + str(error)
    else:
        answers[name] = "ok"


def syscall(number, *arguments):
    """The raw system call; the errno's name if it fails."""
    ctypes.set_errno(0)
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *plain)
    return "ok" if result >= 0 else name_of(ctypes.get_errno())


def call(name, number, *arguments):
    answers[name] = syscall(number, *arguments)


def in_child(name, work):
    """Records how a child that does the work ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(99)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        answers[name] = signal.Signals(os.WTERMSIG(status)).name
    else:
        answers[name] = "exit %d" % os.WEXITSTATUS(status)


def opened(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path, "rb") as file:
        return file.read(65536)


def done():
    print(json.dumps(answers), flush=True)
