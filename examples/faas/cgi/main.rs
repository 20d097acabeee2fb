//! A CGI function: answers a POSTed JSON array of numbers with their sum, a status and a header.

use std::io::Read;

fn main() {
    if std::env::var("REQUEST_METHOD").as_deref() != Ok("POST") {
        return answer("405 Method Not Allowed", "POST a JSON array of numbers\n");
    }
    let mut body = String::new();
    if std::io::stdin().read_to_string(&mut body).is_err() {
        return answer("400 Bad Request", "the body is no text\n");
    }
    match sum(&body) {
        Some((count, sum)) => {
            let body = format!("{{\"count\":{count},\"sum\":{sum}}}\n");
            print!("Status: 201 Created\r\nContent-Type: application/json\r\nX-Count: {count}\r\n\r\n{body}");
        }
        None => answer("422 Unprocessable Content", "that is no JSON array of numbers\n"),
    }
}

fn answer(status: &str, text: &str) {
    print!("Status: {status}\r\nContent-Type: text/plain\r\n\r\n{text}");
}

fn sum(body: &str) -> Option<(usize, f64)> {
    let inside = body.trim().strip_prefix('[')?.strip_suffix(']')?;
    let numbers: Option<Vec<f64>> = match inside.trim() {
        "" => Some(Vec::new()),
        list => list.split(',').map(|number| number.trim().parse().ok()).collect(),
    };
    numbers.map(|numbers| (numbers.len(), numbers.iter().sum()))
}
