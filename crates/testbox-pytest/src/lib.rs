//! What testbox knows about pytest: recognising it in a command, its version in a venv.
