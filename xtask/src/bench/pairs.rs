//! Paired, interleaved runs: what disturbs the machine disturbs both sides of a ratio.

use std::time::Duration;

use crate::error::Error;

/// Wall times of several programs, one row a round.
pub(crate) struct Rounds {
    rows: Vec<Vec<f64>>,
}

/// The middle of a ratio's distribution.
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// First and third quartile.
    pub(crate) middle_half: (f64, f64),
}

/// One of the programs that are compared: each call is one run.
pub(crate) type Run<'a> = Box<dyn Fn() -> Result<Duration, Error> + 'a>;

impl Rounds {
    /// One warm-up, then `rounds` rounds in which each program runs once; who begins changes from round to round.
    pub(crate) fn run(programs: &[Run<'_>], rounds: usize) -> Result<Self, Error> {
        for program in programs {
            program()?;
        }
        let mut rows = vec![];
        for round in 0..rounds {
            let mut row = vec![0.0; programs.len()];
            for step in 0..programs.len() {
                let index = (round + step) % programs.len();
                row[index] = programs[index]()?.as_secs_f64() * 1e3;
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// Median wall time of a program, in milliseconds.
    pub(crate) fn median_ms(&self, program: usize) -> f64 {
        quantile(self.rows.iter().map(|row| row[program]), 0.5)
    }

    /// How many times the wall time of `of` the program `program` takes.
    pub(crate) fn ratio(&self, program: usize, of: usize) -> Ratio {
        let ratios = || self.rows.iter().map(|row| row[program] / row[of]);
        Ratio { median: quantile(ratios(), 0.5), middle_half: (quantile(ratios(), 0.25), quantile(ratios(), 0.75)) }
    }

    /// `name 5.40 ms` of each program, the middle half of the ratio, and the number of rounds.
    pub(crate) fn detail(&self, names: &[&str], ratio: &Ratio) -> String {
        let times = names.iter().enumerate().map(|(index, name)| format!("{name} {:.2} ms", self.median_ms(index)));
        let (low, high) = ratio.middle_half;
        let times = times.collect::<Vec<_>>().join(", ");
        format!("medians: {times}; middle half of the ratio {low:.3} to {high:.3}; {} rounds", self.rows.len())
    }
}

/// By linear interpolation between neighbours.
fn quantile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = last as f64 * q;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (position - low as f64)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_ratio_is_that_of_pairs_and_not_of_medians() {
        let rounds = Rounds { rows: vec![vec![2.0, 1.0], vec![20.0, 10.0], vec![9.0, 3.0]] };
        let ratio = rounds.ratio(0, 1);
        assert_eq!((ratio.median, ratio.middle_half), (2.0, (2.0, 2.5)));
        assert_eq!(rounds.median_ms(0), 9.0);
        assert!(rounds.detail(&["a", "b"], &ratio).starts_with("medians: a 9.00 ms, b 3.00 ms; middle half"));
    }

    #[test]
    fn rounds_are_interleaved_and_who_begins_changes() {
        let order = RefCell::new(String::new());
        let record = |name| {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(Duration::from_millis(1))
            }) as Run<'_>
        };
        Rounds::run(&[record('a'), record('b')], 3).unwrap();
        let rounds = ["ab", "ba", "ab"].concat();
        assert_eq!(*order.borrow(), format!("ab{rounds}"));
    }
}
