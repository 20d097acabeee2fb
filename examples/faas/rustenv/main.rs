//! Answers with its environment, which holds the request.

fn main() {
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    for (key, value) in variables {
        println!("{key}={value}");
    }
}
