"""Types into the terminal, by every name of the ioctl (bubblewrap's CVE-2017-5226 and its sequel with high bits)."""
import ctypes

from probe import *

answers["terminals"] = [number for number in range(3) if os.isatty(number)]
answers["leader"] = os.getsid(0) == os.getpid()
attempt("/dev/tty", lambda: opened("/dev/tty", os.O_RDWR))
for high in (0, 1 << 32, 0xffffffff << 32):
    for name, command in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c)):
        for letter in "canary-typed\n":
            call("%s with high bits %x" % (name, high), 16, 0, high | command, ctypes.c_char_p(letter.encode()))
call("TIOCSETD", 16, 0, 0x5423, ctypes.byref(ctypes.c_int(0)))
done()
