//! What runs in the guest, and as whom.

use clap::ValueEnum;
use serde::Serialize;

use crate::program::quoted;

/// The users of the guest (`images/guest/setup.sh`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum User {
    /// Root, in a login session
    Root,
    /// An ordinary user in a login session, with a `systemd --user`
    Tester,
    /// An ordinary user without login session, subordinate ids and `systemd --user`
    Plain,
    /// The user of an unprivileged container that `tester` made: no systemd, no cgroup to write to
    Container,
}

/// Makes the rest of a container around its first process.
const CONTAIN: &str = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp && \
    mount -t cgroup2 -o ro cgroup2 /sys/fs/cgroup && setpriv --ambient-caps=-all --inh-caps=-all sh -c \"$1\"; exit";

/// A command line of the guest; its working folder is the user's home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Job(Vec<String>);

impl Job {
    /// This command as this user, with the environment of a fresh login.
    pub(crate) fn new(user: User, command: &[String]) -> Self {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let script = format!("exec {}", words.join(" "));
        Self(match user {
            User::Root => login("root", script),
            User::Tester => login("tester", script),
            User::Plain => bare("plain", script),
            User::Container => login("tester", contained(&script)),
        })
    }
}

/// Through PAM, which opens a session.
fn login(user: &str, script: String) -> Vec<String> {
    ["runuser", "--login", user, "--command", &script].map(str::to_owned).to_vec()
}

/// A container as rootless engines make it when they keep the caller's user; with the network of the host.
fn contained(script: &str) -> String {
    let namespaces = "--user --map-user=1000 --map-group=1000 --keep-caps --mount --mount-proc --pid --fork --kill-child --ipc --cgroup";
    format!("exec unshare {namespaces} sh -c {} sh {}", quoted(CONTAIN), quoted(script))
}

/// As cron does it on a machine without systemd.
fn bare(user: &str, script: String) -> Vec<String> {
    let (uid, gid, cd) = (format!("--reuid={user}"), format!("--regid={user}"), format!("cd; {script}"));
    ["setpriv", &uid, &gid, "--init-groups", "--reset-env", "sh", "-c", &cd].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_guest_as_they_are() {
        let job = |user| Job::new(user, &["printf".to_owned(), "%s\n".to_owned(), "a b".to_owned()]).0;
        assert_eq!(job(User::Tester).last().unwrap(), "exec printf '%s\n' 'a b'");
        assert_eq!(job(User::Plain).last().unwrap(), "cd; exec printf '%s\n' 'a b'");
    }
}
