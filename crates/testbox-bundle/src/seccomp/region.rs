//! Sets of arguments: exact algebra on what the conditions of a rule match, so that filters can be combined and negated.

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp};

use super::policy::{Condition, Rule};

/// The values whose bits under `mask` are `bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cube {
    /// The bits that matter.
    pub(crate) mask: u64,
    /// What they must be; no bit outside of `mask`.
    pub(crate) bits: u64,
}

/// Calls whose arguments lie each in its own cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Region(pub(crate) [Cube; 6]);

impl Cube {
    const ANY: Self = Self { mask: 0, bits: 0 };

    fn and(self, other: Self) -> Option<Self> {
        let agree = self.mask & other.mask & (self.bits ^ other.bits) == 0;
        agree.then_some(Self { mask: self.mask | other.mask, bits: self.bits | other.bits })
    }

    /// What of `self` is not in `other`, as disjoint cubes: for each bit that only `other` fixes, from the highest
    /// on, the values that agree above it and differ in it.
    fn without(self, other: Self) -> Vec<Self> {
        if self.and(other).is_none() {
            return vec![self];
        }
        let mut fixed = self;
        let mut rest = Vec::new();
        for bit in bits_of(other.mask & !self.mask) {
            let agreeing = other.bits & bit;
            rest.push(Self { mask: fixed.mask | bit, bits: fixed.bits | (bit ^ agreeing) });
            fixed = Self { mask: fixed.mask | bit, bits: fixed.bits | agreeing };
        }
        rest
    }

    /// The values that a condition matches, as disjoint cubes.
    fn of(condition: &Condition) -> Vec<Self> {
        let width = match condition.width {
            SeccompCmpArgLen::Dword => u64::from(u32::MAX),
            SeccompCmpArgLen::Qword => u64::MAX,
        };
        let value = condition.value;
        let equal = Self { mask: width, bits: value };
        match condition.op {
            SeccompCmpOp::Eq => vec![equal],
            SeccompCmpOp::Ne => Self::ANY.without(equal),
            SeccompCmpOp::MaskedEq(mask) => vec![Self { mask, bits: value & mask }],
            SeccompCmpOp::Lt => differing_at(equal, value),
            SeccompCmpOp::Le => [differing_at(equal, value), vec![equal]].concat(),
            SeccompCmpOp::Gt => differing_at(equal, !value & width),
            SeccompCmpOp::Ge => [differing_at(equal, !value & width), vec![equal]].concat(),
        }
    }
}

impl Region {
    /// All calls.
    pub(crate) const ALL: Self = Self([Cube::ANY; 6]);

    /// The calls of both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let mut both = *self;
        for (cube, other) in both.0.iter_mut().zip(other.0) {
            *cube = cube.and(other)?;
        }
        Some(both)
    }

    /// What of `self` is not in `other`, as disjoint regions.
    pub(crate) fn without(&self, other: &Self) -> Vec<Self> {
        let Some(both) = self.and(other) else { return vec![*self] };
        let mut rest = Vec::new();
        let mut inside = *self;
        for index in 0..6 {
            for cube in self.0[index].without(other.0[index]) {
                let mut outside = inside;
                outside.0[index] = cube;
                rest.push(outside);
            }
            inside.0[index] = both.0[index];
        }
        rest
    }

    /// The calls that a rule matches, as disjoint regions.
    pub(crate) fn of(rule: &Rule) -> Vec<Self> {
        rule.conditions.iter().fold(vec![Self::ALL], |regions, condition| {
            let cubes = Cube::of(condition);
            let argument = |cube: &Cube| {
                let mut region = Self::ALL;
                region.0[usize::from(condition.index)] = *cube;
                region
            };
            let narrow =
                |region: &Self| cubes.iter().filter_map(|cube| region.and(&argument(cube))).collect::<Vec<_>>();
            regions.iter().flat_map(narrow).collect()
        })
    }
}

/// The values that agree with `equal` above one of the bits of `at` and differ in it.
fn differing_at(equal: Cube, at: u64) -> Vec<Cube> {
    let cube = |bit: u64| {
        let mask = equal.mask & !(bit - 1);
        Cube { mask, bits: (equal.bits ^ bit) & mask }
    };
    bits_of(at).map(cube).collect()
}

/// The bits that are set, from the highest to the lowest.
fn bits_of(value: u64) -> impl Iterator<Item = u64> {
    (0..64).rev().map(|shift| 1 << shift).filter(move |bit| value & bit != 0)
}
