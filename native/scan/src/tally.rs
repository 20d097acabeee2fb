//! Counts compared with the limits.

use crate::{Limit, Limits, Refusal};

/// Totals for the whole file, over all modules of a component.
pub struct Tally<'a> {
    limits: &'a Limits,
    sums: [u64; Limit::ALL.len()],
}

impl<'a> Tally<'a> {
    /// Starts from zero with these limits.
    pub fn new(limits: &'a Limits) -> Self {
        let sums = [0; Limit::ALL.len()];
        Tally { limits, sums }
    }

    /// Whether debug information must be scanned.
    pub fn reads_debug(&self) -> bool {
        self.limits.reads_debug()
    }

    /// Adds to a total.
    pub fn add(&mut self, limit: Limit, more: u64, offset: usize) -> Result<(), Refusal> {
        let Some(sum) = self.sums.get_mut(limit as usize) else {
            return Ok(());
        };
        *sum = sum.saturating_add(more);
        let value = *sum;
        self.check(limit, value, offset)
    }

    /// Checks a single value against its limit.
    pub fn check(&self, limit: Limit, value: u64, offset: usize) -> Result<(), Refusal> {
        let most = self.limits.get(limit);
        match value <= most {
            true => Ok(()),
            false => Err(Refusal::Exceeded {
                limit,
                value,
                most,
                offset,
            }),
        }
    }
}
