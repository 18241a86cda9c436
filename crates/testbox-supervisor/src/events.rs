//! Where events and warnings go: to the caller's sink, as text between the output, and into the outcome.

use testbox_model::RunEvent;

use crate::inputs::Notice;

/// Warnings kept at most.
const WARNINGS: usize = 64;

pub(crate) struct Events<'a, 's> {
    sink: &'s mut dyn FnMut(&RunEvent),
    notice: Option<Notice<'a>>,
    pending: String,
    warnings: Vec<String>,
}

impl<'a, 's> Events<'a, 's> {
    pub(crate) fn new(sink: &'s mut dyn FnMut(&RunEvent), notice: Option<Notice<'a>>) -> Self {
        Self { sink, notice, pending: String::new(), warnings: Vec::new() }
    }

    pub(crate) fn emit(&mut self, event: &RunEvent) {
        (self.sink)(event);
        if let Some(text) = self.notice.as_mut().and_then(|notice| notice(event)) {
            self.pending.push_str(&text);
        }
    }

    /// Tells a warning, unless it was told or there were too many.
    pub(crate) fn warn(&mut self, text: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&text) {
            self.warnings.push(text.clone());
            self.emit(&RunEvent::Warning { text });
        }
    }

    /// Text for the user that waits to be queued.
    pub(crate) fn take_notices(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }

    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}
