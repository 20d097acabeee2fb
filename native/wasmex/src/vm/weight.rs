//! The size of terms, up to a limit: copying a large one holds a scheduler.

use crate::vm::error::kind_of;
use crate::vm::layout;
use crate::vm::term_box::TermBox;
use crate::vm::terms;
use rustler::sys::enif_get_map_size;
use rustler::{Binary, Encoder, ListIterator, MapIterator, Term, TermType};
use smallvec::SmallVec;

/// Words that may be copied on a normal scheduler, which takes less than a millisecond.
pub const MOST: u64 = 16 * 1024;

/// Words of a binary's handle, or of a binary that is short enough to be copied.
const BINARY: u64 = 10;
/// Of a reference, a pid or a port.
const IDENTIFIER: u64 = 6;
/// Bytes of a binary that are copied in the time of a word of other terms.
const COPIED: u64 = 16;
/// Of an integer that fits 64 bits and is not small, or of a float.
const NUMBER: u64 = 3;
/// The bits of a 64-bit integer that a small one does not have.
const TAG: u32 = 68 - usize::BITS;

/// Whether a term may be copied on a normal scheduler.
pub fn is_small(term: Term) -> bool {
    of(term, MOST).is_some()
}

/// An upper bound of the words of a term; `None` if it has more than `most`, or if that cannot be known: a function may
/// hold a term of any size.
pub fn of(term: Term, most: u64) -> Option<u64> {
    if term.is_atom() || layout::small(term).is_some() {
        return Some(0);
    }
    walk(term, most, Budget::new(most))
}

/// The same if the bytes of binaries are copied, too.
pub fn of_copied(term: Term, most: u64) -> Option<u64> {
    if term.is_atom() || layout::small(term).is_some() {
        return Some(0);
    }
    let each_byte = true;
    walk(
        term,
        most,
        Budget {
            each_byte,
            ..Budget::new(most)
        },
    )
}

/// Whether a term may be copied on a normal scheduler with the bytes of its binaries, without what functions hold.
pub fn is_light(term: Term) -> bool {
    let budget = Budget {
        each_byte: true,
        opaque: Some(OPAQUE),
        ..Budget::new(MOST)
    };
    measured(term, budget).is_some()
}

/// The same, and the bytes of its binaries, which are shared and not copied.
pub fn of_all(term: Term, most: u64) -> Option<(u64, u64)> {
    let mut budget = Budget::new(most);
    budget.bytes = Some(0);
    measured(term, budget)
}

/// The same, without what functions and very large integers hold.
pub fn of_all_visible(term: Term, most: u64) -> Option<(u64, u64)> {
    let mut budget = Budget::new(most);
    budget.bytes = Some(0);
    budget.opaque = Some(OPAQUE);
    measured(term, budget)
}

fn measured(term: Term, mut budget: Budget) -> Option<(u64, u64)> {
    if term.is_atom() || layout::small(term).is_some() {
        return Some((0, 0));
    }
    let most = budget.left;
    spend(term, &mut budget)?;
    Some((most - budget.left, budget.bytes.unwrap_or(0)))
}

/// Whether what functions hold, without what functions in it hold, is too large to be copied on a normal scheduler.
#[rustler::nif]
fn term_is_large(term: Term) -> bool {
    of_visible(term, MOST).is_none()
}

/// The same, without what functions and very large integers hold.
pub fn of_visible(term: Term, most: u64) -> Option<u64> {
    let opaque = Some(OPAQUE);
    walk(
        term,
        most,
        Budget {
            opaque,
            ..Budget::new(most)
        },
    )
}

/// The least words of a function.
const OPAQUE: u64 = 10;

fn walk(term: Term, most: u64, mut budget: Budget) -> Option<u64> {
    spend(term, &mut budget)?;
    Some(most - budget.left)
}

fn spend(term: Term, budget: &mut Budget) -> Option<()> {
    let mut open = Open::new();
    open.push(term);
    while let Some(term) = open.pop() {
        budget.add(term, &mut open)?;
    }
    Some(())
}

/// Terms whose contents are not counted yet.
type Open<'a> = SmallVec<[Term<'a>; 8]>;

