//! `timeout`, `idle-timeout`, `grace`: how long a run may take, be idle, and resist its end.

use testbox_model::{Duration, Times};

use super::strength;
use crate::place::{Given, given};
use crate::{ConfigError, Layer};

pub(crate) fn resolve(layer: &Layer) -> Result<Times, ConfigError> {
    let timeout = given("timeout", &layer.timeout)?;
    let idle = given("idle-timeout", &layer.idle_timeout)?;
    let grace = given("grace", &layer.grace)?;
    if let Some(span) = idle.value().0 {
        within(&timeout, &idle, span, "the run would end before it could be idle for so long")?;
    }
    within(&timeout, &grace, *grace.value(), "the way out would take longer than the run")?;
    Ok(Times {
        timeout: timeout.resolved(*timeout.value()),
        idle_timeout: idle.resolved(idle.value().0),
        grace: grace.resolved(*grace.value()),
    })
}

/// Refuses a `span` longer than the timeout, unless it is only a weaker source's: a short `--timeout` on the command
/// line need not repeat what the policy says.
pub(super) fn within<T>(
    timeout: &Given<'_, Duration>,
    given: &Given<'_, T>,
    span: Duration,
    why: &'static str,
) -> Result<(), ConfigError> {
    let weaker = strength(&given.setting.origin) < strength(&timeout.setting.origin);
    if weaker || span <= *timeout.value() {
        return Ok(());
    }
    Err(ConfigError::Contradiction {
        first: given.with_value(),
        second: timeout.with_value(),
        why,
        fix: format!("give `{}` at most the {} of `timeout`, or raise that", given.key, timeout.value()),
    })
}
