//! Comments of texts.

/// Length of a comment up to the end of its line.
pub fn line(rest: &[u8]) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.unwrap_or(rest.len())
}

/// Length of a block comment, which may contain others.
pub fn comment(rest: &[u8], open: &[u8; 2], close: &[u8; 2]) -> usize {
    let mut depth: usize = 0;
    let mut skip = false;
    for (at, pair) in rest.windows(2).enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        if pair == open {
            depth = depth.saturating_add(1);
        } else if pair == close {
            depth = depth.saturating_sub(1);
        } else {
            continue;
        }
        skip = true;
        if depth == 0 {
            return at.saturating_add(2);
        }
    }
    rest.len()
}
