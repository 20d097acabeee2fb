//! An HTTP function: the request is in environment variables (`http_path`, `http_query`, …) and its body on standard
//! input. The output is the response.

fn main() {
    let query = std::env::var("http_query").unwrap_or_default();
    println!("Hello, {query}!");
}
