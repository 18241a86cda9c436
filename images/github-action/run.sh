#!/usr/bin/env bash
# One step of a job: the command in a box. Limits need root on hosted runners, which sudo gives without a password; the
# box itself runs as the project's owner, never as root.
set -euo pipefail

read -r -a flags <<< "$TESTBOX_ACTION_FLAGS"
read -r -a command <<< "$TESTBOX_ACTION_COMMAND"
if [[ ${#command[@]} -eq 0 ]]; then
    echo "error: the input \`command\` is empty" >&2
    exit 2
fi
if ! binary=$(command -v "$TESTBOX_ACTION_BINARY"); then
    echo "error: no testbox at \`$TESTBOX_ACTION_BINARY\`" >&2
    exit 127
fi
# testbox takes every TESTBOX_ variable for one of its own.
unset TESTBOX_ACTION_BINARY TESTBOX_ACTION_FLAGS TESTBOX_ACTION_COMMAND
root=()
if [[ $EUID -ne 0 ]]; then
    # sudo resets PATH and VIRTUAL_ENV, by which testbox finds the project's Python.
    root=(sudo env "PATH=$PATH" ${VIRTUAL_ENV:+"VIRTUAL_ENV=$VIRTUAL_ENV"})
fi
exec "${root[@]}" "$binary" run "${flags[@]}" -- "${command[@]}"
