//! WIT. Its parser recurses as deep as brackets nest.

use crate::tally::Tally;
use crate::{Limit, Refusal};

/// Scans the text of a WIT file.
pub fn scan(text: &[u8], tally: &Tally) -> Result<(), Refusal> {
    let mut depth: u64 = 0;
    let mut at: usize = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let size = match rest {
            [b'/', b'/', ..] => line(rest),
            [b'/', b'*', ..] => comment(rest),
            // The `>` of an arrow closes nothing.
            [b'-', b'>', ..] => 2,
            [b'(' | b'<' | b'{' | b'[', ..] => {
                depth = depth.saturating_add(1);
                tally.check(Limit::Nesting, depth, at)?;
                1
            }
            [b')' | b'>' | b'}' | b']', ..] => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
        at = at.saturating_add(size);
    }
    Ok(())
}

/// Length of a comment up to the end of its line.
fn line(rest: &[u8]) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.unwrap_or(rest.len())
}

/// Length of a block comment, which may contain others.
fn comment(rest: &[u8]) -> usize {
    let mut depth: usize = 0;
    let mut skip = false;
    for (at, pair) in rest.windows(2).enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        match pair {
            b"/*" => depth = depth.saturating_add(1),
            b"*/" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        skip = true;
        if depth == 0 {
            return at.saturating_add(2);
        }
    }
    rest.len()
}
