//! Names of functions for texts: demangled, printable and short, whatever a guest calls its functions.
//!
//! A mangled name of 270 bytes can stand for gigabytes: each back reference may double what it names. So demanglers write
//! through [`Text`], which ends them once the text is full, and no long name reaches them at all.

use super::cpp_name;
use std::fmt::{self, Write};

/// Bytes of a name that a text shows.
const SHOWN: usize = 256;

/// Longer symbols are shown as they are: demanglers recurse, and take time that grows faster than the name.
const SYMBOL: usize = 512;

/// The name as a person wrote it, where it can be told; at most 256 bytes of it.
pub fn demangle(symbol: &str) -> String {
    let text = match symbol.len() <= SYMBOL {
        true => rust(symbol).or_else(|| cpp(symbol)),
        false => None,
    };
    text.unwrap_or_else(|| printable(symbol))
}

/// The text as it is, without what would steer a terminal; at most 256 bytes of it.
pub fn printable(text: &str) -> String {
    let mut shown = Text::default();
    let _ = shown.write_str(text);
    shown.finish()
}

/// The text, cut where it is longer than names may be.
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

/// A text that takes so many bytes and so many writes, then no more: its writer is told to stop.
#[derive(Default)]
struct Text {
    text: String,
    writes: usize,
    full: bool,
}

/// Writes that a name may take: empty ones would never fill the text.
const WRITES: usize = 4096;

impl Text {
    fn finish(mut self) -> String {
        if self.full {
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

/// Whether a terminal or a browser takes the character as an order: controls, new lines and changes of direction.
///
/// The same characters as in `Wasmex.Printable`.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
