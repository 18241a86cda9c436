//! Errors: what testbox could not do, why, and the exact fix.

use testbox_model::Fault;

use super::Style;
use super::paint::{Ink, paint};
use crate::harmless::one_line;

pub(super) fn text(fault: &Fault, style: Style) -> String {
    let mut text = format!("{}: {}\n", paint("error", Ink::Bad, style), one_line(&fault.message));
    text.extend(fault.causes.iter().map(|cause| format!("  Caused by: {}\n", one_line(cause))));
    text.extend(fault.hint.iter().map(|hint| format!("{}: {}\n", paint("hint", Ink::Hint, style), one_line(hint))));
    text
}
