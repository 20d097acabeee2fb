//! Decimal numbers in texts from outside: digits only, where Rust's `parse` also accepts a plus.

use std::str::FromStr;

/// The number, if the text consists of digits and the number fits.
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn only_digits_are_a_number() {
        assert_eq!(number::<u16>("0080"), Some(80));
        for text in ["", "+80", "-0", " 80", "80 ", "8_0", "0x50", "٨٠", "65536"] {
            assert_eq!(number::<u16>(text), None, "{text}");
        }
    }
}
