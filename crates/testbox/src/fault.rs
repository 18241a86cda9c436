//! Errors of all rooms as faults: message, causes and hint, told once, at the top.

use std::error::Error;

use testbox_model::{ExitCode, Fault};

/// What a subcommand ends with: the exit code, or what testbox could not do.
pub(crate) type Outcome = Result<u8, Box<Fault>>;

/// An error that may know the exact fix.
pub(crate) trait Explained: Error + Sized {
    /// The exact fix.
    fn fix(&self) -> Option<String>;

    /// How testbox exits for it.
    fn exit_code(&self) -> ExitCode {
        ExitCode::Fault
    }
}

macro_rules! explained {
    ($($error:ty),+ $(,)?) => {
        $(impl Explained for $error {
            fn fix(&self) -> Option<String> {
                self.hint()
            }
        })+
    };
}

explained!(
    testbox_bundle::BundleError,
    testbox_cgroup::CgroupError,
    testbox_config::ConfigError,
    testbox_report::ReportError,
    testbox_supervisor::SupervisorError,
);

impl Explained for testbox_sandbox::SandboxError {
    fn fix(&self) -> Option<String> {
        self.hint()
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted => ExitCode::Interrupted,
            _ => ExitCode::Fault,
        }
    }
}

/// Turns the error of a result into a fault.
pub(crate) trait OrFault<T> {
    /// The value, or the fault with the error's causes and hint.
    fn or_fault(self) -> Result<T, Box<Fault>>;
}

impl<T, E: Explained> OrFault<T> for Result<T, E> {
    fn or_fault(self) -> Result<T, Box<Fault>> {
        self.map_err(|error| Box::new(Fault { exit_code: error.exit_code(), ..*of(&error, error.fix()) }))
    }
}

/// The error and its chain of causes.
pub(crate) fn of(error: &dyn Error, hint: Option<String>) -> Box<Fault> {
    Box::new(Fault::new(error, hint))
}

/// A fault without causes.
pub(crate) fn plain(message: impl Into<String>, hint: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { message: message.into(), causes: Vec::new(), hint: Some(hint.into()), exit_code: ExitCode::Fault })
}
