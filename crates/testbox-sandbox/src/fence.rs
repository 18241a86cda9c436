//! Whether a box can be fenced on a host that makes no namespaces, and what is to be told of it.

use testbox_model::SetupStep;

use crate::{SandboxError, landlock};

/// What stands in place of namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The version of Landlock's interface.
    pub landlock: i64,
    /// What was refused, and how.
    pub because: String,
}

impl Fence {
    /// The fence in place of namespaces that were refused, if it is `allowed` and there is Landlock.
    pub(crate) fn in_place_of_namespaces(refused: SandboxError, allowed: bool) -> Result<Self, SandboxError> {
        Self::with(landlock::fencing_version(), refused, allowed)
    }

    fn with(version: Option<i64>, refused: SandboxError, allowed: bool) -> Result<Self, SandboxError> {
        if !is_refusal(&refused) {
            return Err(refused);
        }
        match (version, allowed) {
            (Some(landlock), true) => Ok(Self { landlock, because: refused.to_string() }),
            (Some(_), false) => Err(SandboxError::NoNamespaces { refused: Box::new(refused) }),
            (None, true) => {
                let found = landlock::landlock_version().map_or("none".to_owned(), |number| format!("ABI {number}"));
                Err(SandboxError::NoFence { found, refused: Box::new(refused) })
            }
            (None, false) => Err(refused),
        }
    }

    /// Does it keep the box from signals to others? Else it can end any process of its user.
    pub fn scopes_signals(&self) -> bool {
        self.landlock >= landlock::FIRST_WITH_SCOPES
    }
}

/// The kernel makes no such namespaces; anything else that went wrong is not made better by doing without.
fn is_refusal(error: &SandboxError) -> bool {
    let SandboxError::Setup { step: SetupStep::Namespaces, errno, .. } = error else { return false };
    matches!(*errno, libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS | libc::EINVAL | libc::ENOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32) -> SandboxError {
        let detail = "create a user namespace".to_owned();
        SandboxError::Setup { step: SetupStep::Namespaces, errno, detail }
    }

    #[test]
    fn it_takes_the_users_word_a_refusal_and_landlock() {
        let fence = Fence::with(Some(7), refused(libc::EPERM), true).unwrap();
        assert_eq!(fence.landlock, 7);
        assert!(fence.because.contains("create a user namespace: Operation not permitted"), "{}", fence.because);
        let hint = Fence::with(Some(7), refused(libc::ENOSPC), false).unwrap_err().hint().unwrap();
        assert!(hint.contains("max_user_namespaces") && hint.contains("`--allow-degraded namespaces`"), "{hint}");
        let hint = Fence::with(None, refused(libc::ENOSPC), false).unwrap_err().hint().unwrap();
        assert!(!hint.contains("--allow-degraded"), "{hint}");
        let error = Fence::with(None, refused(libc::EPERM), true).unwrap_err();
        assert!(error.to_string().contains("it needs Landlock"), "{error}");
    }

    #[test]
    fn other_troubles_stay_what_they_are() {
        let error = Fence::with(Some(7), refused(libc::ENOMEM), true).unwrap_err();
        assert!(matches!(error, SandboxError::Setup { errno: libc::ENOMEM, .. }), "{error:?}");
    }
}
