//! The system calls that testbox knows: the kernel's table as data. A number outside of it is answered with ENOSYS.

/// One row per system call: number, name, and the reviewed answers of the built-in policies, which only tests read.
pub(crate) const TABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/seccomp/x86_64.tbl"));

/// A system call of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Syscall {
    /// Its number.
    pub(crate) number: u32,
    /// Its name.
    pub(crate) name: &'static str,
}

/// Every system call, by ascending number.
pub(crate) fn syscalls() -> impl Iterator<Item = Syscall> {
    rows().map(|row| row.0)
}

/// Every system call with the rest of its row.
pub(crate) fn rows() -> impl Iterator<Item = (Syscall, impl Iterator<Item = &'static str>)> {
    TABLE.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        let number = columns.next()?.parse().ok()?;
        Some((Syscall { number, name: columns.next()? }, columns))
    })
}
