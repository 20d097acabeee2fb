//! What has been counted so far, against the limits.

use crate::{Limit, Limits, Refusal};

/// Sums over the whole file, the modules of a component taken together.
pub struct Tally<'a> {
    limits: &'a Limits,
    sums: [u64; Limit::ALL.len()],
}

impl<'a> Tally<'a> {
    /// Counts from zero, with these limits.
    pub fn new(limits: &'a Limits) -> Self {
        let sums = [0; Limit::ALL.len()];
        Tally { limits, sums }
    }

    /// So many more of what is counted for the whole file.
    pub fn add(&mut self, limit: Limit, more: u64, offset: usize) -> Result<(), Refusal> {
        let Some(sum) = self.sums.get_mut(limit as usize) else {
            return Ok(());
        };
        *sum = sum.saturating_add(more);
        let value = *sum;
        self.check(limit, value, offset)
    }

    /// One value that has a limit of its own.
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
