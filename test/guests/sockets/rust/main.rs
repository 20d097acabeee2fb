//! Sockets by the crate `wasmedge_wasi_socket`, which speaks the first version of WasmEdge's interface.
//!
//!     serve ADDRESS CONNECTIONS        echoes each connection, one after the other
//!     dial ADDRESS TEXT                sends the text, closes its half, prints what comes back
//!     lookup NAME                      prints the addresses of a name
//!     udp-serve ADDRESS MESSAGES       sends each message back to its sender
//!     udp ADDRESS TEXT                 sends the text, prints what comes back and from whom
//!     patience ADDRESS MS              connects and waits so long for data, by an option of the socket
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use wasmedge_wasi_socket::{nslookup, TcpListener, TcpStream, UdpSocket};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", address, times] => serve(address, times.parse().unwrap_or(1)),
        ["dial", address, text] => dial(address, text),
        ["lookup", name] => nslookup(name, "http").map(|found| println!("{found:?}")),
        ["udp-serve", address, times] => udp_serve(address, times.parse().unwrap_or(1)),
        ["udp", address, text] => udp(address, text),
        ["patience", address, ms] => patience(address, ms.parse().unwrap_or(1)),
        _ => panic!("what to do?"),
    };
    if let Err(error) = result {
        println!("error {}", error.raw_os_error().unwrap_or(-1));
        std::process::exit(1);
    }
}

fn serve(address: &str, times: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(address, false)?;
    println!("listening");
    for _ in 0..times {
        let (mut stream, peer) = listener.accept(false)?;
        println!("peer {peer}");
        let mut buffer = [0u8; 1024];
        loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            stream.write_all(&buffer[..n])?;
        }
    }
    Ok(())
}

fn dial(address: &str, text: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    println!("local {:?} peer {:?}", stream.as_ref().get_local().ok(), stream.peer_addr().ok());
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut got = String::new();
    stream.read_to_string(&mut got)?;
    println!("got {got}");
    Ok(())
}

fn udp_serve(address: &str, times: usize) -> std::io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    println!("listening");
    let mut buffer = [0u8; 2048];
    for _ in 0..times {
        let (n, peer) = socket.recv_from(&mut buffer)?;
        println!("peer {} {n}", peer.ip());
        socket.send_to(&buffer[..n], peer)?;
    }
    Ok(())
}

fn udp(address: &str, text: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    println!("sent {}", socket.send_to(text.as_bytes(), address)?);
    let mut buffer = [0u8; 2048];
    let (n, peer) = socket.recv_from(&mut buffer)?;
    println!("got {} from {peer}", String::from_utf8_lossy(&buffer[..n]));
    Ok(())
}

fn patience(address: &str, ms: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let socket = stream.as_ref();
    socket.set_recv_timeout(Some(Duration::from_millis(ms)))?;
    println!("waits {:?} {:?}", socket.get_recv_timeout()?, socket.get_send_timeout()?);
    stream.read_exact(&mut [0u8; 1])
}
