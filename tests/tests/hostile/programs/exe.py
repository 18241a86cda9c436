"""Looks for any handle on testbox's own file, by every link of every process (CVE-2019-5736)."""
from probe import *

attempt("init exe", lambda: opened("/proc/1/exe"))
found, looked = [], 0
for pid in (name for name in os.listdir("/proc") if name.isdigit()):
    looked += 1
    for link in ("exe", "cwd", "root"):
        try:
            target = os.readlink("/proc/%s/%s" % (pid, link))
        except OSError:
            continue
        if "testbox" in os.path.basename(target) or target == HOST["binary"]:
            found.append(target)
    try:
        with open("/proc/%s/maps" % pid) as maps:
            found += [line.strip() for line in maps if "/testbox" in line or "memfd:" in line]
    except OSError:
        pass
answers["handles on testbox"] = found
answers["processes looked at"] = looked
done()
