//! A sorted list of lengths.

/// Lengths in ascending order; of an empty list every number is 0.
pub(crate) struct Lengths(Vec<usize>);

impl Lengths {
    pub(crate) fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut sorted: Vec<usize> = lengths.collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn sum(&self) -> usize {
        self.0.iter().sum()
    }

    pub(crate) fn max(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }

    pub(crate) fn median(&self) -> usize {
        self.percentile(50)
    }

    /// The smallest length that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> usize {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_nearest_rank_method() {
        let lengths = Lengths::new((1..=10).rev());
        assert_eq!((lengths.median(), lengths.percentile(90), lengths.max(), lengths.sum()), (5, 9, 10, 55));
        assert_eq!(Lengths::new(std::iter::empty()).median(), 0);
    }
}
