//! cgroup v1, v2 and hybrid behind one type: create, limit, read, kill, remove.
