//! The name of a box: it says which process owns the box, so that no state file is needed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{CgroupError, kernel};

/// Names a box by boot and owner: `testbox-<boot>-<pid>-<start>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BoxId {
    /// First 8 hexadecimal digits of the boot id. Pids and start times mean nothing in another pid or time namespace, so
    /// outside the initial ones these digits are mixed with the number of the namespace.
    pub boot: String,
    /// Pid of the owner, at least 1.
    pub pid: i32,
    /// Start time of the owner in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
}

const PREFIX: &str = "testbox-";
/// The namespaces that give pids and start times their meaning, and the numbers of the initial ones.
const NAMESPACES: [(&str, u32, u32); 2] = [("pid", 0xEFFF_FFFC, 0), ("time", 0xEFFF_FFFA, 16)];

impl BoxId {
    /// The box of the calling process.
    ///
    /// # Errors
    /// `/proc/self/stat` or the boot id below `root` cannot be read.
    pub fn of_current(root: &Path) -> Result<Self, CgroupError> {
        Self::of_stat(root, &root.join("proc/self/stat"))
    }

    /// The box of another process of the caller's pid namespace, if that process has one.
    ///
    /// # Errors
    /// `/proc/PID/stat` or the boot id below `root` cannot be read.
    pub fn of_process(root: &Path, pid: i32) -> Result<Self, CgroupError> {
        Self::of_stat(root, &root.join(format!("proc/{pid}/stat")))
    }

    fn of_stat(root: &Path, path: &Path) -> Result<Self, CgroupError> {
        let path = path.to_owned();
        let text = read(&path)?;
        let stat = parse_stat(&text).ok_or_else(|| CgroupError::Malformed { path, text: text.clone() })?;
        Ok(Self { boot: boot_tag(root)?, pid: stat.pid, start_ticks: stat.start_ticks })
    }

    /// Whether the owner still runs: same pid, same start time, not a zombie.
    pub fn owner_alive(&self, root: &Path) -> bool {
        let path = root.join(format!("proc/{}/stat", self.pid));
        let stat = kernel::read(&path).ok().and_then(|text| parse_stat(&text));
        stat.is_some_and(|stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X' | 'x'))
    }
}

impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}-{}", self.boot, self.pid, self.start_ticks)
    }
}

impl FromStr for BoxId {
    type Err = CgroupError;

    fn from_str(name: &str) -> Result<Self, CgroupError> {
        parse_name(name).ok_or_else(|| CgroupError::ForeignName { name: name.to_owned() })
    }
}

/// The boot digits of boxes whose owners this process can see.
///
/// # Errors
/// The boot id or a namespace link below `root` cannot be read.
pub(crate) fn boot_tag(root: &Path) -> Result<String, CgroupError> {
    let path = root.join("proc/sys/kernel/random/boot_id");
    let text = read(&path)?;
    let digits = text.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let mut tag = digits.ok_or(CgroupError::Malformed { path, text })?;
    for (name, initial, rotation) in NAMESPACES {
        let number = namespace_number(&root.join("proc/self/ns").join(name))?.unwrap_or(initial);
        tag ^= (number ^ initial).rotate_left(rotation);
    }
    Ok(format!("{tag:08x}"))
}

/// The number in a link like `pid:[4026531836]`; `None` where the kernel has no such namespace.
fn namespace_number(link: &Path) -> Result<Option<u32>, CgroupError> {
    let target = match fs_err::read_link(link) {
        Ok(target) => target.to_string_lossy().into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CgroupError::Read { path: link.to_owned(), source }),
    };
    let number = target.split_once(":[").and_then(|(_, rest)| rest.strip_suffix(']')?.parse().ok());
    number.map(Some).ok_or_else(|| CgroupError::Malformed { path: link.to_owned(), text: target })
}

/// Exactly what `Display` writes and nothing else: lower case, no signs, no leading zeros.
fn parse_name(name: &str) -> Option<BoxId> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (boot, pid, start) = (parts.next()?, parts.next()?, parts.next()?);
    let is_boot = boot.len() == 8 && boot.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = BoxId { boot: boot.to_owned(), pid: pid.parse().ok()?, start_ticks: start.parse().ok()? };
    (is_boot && id.pid > 0 && id.to_string() == name).then_some(id)
}

