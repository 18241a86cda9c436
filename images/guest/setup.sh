#!/bin/sh
# Turns a freshly unpacked Debian ($1) into the guest: systemd on cgroup v2, logins, users, the agent, the tests' venvs.
# Runs on the host while the image is built; changes only files below $1. RECIPE is the folder of this file, WHEELS and
# TWINS are folders with the packages that requirements.txt in them names: those of the tests, and of the twin projects.
set -eu
root=$1

# ---- who it is -----------------------------------------------------------------------------------------------
echo guest > "$root/etc/hostname"
echo '127.0.0.1 localhost guest' > "$root/etc/hosts"
: > "$root/etc/fstab"

# tester: subordinate ids, and a lingering `systemd --user`. plain: neither; run without a login it is a user whom
# nobody delegated anything.
chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 tester
chroot "$root" useradd --create-home --shell /bin/bash --uid 1001 plain
echo tester:100000:65536 | tee "$root/etc/subuid" > "$root/etc/subgid"
echo 'tester ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/tester"
mkdir -p "$root/var/lib/systemd/linger"
: > "$root/var/lib/systemd/linger/tester"

# ---- what the tests need -------------------------------------------------------------------------------------
environment() {
    mkdir -p "$root/opt/testbox/wheels"
    cp "$2"/* "$root/opt/testbox/wheels/"
    chroot "$root" python3 -m venv "$1"
    chroot "$root" "$1/bin/pip" --isolated install --quiet --no-index --no-deps --find-links /opt/testbox/wheels \
        --requirement /opt/testbox/wheels/requirements.txt
    rm -r "$root/opt/testbox/wheels"
}
environment /opt/testbox/venv "$WHEELS"
environment /opt/testbox/twin-venv "$TWINS"
cat > "$root/usr/local/bin/testbox-test" <<'SCRIPT'
#!/bin/sh
# testbox-test NAME [ARGUMENTS]: runs a file of testbox's tests; a first argument that begins with `-` lists them.
case ${1--} in -*) exec ls /opt/testbox/tests ;; esac
test=$1
shift
PATH=/opt/testbox/venv/bin:$PATH TESTBOX_BIN=/usr/local/bin/testbox TESTBOX_TEST_VENV=/opt/testbox/venv \
    TESTBOX_TEST_CHECKOUT=/opt/testbox/checkout TESTBOX_TEST_TWINS=/opt/testbox/setup.json \
    exec "/opt/testbox/tests/$test" "$@"
SCRIPT
chmod 755 "$root/usr/local/bin/testbox-test"

# ---- the agent -----------------------------------------------------------------------------------------------
cp "$RECIPE/agent.py" "$root/usr/local/lib/testbox-guest.py"
cat > "$root/etc/systemd/system/testbox-guest.service" <<UNIT
[Unit]
Description=Runs the jobs of the host
After=basic.target dbus.service systemd-logind.service systemd-user-sessions.service user@1000.service
Wants=dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
ExecStart=/usr/bin/python3 -I /usr/local/lib/testbox-guest.py
FailureAction=poweroff-immediate
OOMPolicy=continue
OOMScoreAdjust=-900
StandardOutput=journal+console
TasksMax=infinity
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../testbox-guest.service "$root/etc/systemd/system/multi-user.target.wants/"
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

# ---- a short boot --------------------------------------------------------------------------------------------
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nAudit=no\n' > "$root/etc/systemd/journald.conf.d/guest.conf"
for unit in \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-tmpfiles-clean.timer e2scrub_reap.service systemd-journal-flush.service systemd-random-seed.service \
    systemd-update-utmp.service systemd-networkd.service systemd-networkd.socket getty.target \
    systemd-remount-fs.service kmod-static-nodes.service systemd-modules-load.service dev-hugepages.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
    systemd-firstboot.service systemd-machine-id-commit.service
do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# ---- smaller -------------------------------------------------------------------------------------------------
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/lib/udev/hwdb.d \
    "$root"/boot/*