struct Budget {
    left: u64,
    /// What terms of an unknown size count as.
    opaque: Option<u64>,
    /// Whether the bytes of binaries count.
    each_byte: bool,
    /// The bytes of all binaries so far, if they are wanted.
    bytes: Option<u64>,
}

impl Budget {
    fn new(left: u64) -> Self {
        Budget {
            left,
            opaque: None,
            each_byte: false,
            bytes: None,
        }
    }

    fn take(&mut self, words: u64) -> Option<()> {
        self.left = self.left.checked_sub(words)?;
        Some(())
    }

    /// Counts a term without those in it, which are pushed.
    fn add<'a>(&mut self, term: Term<'a>, open: &mut Open<'a>) -> Option<()> {
        match term.get_type() {
            TermType::Atom => Some(()),
            TermType::Integer => {
                let words = match term.decode::<i64>() {
                    // Small integers are part of the word that refers to them.
                    Ok(small) if small << TAG >> TAG == small => 0,
                    Ok(_) => NUMBER,
                    Err(_) if term.decode::<u64>().is_ok() => NUMBER,
                    Err(_) => self.opaque?,
                };
                self.take(words)
            }
            TermType::Float => self.take(NUMBER),
            TermType::Binary => self.binary(term),
            TermType::Pid | TermType::Port | TermType::Ref => self.take(IDENTIFIER),
            TermType::List => self.list(term, open),
            TermType::Tuple => self.tuple(term, open),
            TermType::Map => self.map(term, open),
            TermType::Fun | TermType::Unknown => self.take(self.opaque?),
        }
    }

    fn binary(&mut self, term: Term) -> Option<()> {
        let copied = if self.each_byte {
            size(term) / COPIED
        } else {
            0
        };
        if let Some(bytes) = &mut self.bytes {
            *bytes = bytes.saturating_add(size(term));
        }
        self.take(BINARY + copied)
    }

    fn list<'a>(&mut self, list: Term<'a>, open: &mut Open<'a>) -> Option<()> {
        let mut rest = list;
        while let Ok((head, tail)) = rest.list_get_cell() {
            self.take(2)?;
            if layout::small(head).is_none() && !head.is_atom() {
                open.push(head);
            }
            rest = tail;
        }
        // The tail of an improper list.
        if !rest.is_list() {
            open.push(rest);
        }
        Some(())
    }

    fn tuple<'a>(&mut self, term: Term<'a>, open: &mut Open<'a>) -> Option<()> {
        let env = term.get_env();
        let items = terms::elements(term)?;
        self.take(items.len() as u64 + 1)?;
        // SAFETY: terms of the same environment as their tuple.
        open.extend(items.iter().map(|item| unsafe { Term::new(env, *item) }));
        Some(())
    }

    fn map<'a>(&mut self, term: Term<'a>, open: &mut Open<'a>) -> Option<()> {
        let mut size = 0;
        // SAFETY: a term of this environment, which is a map.
        unsafe { enif_get_map_size(term.get_env().as_c_arg(), term.as_c_arg(), &mut size) };
        // A large map has inner nodes, too.
        self.take((size as u64).saturating_mul(3).saturating_add(5))?;
        for (key, value) in MapIterator::new(term)? {
            open.push(key);
            open.push(value);
        }
        Some(())
    }
}

fn size(binary: Term) -> u64 {
    binary.decode::<Binary>().map_or(0, |bytes| bytes.len()) as u64
}

/// Items shown of a list that is too large.
const SHOWN: usize = 60;

/// A copy of the term, or of a part of it that is small enough to be shown in an error.
pub fn shown(term: Term) -> TermBox {
    if is_small(term) {
        return TermBox::new(term);
    }
    let env = term.get_env();
    let items = term.decode::<ListIterator>().into_iter().flatten();
    let small = items
        .take(SHOWN)
        .take_while(|item| of(*item, MOST / 64).is_some());
    let small: Vec<Term> = small.collect();
    TermBox::new(match small.is_empty() {
        true => kind_of(term).encode(env),
        false => small.encode(env),
    })
}
