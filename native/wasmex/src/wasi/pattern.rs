//! Host name patterns: `*` and `**` match any characters, `?` one, `[a-z]` and `[!a-z]` one of a set.

/// Whether the whole text matches. Case-sensitive; an invalid pattern is taken literally.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    match tokens(&pattern) {
        Some(tokens) => all(&tokens, &text),
        None => pattern == text,
    }
}

enum Token {
    Any,
    One,
    Char(char),
    Set(Vec<(char, char)>, bool),
}

fn tokens(pattern: &[char]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(char) = pattern.get(at) {
        at += 1;
        tokens.push(match char {
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                let (set, after) = set(pattern, at)?;
                at = after;
                set
            }
            char => Token::Char(*char),
        });
    }
    Some(tokens)
}

/// The content of the brackets, and the rest after them.
fn set(pattern: &[char], mut at: usize) -> Option<(Token, usize)> {
    let negated = pattern.get(at) == Some(&'!');
    if negated {
        at += 1;
    }
    let start = at;
    let mut ranges = Vec::new();
    loop {
        let low = *pattern.get(at)?;
        // Right after the opening bracket, a bracket stands for itself.
        if low == ']' && at > start {
            return Some((Token::Set(ranges, negated), at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some('-'), Some(high)) if *high != ']' => {
                ranges.push((low, *high));
                at += 3;
            }
            _ => {
                ranges.push((low, low));
                at += 1;
            }
        }
    }
}

impl Token {
    fn takes(&self, char: char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Char(wanted) => *wanted == char,
            Token::Set(ranges, negated) => {
                let found = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&char));
                found != *negated
            }
        }
    }
}

/// Backtracks to the last `*` only, which is sufficient and bounds the time by the product of both lengths.
fn all(tokens: &[Token], text: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    while at < text.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                star = Some((token, at));
                token += 1;
            }
            Some(one) if one.takes(text[at]) => {
                token += 1;
                at += 1;
            }
            _ => match star {
                Some((from, taken)) => {
                    star = Some((from, taken + 1));
                    token = from + 1;
                    at = taken + 1;
                }
                None => return false,
            },
        }
    }
    tokens[token..]
        .iter()
        .all(|token| matches!(token, Token::Any))
}
