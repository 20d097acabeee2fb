//! A program: arguments, standard input and output.

use std::io::Read;

fn main() {
    let name = std::env::args().nth(1).unwrap_or("world".into());
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    println!("Hello, {name}! ({} bytes of input)", input.len());
}
