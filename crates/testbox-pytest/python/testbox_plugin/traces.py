"""Nobody sees that testbox is here: neither who starts the command again, nor who measures what runs."""

import sys


def measuring():
    """coverage.py's object that measures this process, or None."""
    coverage = sys.modules.get("coverage")
    current = coverage.Coverage.current() if hasattr(coverage, "Coverage") else None
    collector = getattr(current, "_collector", None)
    return current if hasattr(collector, "use_data") and hasattr(collector, "flush_data") else None


def forget_own_option(config):
    """The command as the user typed it: pytest-xdist hands it on to its workers, which have no such plugin."""
    args = list(config.invocation_params.args)
    for index, arg in enumerate(args[:-1]):
        if arg == "-p" and args[index + 1] == "testbox_plugin":
            del args[index : index + 2]
            break
    given = config.invocation_params
    config.invocation_params = type(given)(args=args, plugins=given.plugins, dir=given.dir)
    if "testbox_plugin" in (getattr(config.option, "plugins", None) or ()):
        config.option.plugins.remove("testbox_plugin")


def forget_own_lines():
    """Where coverage measures all that runs, the lines of this package's entry are not the project's."""
    collector = getattr(measuring(), "_collector", None)
    if isinstance(getattr(collector, "data", None), dict):
        collector.data.pop(sys.modules["testbox_plugin"].__file__, None)
