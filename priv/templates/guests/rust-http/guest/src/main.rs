//! A function over HTTP: the request is in environment variables (`http_path`, `http_query`, …), the body is standard
//! input, and what is printed is the answer.

fn main() {
    let query = std::env::var("http_query").unwrap_or_default();
    println!("Hello, {query}!");
}
