//! What a test needs of the machine, probed once by doing. A test that lacks it is ignored with a reason, or fails if
//! `TESTBOX_TEST_MUST` (a list of names) says that the machine must have it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

use libtest_mimic::{Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A user that runs no tests.
pub(crate) const OTHER_USER: u32 = 735_799;

/// An ability of the machine and of who runs the tests.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requirement {
    /// Mount file systems that nobody else sees.
    PrivateMounts,
    /// Start a process as another user.
    OtherUser,
}

/// The test, if the requirement is met.
pub(crate) fn trial(name: &str, need: Requirement, test: fn() -> Result<(), Failed>) -> Trial {
    match need.missing() {
        None => Trial::test(name, test),
        Some(reason) if must("root") => {
            let text = format!("{need:?} must be possible here (TESTBOX_TEST_MUST) but is not: {reason}");
            Trial::test(name, move || Err(text.into()))
        }
        Some(reason) => {
            println!("skipped: {name}: lacks {need:?}: {reason}");
            Trial::test(name, test).with_ignored_flag(true)
        }
    }
}

/// Runs `act` in a thread that has its mounts for itself; they end with the thread.
pub(crate) fn with_private_mounts<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> nix::Result<T> {
    let private = move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
        Ok(act())
    };
    thread::spawn(private).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Requirement {
    fn missing(self) -> Option<&'static str> {
        static PRIVATE_MOUNTS: LazyLock<Option<String>> =
            LazyLock::new(|| with_private_mounts(|| ()).err().map(|errno| errno.to_string()));
        static OTHER: LazyLock<Option<String>> = LazyLock::new(|| {
            #[expect(clippy::disallowed_methods, reason = "the test looks whether it may do this")]
            let mut command = Command::new("/bin/true");
            command.uid(OTHER_USER).status().err().map(|error| error.to_string())
        });
        match self {
            Self::PrivateMounts => PRIVATE_MOUNTS.as_deref(),
            Self::OtherUser => OTHER.as_deref(),
        }
    }
}

fn must(name: &str) -> bool {
    std::env::var("TESTBOX_TEST_MUST").is_ok_and(|list| list.split(',').any(|item| item.trim() == name))
}
