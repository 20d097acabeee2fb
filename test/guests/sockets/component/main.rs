//! Sockets of WASI 0.2 by Rust's standard library.
//!
//!     serve ADDRESS CONNECTIONS    echoes each connection, one after the other
//!     udp-serve ADDRESS MESSAGES   sends each message back to its sender
//!     both                         is its own server and client
//!     dial ADDRESS BYTES           tries to read, sends so many bytes, closes its half, counts what comes back
//!     greeted ADDRESS TEXT         waits for bytes, sends the text, closes its half, prints all that came
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", address, times] => serve(address, times.parse().unwrap_or(1)),
        ["udp-serve", address, times] => udp_serve(address, times.parse().unwrap_or(1)),
        ["both"] => both(),
        ["greeted", address, text] => greeted(address, text),
        ["dial", address, bytes] => dial(address, bytes.parse().unwrap_or(1)),
        _ => panic!("what to do?"),
    };
    if let Err(error) = result {
        println!("{:?}", error.kind());
        std::process::exit(1);
    }
}

fn serve(address: &str, times: usize) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("on {}", listener.local_addr()?);
    for _ in 0..times {
        let (mut stream, peer) = listener.accept()?;
        println!("peer {}", peer.ip());
        let mut buffer = [0; 65536];
        while let length @ 1.. = stream.read(&mut buffer)? {
            stream.write_all(&buffer[..length])?;
        }
    }
    Ok(())
}

fn udp_serve(address: &str, times: usize) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    println!("on {}", socket.local_addr()?);
    let mut buffer = [0; 2048];
    for _ in 0..times {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], peer)?;
    }
    Ok(())
}

fn both() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"there")?;
    client.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    server.read_to_string(&mut text)?;
    server.write_all(b" and back")?;
    drop(server);
    client.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

fn dial(address: &str, bytes: usize) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    println!("{} {}", stream.local_addr()?, stream.peer_addr()?);
    stream.set_nonblocking(true)?;
    println!("{:?}", stream.read(&mut [0; 1]).map_err(|error| error.kind()));
    stream.set_nonblocking(false)?;
    stream.write_all(&vec![b'x'; bytes])?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

fn greeted(address: &str, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let mut first = [0; 1024];
    let length = stream.read(&mut first)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut rest = String::new();
    stream.read_to_string(&mut rest)?;
    println!("{}{rest}", String::from_utf8_lossy(&first[..length]));
    Ok(())
}
