//! The output limit: counts both streams together. Pure.

use testbox_model::Bytes;

pub(super) struct Budget {
    limit: u64,
    seen: u64,
}

/// How much of a piece may be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) bytes: usize,
    /// This piece passed the limit, and none before it did.
    pub(super) passed_now: bool,
}

impl Budget {
    pub(super) fn new(limit: Bytes) -> Self {
        Self { limit: limit.0, seen: 0 }
    }

    pub(super) fn admit(&mut self, length: usize) -> Admitted {
        let left = self.limit.saturating_sub(self.seen);
        let passed_before = self.passed();
        self.seen = self.seen.saturating_add(length as u64);
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        Admitted { bytes, passed_now: self.passed() && !passed_before }
    }

    pub(super) fn passed(&self) -> bool {
        self.seen > self.limit
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn limit(&self) -> Bytes {
        Bytes(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_limit_is_passed_on_and_no_byte_more() {
        let mut budget = Budget::new(Bytes(10));
        assert_eq!(budget.admit(8), Admitted { bytes: 8, passed_now: false });
        assert_eq!(budget.admit(2), Admitted { bytes: 2, passed_now: false });
        assert!(!budget.passed());
        assert_eq!(budget.admit(5), Admitted { bytes: 0, passed_now: true });
        assert_eq!(budget.admit(5), Admitted { bytes: 0, passed_now: false });
        assert_eq!(budget.seen(), 20);
    }
}
