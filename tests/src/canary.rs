//! Canaries: what a hostile program must not have touched on the host, planted and looked at before and after.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::testbox_bin;

/// Settings of the whole host that programs try to change.
const SETTINGS: [&str; 16] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_inotify_instances",
    "/etc/passwd",
    "/etc/shadow",
];

/// Things on the host, and how they were when planted.
#[derive(Debug)]
pub struct Canaries {
    dir: TempDir,
    process: Child,
    abstract_name: String,
    abstract_socket: UnixListener,
    tcp: TcpListener,
    before: BTreeMap<String, String>,
}

impl Canaries {
    /// Plants files (one open to all, one secret), a process, an abstract and a loopback socket; looks at the host.
    pub fn plant() -> Self {
        let dir = tempfile::Builder::new().prefix("canary-").tempdir().expect("a temporary folder");
        fs_err::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("chmod");
        for (name, mode) in [("open", 0o666), ("secret", 0o600)] {
            fs_err::write(dir.path().join(name), format!("{name} canary")).expect("a canary file");
            fs_err::set_permissions(dir.path().join(name), PermissionsExt::from_mode(mode)).expect("chmod");
        }
        let abstract_name = dir.path().file_name().expect("a name").to_string_lossy().into_owned();
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("an abstract address");
        let abstract_socket = UnixListener::bind_addr(&address).expect("an abstract socket");
        abstract_socket.set_nonblocking(true).expect("non-blocking");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
        tcp.set_nonblocking(true).expect("non-blocking");
        let process = Command::new("sleep").arg("3600").spawn().expect("a canary process");
        let mut planted = Self { dir, process, abstract_name, abstract_socket, tcp, before: BTreeMap::new() };
        planted.before = planted.look();
        planted
    }

    /// The folder with the files `open` and `secret`; everybody may write into it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where everything is, for the hostile program.
    pub fn targets(&self) -> Value {
        json!({
            "dir": self.dir.path(),
            "pid": self.process.id(),
            "abstract": self.abstract_name,
            "port": self.tcp.local_addr().expect("an address").port(),
            "binary": testbox_bin(),
        })
    }

    /// Fails the test if anything is not as it was.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        let after = self.look();
        for (what, before) in &self.before {
            assert_eq!(after.get(what), Some(before), "{what} changed on the host");
        }
        assert_eq!(after.len(), self.before.len(), "something new: {:?}", after.keys());
    }

    fn look(&self) -> BTreeMap<String, String> {
        let settings = SETTINGS.iter().map(PathBuf::from).chain(release_agents());
        let mut seen: BTreeMap<String, String> = settings.map(|path| (shown(&path), content(&path))).collect();
        for entry in fs_err::read_dir(self.dir.path()).expect("the canaries").flatten() {
            let meta = fs_err::symlink_metadata(entry.path()).expect("a canary");
            let state = format!("{:o} {} {}", meta.mode(), meta.uid(), content(&entry.path()));
            seen.insert(shown(&entry.path()), state);
        }
        let binary = testbox_bin();
        seen.insert(shown(&binary), format!("{:x} {:x}", hash(&binary), mode(&binary)));
        let process = Path::new("/proc").join(self.process.id().to_string());
        seen.insert(
            "the canary process".into(),
            format!("{} {}", state(&process), content(&process.join("oom_score_adj"))),
        );
        seen.insert("connections to the abstract socket".into(), visited(self.abstract_socket.accept().map(drop)));
        seen.insert("connections to the loopback socket".into(), visited(self.tcp.accept().map(drop)));
        seen
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The files with which cgroup v1 lets the host run a program.
fn release_agents() -> Vec<PathBuf> {
    let groups = fs_err::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let agents = groups.flat_map(|group| ["release_agent", "notify_on_release"].map(|name| group.path().join(name)));
    agents.filter(|path| path.exists()).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn content(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap_or_else(|error| error.kind().to_string())
}

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).expect("the binary").mode()
}

fn hash(path: &Path) -> u64 {
    let (mut file, mut hasher) = (fs_err::File::open(path).expect("the binary"), DefaultHasher::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("the binary's bytes") {
            0 => return hasher.finish(),
            length => hasher.write(&buffer[..length]),
        }
    }
}

/// `S` for every kind of waiting and running, so that only stops and deaths are seen.
fn state(process: &Path) -> String {
    let stat = content(&process.join("stat"));
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
    if "RSD".contains(state) { "alive".to_owned() } else { state.to_string() }
}

fn visited(accepted: std::io::Result<()>) -> String {
    match accepted {
        Err(error) if error.kind() == ErrorKind::WouldBlock => "none".to_owned(),
        other => format!("{other:?}"),
    }
}
