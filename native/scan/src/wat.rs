//! WAT. Its parser needs some hundred bytes for the smallest item, and looks for each label from the innermost block.

use crate::tally::Tally;
use crate::text::{comment, line};
use crate::{Limit, Refusal};

/// About the bytes that the parser needs for a parenthesis, with what it opens, and for a word.
const ITEM: u64 = 300;
const WORD: u64 = 100;

/// Scans a text.
pub fn scan(text: &[u8], tally: &Tally) -> Result<(), Refusal> {
    let mut counts = Counts::default();
    let mut at: usize = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let size = match rest {
            [b';', b';', ..] => line(rest),
            [b'(', b';', ..] => comment(rest, b"(;", b";)"),
            [b'"', ..] => string(rest),
            [b'(', ..] => counts.open(),
            [b')', ..] => counts.close(),
            [byte, ..] if is_word(*byte) => counts.word(rest),
            _ => 1,
        };
        at = at.saturating_add(size);
        tally.check(Limit::TextWork, counts.work, at)?;
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    work: u64,
    /// Open parentheses, and blocks that an `end` closes.
    parentheses: u64,
    blocks: u64,
    /// Whether the last token was an opening parenthesis.
    opened: bool,
}

impl Counts {
    fn open(&mut self) -> usize {
        self.parentheses = self.parentheses.saturating_add(1);
        self.work = self.work.saturating_add(ITEM);
        self.opened = true;
        1
    }

    fn close(&mut self) -> usize {
        self.parentheses = self.parentheses.saturating_sub(1);
        self.opened = false;
        1
    }

    /// Counts a word and returns its length.
    fn word(&mut self, rest: &[u8]) -> usize {
        let end = rest.iter().position(|byte| !is_word(*byte));
        let size = end.unwrap_or(rest.len());
        let opened = std::mem::take(&mut self.opened);
        let depth = self.parentheses.saturating_add(self.blocks);
        let more = match rest.get(..size).unwrap_or(&[]) {
            b"block" | b"loop" | b"if" | b"try" | b"try_table" if !opened => {
                self.blocks = self.blocks.saturating_add(1);
                WORD
            }
            b"end" => {
                self.blocks = self.blocks.saturating_sub(1);
                WORD
            }
            // It may be a label.
            [b'$', ..] => WORD.saturating_add(depth),
            _ => WORD,
        };
        self.work = self.work.saturating_add(more);
        size
    }
}

fn is_word(byte: u8) -> bool {
    !matches!(
        byte,
        b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b'"' | b';'
    )
}

/// Length of a string with its quotes.
fn string(rest: &[u8]) -> usize {
    let mut escaped = true;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    rest.len()
}
