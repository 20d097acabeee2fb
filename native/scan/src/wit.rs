//! WIT. Its parser recurses as deep as brackets nest, and repeats in each world what is included there.

use crate::tally::Tally;
use crate::text::{comment, line};
use crate::{Limit, Refusal};
use std::borrow::Cow;

/// The same text with spaces for comments without text, `/**/`: wit-parser panics on one before an item (0.254.2,
/// `Resolver::docs`).
pub fn without_empty_comments(text: &str) -> Cow<'_, str> {
    const EMPTY: &str = "/**/";
    if !text.contains(EMPTY) {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("/") {
        let (before, after) = rest.split_at(start);
        kept.push_str(before);
        let size = match after.as_bytes() {
            [b'/', b'/', ..] => line(after.as_bytes()),
            [b'/', b'*', ..] => comment(after.as_bytes(), b"/*", b"*/"),
            _ => 1,
        };
        // A comment ends with a character or with the text.
        let (comment, after) = after.split_at_checked(size).unwrap_or((after, ""));
        kept.push_str(if comment == EMPTY { "    " } else { comment });
        rest = after;
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Scans the text of a WIT file, which counts with those before it.
pub fn scan(text: &[u8], tally: &Tally, counts: &mut Counts) -> Result<(), Refusal> {
    let mut depth: u64 = 0;
    let mut at: usize = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let size = match rest {
            [b'/', b'/', ..] => line(rest),
            [b'/', b'*', ..] => comment(rest, b"/*", b"*/"),
            // The `>` of an arrow closes nothing.
            [b'-', b'>', ..] => 2,
            [b'(' | b'<' | b'{' | b'[', ..] => {
                depth = depth.saturating_add(1);
                tally.check(Limit::Nesting, depth, at)?;
                counts.statement(rest);
                1
            }
            [b')' | b'>' | b'}' | b']', ..] => {
                depth = depth.saturating_sub(1);
                1
            }
            [byte, ..] if is_name(*byte) => counts.name(rest),
            _ => {
                counts.statement(rest);
                1
            }
        };
        at = at.saturating_add(size);
        tally.check(Limit::TextWork, counts.work(), at)?;
    }
    Ok(())
}

/// What a statement or a name costs besides its text.
const EACH: u64 = 100;

/// What an interface costs. The parser recurses from one to another that it uses, and its stack is scarcer than memory: between
/// 50,000 and 100,000 of them need 64 MiB.
const INTERFACE: u64 = 50_000;

/// What it costs to compare a name that is included as another with an item.
const RENAME: u64 = 10;

/// What decides how much there is once each world has what it includes, and what its interfaces use.
#[derive(Default)]
pub struct Counts {
    interfaces: u64,
    names: u64,
    /// The longest name of a package, with its version, of an interface or of anything else: it may be repeated for each.
    longest: u64,
    statements: u64,
    /// Worlds and inclusions.
    worlds: u64,
    /// Names that become others.
    renames: u64,
}

impl Counts {
    fn statement(&mut self, rest: &[u8]) {
        let more = matches!(rest, [b';' | b'{', ..]);
        self.statements = self.statements.saturating_add(more.into());
    }

    /// Counts a name and returns its length.
    fn name(&mut self, rest: &[u8]) -> usize {
        let mut size: usize = 0;
        let mut word: usize = 0;
        while let Some([byte, next @ ..]) = rest.get(size..)
            && is_name(*byte)
            && !(*byte == b'/' && matches!(next, [b'/' | b'*', ..]))
        {
            size = size.saturating_add(1);
            let is_word = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'%');
            if !is_word || !next.first().is_some_and(|next| is_word_part(*next)) {
                let found = rest.get(word..size).unwrap_or(&[]);
                self.word(found);
                word = size;
            }
        }
        self.names = self.names.saturating_add(1);
        self.longest = self.longest.max(size as u64);
        size.max(1)
    }

    fn word(&mut self, word: &[u8]) {
        let counter = match word {
            b"world" | b"include" => &mut self.worlds,
            b"interface" => &mut self.interfaces,
            b"as" => &mut self.renames,
            _ => return,
        };
        *counter = counter.saturating_add(1);
    }

    fn work(&self) -> u64 {
        let repeated = self.worlds.saturating_mul(self.statements);
        let names = self.names.saturating_add(repeated);
        let compared = self.renames.saturating_mul(self.statements);
        let compared = compared.saturating_mul(RENAME);
        names
            .saturating_mul(EACH.saturating_add(self.longest))
            .saturating_add(self.interfaces.saturating_mul(INTERFACE))
            .saturating_add(compared)
    }
}

/// What names of packages, interfaces and items consist of: `wasi:io/streams@0.2.0-rc.1+x`.
fn is_name(byte: u8) -> bool {
    is_word_part(byte) || matches!(byte, b':' | b'/' | b'@' | b'.' | b'+' | b'_')
}

fn is_word_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'%')
}
