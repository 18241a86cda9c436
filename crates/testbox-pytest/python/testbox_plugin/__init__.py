"""Tells testbox what pytest is doing, and runs tests in workers that testbox can limit, kill and diagnose one by one.

testbox puts the folder of this package on PYTHONPATH and adds `-p testbox_plugin` to the command; the user's venv is
not touched. It speaks over one inherited socket, whose number is in TESTBOX_CHANNEL. It does nothing at all without
the socket: in pytest-xdist's workers, in nested runs and outside of a box.

Plain Python 3.8 and later, pytest 7 to 9. Its modules are no code of the project under test: they are loaded under
names like `<testbox>/worker.py`, so that tracebacks and coverage leave them out. PYTEST_DONT_REWRITE
"""

import importlib.machinery
import importlib.util
import os
import sys


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        name = f"<testbox>/{os.path.basename(self.path)}"
        return compile(self.get_data(self.path), name, "exec", dont_inherit=True)


class _Finder:
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, name = fullname.rpartition(".")
        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
        if package != __name__ or not os.path.exists(file):
            return None
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file))


sys.meta_path.insert(0, _Finder)
try:
    from .entry import pytest_configure, pytest_load_initial_conftests
finally:
    sys.meta_path.remove(_Finder)

__all__ = ["pytest_configure", "pytest_load_initial_conftests"]
