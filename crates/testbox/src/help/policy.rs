//! `testbox help policy`: a policy is its own documentation.

pub(super) fn text(name: &str) -> Option<String> {
    testbox_config::policy_text(name).map(str::to_owned)
}
