"""Compiles an OCI list (stdin) with libseccomp as runc does, and writes the program (stdout).

Names that this libseccomp does not know are left out, as runc leaves them out, and told on stderr, one a line.
"""

import ctypes
import json
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
OPERATORS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class Argument(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def action(rule):
    return ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | rule["errnoRet"]


def main():
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    profile = json.load(sys.stdin)
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        conditions = [
            Argument(arg["index"], OPERATORS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
            for arg in rule.get("args", [])
        ]
        array = (Argument * len(conditions))(*conditions)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                print(name, file=sys.stderr)
                continue
            error = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action(rule)), number, len(conditions), array
            )
            assert error == 0, (name, error)
    assert library.seccomp_export_bpf(context, sys.stdout.fileno()) == 0


main()
