"""Tells testbox what pytest is doing, and runs tests in workers that testbox can limit, kill and diagnose one by one.

testbox puts the folder of this package on PYTHONPATH and adds `-p testbox_plugin` to the command; the user's venv is
not touched. It speaks over one inherited socket, whose number is in TESTBOX_CHANNEL. It does nothing at all without
the socket: in pytest-xdist's workers, in nested runs and outside of a box.

Plain Python 3.8 and later, pytest 7 to 9. Its modules are no code of the project under test: they are loaded under
names like `<testbox worker>`, so that tracebacks and coverage leave them out. They are compiled at every start, as
nothing that a box has written is ever loaded: what is not always needed is imported where it is, and what is needed
late is compiled meanwhile (`ahead`). PYTEST_DONT_REWRITE
"""

import contextlib
import os
import sys
from importlib.machinery import ModuleSpec

_FOLDER = os.path.dirname(os.path.abspath(__file__))


class _Loader:
    """Finds and loads this package's modules, and no others."""

    #: Code by name, of modules that were compiled before they are needed; None: of none.
    compiled = None

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if not fullname.startswith(__name__ + "."):
            return None
        spec = ModuleSpec(fullname, cls, origin=os.path.join(_FOLDER, fullname.rpartition(".")[2] + ".py"))
        spec.has_location = True
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @classmethod
    def exec_module(cls, module):
        name = module.__name__.rpartition(".")[2]
        code = (cls.compiled or {}).get(name)
        if code is None:
            code = compile(cls.get_source(module.__name__), f"<testbox {name}>", "exec", dont_inherit=True)
        exec(code, module.__dict__)

    @staticmethod
    def get_source(fullname):
        with open(os.path.join(_FOLDER, fullname.rpartition(".")[2] + ".py"), encoding="utf-8") as file:
            return file.read()


@contextlib.contextmanager
def own_modules(ahead=None):
    """In here this package's modules can be imported; the user's imports never meet its loader."""
    if ahead is not None:
        _Loader.compiled = ahead.take()
    sys.meta_path.insert(0, _Loader)
    try:
        yield
    finally:
        sys.meta_path.remove(_Loader)


with own_modules():
    from .entry import pytest_configure, pytest_load_initial_conftests

__all__ = ["own_modules", "pytest_configure", "pytest_load_initial_conftests"]
