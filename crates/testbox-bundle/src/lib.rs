//! RunPlan to OCI bundle: venv discovery, mounts, generated files, seccomp filters. Runs nothing in the box.
