//! Function names for texts: demangled, printable and short, whatever the guest calls its functions.
//!
//! A mangled name of 270 bytes can expand to gigabytes: each back reference may double what it refers to. So demanglers
//! write through [`Text`], which stops them once it is full, and long names are never demangled.

use super::cpp_name;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Bytes of a name that a text shows.
const SHOWN: usize = 256;

/// Longer symbols are shown unchanged: demanglers recurse, and take time that grows faster than the name.
const SYMBOL: usize = 512;

/// The name as written in the source, if it can be demangled; at most 256 bytes.
pub fn demangle(symbol: &str) -> String {
    source_name(symbol).unwrap_or_else(|| printable(symbol))
}

/// As [`demangle`], but a name that is not mangled is truncated and otherwise unchanged: it may be used as a key.
pub fn demangle_raw(symbol: &str) -> Cow<'_, str> {
    source_name(symbol).map_or_else(|| cut(symbol).into(), Cow::from)
}

fn source_name(symbol: &str) -> Option<String> {
    match symbol.len() <= SYMBOL {
        true => rust(symbol).or_else(|| cpp(symbol)),
        false => None,
    }
}

/// The text without characters that control a terminal; at most 256 bytes.
pub fn printable(text: &str) -> String {
    let mut shown = Text::default();
    let _ = shown.write_str(text);
    shown.finish()
}

/// The text, truncated to the length of a name.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}

fn rust(symbol: &str) -> Option<String> {
    let demangled = rustc_demangle::try_demangle(symbol).ok()?;
    let mut text = Text::default();
    match write!(text, "{demangled:#}") {
        Err(_) if !text.full => None,
        _ => Some(text.finish()),
    }
}

fn cpp(symbol: &str) -> Option<String> {
    let mut text = Text::default();
    match cpp_name::write(symbol, &mut text) {
        Ok(true) => Some(text.finish()),
        Err(_) if text.full => Some(text.finish()),
        _ => None,
    }
}

/// A buffer limited to this many bytes and writes; then it stops its writer.
#[derive(Default)]
struct Text {
    text: String,
    writes: usize,
    full: bool,
}

/// Limits the number of writes too: empty ones would never fill the text.
const WRITES: usize = 4096;

impl Text {
    fn finish(mut self) -> String {
        if self.full {
            let end = self.text.floor_char_boundary(SHOWN - '…'.len_utf8());
            self.text.truncate(end);
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.writes += 1;
        self.full |= self.writes > WRITES;
        for char in more.chars() {
            self.full |= self.text.len() + char.len_utf8() > SHOWN;
            if self.full {
                return Err(fmt::Error);
            }
            match steers(char) {
                true => write!(self.text, "{}", char.escape_unicode())?,
                false => self.text.push(char),
            }
        }
        match self.full {
            true => Err(fmt::Error),
            false => Ok(()),
        }
    }
}

/// Whether a terminal or a browser would act on the character: controls, line breaks and changes of direction.
///
/// The same characters as in `Wasmex.Printable`.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
