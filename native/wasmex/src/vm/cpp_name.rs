//! The name in a mangled C++ symbol: `space::foo` in `_ZN5space3fooEibc`.
//!
//! Parameters are omitted, and template arguments are shown as `<…>`: they can refer to each other, so a short symbol
//! can have an endless text, and known demanglers try alternatives that double with each level. This reads the symbol
//! once, front to back (Itanium C++ ABI, section 5.1).

use std::fmt;

/// Writes the name, and returns whether there is one. The writer may stop it.
pub fn write(symbol: &str, out: &mut impl fmt::Write) -> Result<bool, fmt::Error> {
    let mangled = symbol
        .strip_prefix("__Z")
        .or_else(|| symbol.strip_prefix("_Z"));
    let Some(parts) = mangled.and_then(parts) else {
        return Ok(false);
    };
    for (index, part) in parts.iter().enumerate() {
        if index > 0 && *part != Part::Arguments {
            out.write_str("::")?;
        }
        part.write(out)?;
    }
    Ok(true)
}

/// A part of a qualified name.
#[derive(PartialEq)]
enum Part<'a> {
    Name(&'a str),
    Destructor(&'a str),
    Arguments,
}

impl Part<'_> {
    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Part::Name(name) if name.starts_with("_GLOBAL__N") => {
                out.write_str("(anonymous namespace)")
            }
            Part::Name(name) => out.write_str(name),
            Part::Destructor(name) => {
                out.write_str("~")?;
                out.write_str(name)
            }
            Part::Arguments => out.write_str("<…>"),
        }
    }
}

fn parts(mangled: &str) -> Option<Vec<Part<'_>>> {
    let mut rest = Rest(mangled);
    let mut parts = Vec::new();
    rest.eat("L");
    if !rest.eat("N") {
        let std = rest.eat("St");
        if std {
            parts.push(Part::Name("std"));
        }
        one(&mut rest, &mut parts)?;
        if rest.eat("I") {
            rest.skip_to_end()?;
            parts.push(Part::Arguments);
        }
        return Some(parts);
    }
    while rest.eat_any("rVKRO") {}
    while !rest.eat("E") {
        one(&mut rest, &mut parts)?;
    }
    (!parts.is_empty()).then_some(parts)
}

fn one<'a>(rest: &mut Rest<'a>, parts: &mut Vec<Part<'a>>) -> Option<()> {
    rest.eat("L");
    let part = match rest.0.as_bytes() {
        [b'0'..=b'9', ..] => Part::Name(rest.source_name()?),
        [b'I', ..] if !parts.is_empty() => {
            rest.eat("I");
            rest.skip_to_end()?;
            Part::Arguments
        }
        [b'B', ..] => {
            rest.eat("B");
            return rest.source_name().map(|_| ());
        }
        [b'U', b'l', ..] => {
            rest.take(2)?;
            rest.skip_to_end()?;
            rest.number();
            rest.eat("_").then_some(Part::Name("{lambda}"))?
        }
        [b'C' | b'D', b'0'..=b'5', ..] => special(rest.take(2)?, parts)?,
        _ => Part::Name(known(rest.take(2)?)?),
    };
    parts.push(part);
    Some(())
}

/// A constructor or a destructor has the name of its class.
fn special<'a>(code: &str, parts: &[Part<'a>]) -> Option<Part<'a>> {
    let class = parts.iter().rev().find_map(|part| match part {
        Part::Name(name) => Some(*name),
        _ => None,
    })?;
    Some(match code.starts_with('C') {
        true => Part::Name(class),
        false => Part::Destructor(class),
    })
}

fn known(code: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("St", "std"),
        ("Sa", "std::allocator"),
        ("Ss", "std::string"),
        ("Si", "std::istream"),
        ("So", "std::ostream"),
        ("Sd", "std::iostream"),
        ("nw", "operator new"),
        ("na", "operator new[]"),
        ("dl", "operator delete"),
        ("da", "operator delete[]"),
        ("ng", "operator-"),
        ("ad", "operator&"),
        ("de", "operator*"),
        ("co", "operator~"),
        ("pl", "operator+"),
        ("mi", "operator-"),
        ("ml", "operator*"),
        ("dv", "operator/"),
        ("rm", "operator%"),
        ("an", "operator&"),
        ("or", "operator|"),
        ("eo", "operator^"),
        ("aS", "operator="),
        ("pL", "operator+="),
        ("mI", "operator-="),
        ("mL", "operator*="),
        ("dV", "operator/="),
        ("rM", "operator%="),
        ("aN", "operator&="),
        ("oR", "operator|="),
        ("eO", "operator^="),
        ("ls", "operator<<"),
        ("rs", "operator>>"),
        ("lS", "operator<<="),
        ("rS", "operator>>="),
        ("eq", "operator=="),
        ("ne", "operator!="),
        ("lt", "operator<"),
        ("gt", "operator>"),
        ("le", "operator<="),
        ("ge", "operator>="),
        ("ss", "operator<=>"),
        ("nt", "operator!"),
        ("aa", "operator&&"),
        ("oo", "operator||"),
        ("pp", "operator++"),
        ("mm", "operator--"),
        ("cm", "operator,"),
        ("pm", "operator->*"),
        ("pt", "operator->"),
        ("cl", "operator()"),
        ("ix", "operator[]"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}

/// The unread rest of the symbol.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn eat_any(&mut self, chars: &str) -> bool {
        let rest = self.0.strip_prefix(|char| chars.contains(char));
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, size: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        let end = self.0.find(|char: char| !char.is_ascii_digit());
        self.take(end.unwrap_or(self.0.len()))?.parse().ok()
    }

    fn source_name(&mut self) -> Option<&'a str> {
        let size = self.number()?;
        self.take(size).filter(|name| !name.is_empty())
    }

    /// Skips template arguments, up to and including the final `E`.
    fn skip_to_end(&mut self) -> Option<()> {
        let mut depth = 1;
        while depth > 0 {
            match self.0.as_bytes() {
                [b'0'..=b'9', ..] => self.source_name().map(|_| ())?,
                // In the literal `Lb1E` the digits are not a length.
                [b'L', b'a'..=b'z', ..] => {
                    let end = self.0.find('E')?;
                    self.take(end + 1)?;
                }
                [b'D', b't' | b'T', ..] => {
                    self.take(2)?;
                    depth += 1;
                }
                [b'S' | b'T', ..] => {
                    self.take(1)?;
                    self.substitution();
                }
                [b'I' | b'N' | b'X' | b'J' | b'F' | b'L', ..] => {
                    self.take(1)?;
                    depth += 1;
                }
                [b'E', ..] => {
                    self.take(1)?;
                    depth -= 1;
                }
                _ => self.take(1).map(|_| ())?,
            }
        }
        Some(())
    }

    /// `S_`, `S1A_`, `T0_`, or one of a letter.
    fn substitution(&mut self) {
        let end = self
            .0
            .find(|char: char| !char.is_ascii_digit() && !char.is_ascii_uppercase());
        match end {
            Some(end) if self.0.as_bytes().get(end) == Some(&b'_') => self.take(end + 1),
            _ => self.take(1),
        };
    }
}