struct Stat {
    pid: i32,
    state: char,
    start_ticks: u64,
}

/// `PID (COMMAND) STATE ...`; the command may hold blanks and parentheses, so the last `)` ends it.
fn parse_stat(text: &str) -> Option<Stat> {
    let (pid, _) = text.split_once(' ')?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { pid: pid.parse().ok()?, state, start_ticks: fields.nth(18)?.parse().ok()? })
}

fn read(path: &Path) -> Result<String, CgroupError> {
    kernel::read(path).map_err(|source| CgroupError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const STAT: &str = "14646 (a) R (b) S 14641 14641 5255 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 190080 3133440 390";

    #[test]
    fn names_survive_a_round_trip() {
        let id = BoxId { boot: "97b45cbc".to_owned(), pid: 14646, start_ticks: 190_080 };
        assert_eq!(id.to_string(), "testbox-97b45cbc-14646-190080");
        assert_eq!(id.to_string().parse::<BoxId>().unwrap(), id);
    }

    #[test]
    fn foreign_names_never_match() {
        let foreign = [
            "",
            "testbox",
            "testbox-",
            "testbox-97b45cbc",
            "testbox-97b45cbc-1",
            "testbox-97b45cbc-1-2-3",
            "testbox-97b45cbc-1-2 ",
            " testbox-97b45cbc-1-2",
            "testbox-97B45CBC-1-2",
            "testbox-97b45cb-1-2",
            "testbox-97b45cbcd-1-2",
            "testbox-97b45cbg-1-2",
            "testbox-97b45cbc-0-2",
            "testbox-97b45cbc--1-2",
            "testbox-97b45cbc-+1-2",
            "testbox-97b45cbc-01-2",
            "testbox-97b45cbc-1-+2",
            "testbox-97b45cbc-1-02",
            "testbox-97b45cbc-4294967296-2",
            "testbox-97b45cbc-1-18446744073709551616",
            "testbox-97b45cbc-1-2/..",
            "Testbox-97b45cbc-1-2",
            "xtestbox-97b45cbc-1-2",
            "testbox-supervisor-97b45cbc-1-2",
        ];
        for name in foreign {
            let error = name.parse::<BoxId>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{name}` is not the name of a box")), "{error}");
        }
    }

    #[test]
    fn the_owner_is_known_by_pid_and_start_time() {
        let host = FakeHost::v1();
        host.put("proc/14646/stat", STAT);
        let id = BoxId { boot: "97b45cbc".to_owned(), pid: 14646, start_ticks: 190_080 };
        assert!(id.owner_alive(host.root()));
        assert!(!BoxId { start_ticks: 190_081, ..id.clone() }.owner_alive(host.root()), "the pid was used again");
        assert!(!BoxId { pid: 1, ..id.clone() }.owner_alive(host.root()));
        host.put("proc/14646/stat", &STAT.replace(") S ", ") Z "));
        assert!(!id.owner_alive(host.root()), "a zombie owns nothing");
    }

    #[test]
    fn the_current_process_names_its_box() {
        let host = FakeHost::v1();
        host.put("proc/self/stat", STAT);
        assert_eq!(BoxId::of_current(host.root()).unwrap().to_string(), "testbox-97b45cbc-14646-190080");
        host.put("proc/self/stat", "nonsense");
        assert!(matches!(BoxId::of_current(host.root()), Err(CgroupError::Malformed { .. })));
    }

    #[test]
    fn another_pid_namespace_has_other_names() {
        let host = FakeHost::v1();
        assert_eq!(boot_tag(host.root()).unwrap(), "97b45cbc");
        host.link("proc/self/ns/pid", "pid:[4026532219]");
        assert_ne!(boot_tag(host.root()).unwrap(), "97b45cbc");
        host.link("proc/self/ns/pid", "nonsense");
        assert!(matches!(boot_tag(host.root()), Err(CgroupError::Malformed { .. })));
    }

    #[test]
    fn the_real_process_lives() {
        let id = BoxId::of_current(Path::new("/")).unwrap();
        assert!(id.owner_alive(Path::new("/")));
    }
}
