//! What this machine has: the bound of every limit and the source of the derived ones.

use std::io::Read;
use std::path::Path;

use fs_err as fs;

use crate::ConfigError;

/// The machine's memory, CPUs and kernel bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Memory that testbox could give away at all, in bytes: the machine's, or the tighter limit of an enclosing cgroup.
    pub memory_total_bytes: u64,
    /// Memory that is free or can be reclaimed now, in bytes; at most the total.
    pub memory_available_bytes: u64,
    /// Swap of the machine, in bytes.
    pub swap_total_bytes: u64,
    /// CPUs that are online.
    pub cpus: u32,
    /// CPUs that testbox, and what it starts, may keep busy (`taskset`, a container's cpuset or quota); at most those online.
    pub usable_cpus: u32,
    /// Open files that a process may have: the hard limit of testbox itself.
    pub nofile_max: u64,
    /// Processes and threads that the kernel can number.
    pub pids_max: u64,
}

#[cfg(any(test, feature = "sample"))]
impl Machine {
    /// A machine of 16 GiB and four CPUs, for tests to vary. Only with the feature `sample`.
    pub const SAMPLE: Self = Self {
        memory_total_bytes: 16 << 30,
        memory_available_bytes: 8 << 30,
        swap_total_bytes: 2 << 30,
        cpus: 4,
        usable_cpus: 4,
        nofile_max: 65_536,
        pids_max: 32_768,
    };
}

impl Machine {
    /// Reads `proc` and `sys` below `root` (`/` outside tests).
    ///
    /// `memory_bytes` and `cpus` are the tightest limits of the cgroups that testbox runs in, where there are any: in a
    /// container they are the machine that counts.
    ///
    /// # Errors
    /// [`ConfigError::Read`] where a file cannot be read, [`ConfigError::Machine`] where it lacks what is expected.
    pub fn read(root: &Path, memory_bytes: Option<u64>, cpus: Option<f64>) -> Result<Self, ConfigError> {
        let meminfo = Report::read(root, "proc/meminfo")?;
        let total = meminfo.kib("MemTotal:")?.min(memory_bytes.unwrap_or(u64::MAX));
        let allowed = Report::read(root, "proc/self/status")?.allowed_cpus()?;
        Ok(Self {
            memory_total_bytes: total,
            memory_available_bytes: meminfo.kib("MemAvailable:")?.min(total),
            swap_total_bytes: meminfo.kib("SwapTotal:")?,
            cpus: Report::read(root, "sys/devices/system/cpu/online")?.online()?,
            // A part of a CPU is enough for one worker.
            usable_cpus: cpus.map_or(allowed, |cpus| allowed.min(cpus as u32).max(1)),
            nofile_max: Report::read(root, "proc/self/limits")?.hard_nofile()?,
            pids_max: Report::read(root, "proc/sys/kernel/pid_max")?.number()?,
        })
    }
}

/// Room for most files of the kernel as a whole: it tells no size, and without room they are read bit by bit.
const ROOM: usize = 4096;

/// One text file of the kernel.
struct Report {
    path: String,
    text: String,
}

impl Report {
    fn read(root: &Path, path: &str) -> Result<Self, ConfigError> {
        let path = root.join(path);
        let mut text = String::with_capacity(ROOM);
        let file = fs::File::open(&path).map_err(ConfigError::Read)?;
        file.take(u64::MAX).read_to_string(&mut text).map_err(ConfigError::Read)?;
        Ok(Self { path: path.display().to_string(), text })
    }

    /// The value of a line like `MemTotal:  123 kB`, in bytes.
    fn kib(&self, key: &'static str) -> Result<u64, ConfigError> {
        let line = self.text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        number.map(|kib| kib.saturating_mul(1024)).ok_or_else(|| self.lacks(key))
    }

    fn online(&self) -> Result<u32, ConfigError> {
        cpus(&self.text).ok_or_else(|| self.lacks("a list of CPUs"))
    }

    /// The CPUs of the line `Cpus_allowed_list:  0-3,8`.
    fn allowed_cpus(&self) -> Result<u32, ConfigError> {
        const KEY: &str = "Cpus_allowed_list:";
        let line = self.text.lines().find_map(|line| line.strip_prefix(KEY));
        line.and_then(cpus).ok_or_else(|| self.lacks(KEY))
    }

    /// The hard limit in the line `Max open files  1024  4096  files`.
    fn hard_nofile(&self) -> Result<u64, ConfigError> {
        const KEY: &str = "Max open files";
        let line = self.text.lines().find_map(|line| line.strip_prefix(KEY));
        let hard = line.and_then(|rest| rest.split_whitespace().nth(1)).ok_or_else(|| self.lacks(KEY))?;
        if hard == "unlimited" { Ok(u64::MAX) } else { hard.parse().map_err(|_| self.lacks(KEY)) }
    }

    fn number(&self) -> Result<u64, ConfigError> {
        self.text.trim().parse().map_err(|_| self.lacks("a number"))
    }

    fn lacks(&self, what: &'static str) -> ConfigError {
        ConfigError::Machine { path: self.path.clone(), what }
    }
}

/// How many CPUs a list like `0-3,8` has.
fn cpus(list: &str) -> Option<u32> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?.saturating_add(1))
    };
    list.trim().split(',').map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(meminfo: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/meminfo", meminfo),
            ("sys/devices/system/cpu/online", "0-3,8\n"),
            ("proc/self/status", "Name:\ttestbox\nCpus_allowed:\t7\nCpus_allowed_list:\t0-2\nThreads:\t1\n"),
            ("proc/self/limits", "Max open files            1024                 524288               files\n"),
            ("proc/sys/kernel/pid_max", "4194304\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: &str = "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\nSwapTotal: 1024 kB\n";

    #[test]
    fn reads_what_the_kernel_says() {
        let machine = Machine::read(tree(MEMINFO).path(), None, None).unwrap();
        let expected = Machine {
            memory_total_bytes: 8 << 30,
            memory_available_bytes: 6 << 30,
            swap_total_bytes: 1 << 20,
            cpus: 5,
            usable_cpus: 3,
            nofile_max: 524_288,
            pids_max: 4_194_304,
        };
        assert_eq!(machine, expected);
    }

    #[test]
    fn an_enclosing_cgroup_is_the_machine_that_counts() {
        let machine = Machine::read(tree(MEMINFO).path(), Some(4 << 30), Some(2.5)).unwrap();
        assert_eq!((machine.memory_total_bytes, machine.memory_available_bytes), (4 << 30, 4 << 30));
        assert_eq!((machine.usable_cpus, machine.cpus), (2, 5));
        for (cpus, usable) in [(0.2, 1), (3.0, 3), (64.0, 3)] {
            assert_eq!(Machine::read(tree(MEMINFO).path(), None, Some(cpus)).unwrap().usable_cpus, usable, "{cpus}");
        }
    }

    #[test]
    fn a_missing_line_is_named_with_its_file() {
        let root = tree("MemTotal: 1 kB\n");
        let error = Machine::read(root.path(), None, None).unwrap_err().to_string();
        assert!(error.contains("proc/meminfo") && error.contains("MemAvailable:"), "{error}");
    }

    #[test]
    fn reads_this_machine() {
        let machine = Machine::read(Path::new("/"), None, None).unwrap();
        assert!(
            machine.usable_cpus >= 1
                && machine.usable_cpus <= machine.cpus
                && machine.memory_available_bytes <= machine.memory_total_bytes
        );
    }
}
