//! A command that does what its first argument says, with what it was granted.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, process, thread};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = run(&args) {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn run(args: &[&str]) -> io::Result<()> {
    match args {
        ["hello"] => println!("hello from a component"),
        ["args", rest @ ..] => rest.iter().for_each(|arg| println!("{arg}")),
        ["env"] => env::vars().for_each(|(name, value)| println!("{name}={value}")),
        ["cwd"] => println!("{}", env::current_dir()?.display()),
        ["cat"] => drop(io::copy(&mut io::stdin(), &mut io::stdout())?),
        ["warn", text] => eprintln!("{text}"),
        ["read", path] => print!("{}", fs::read_to_string(path)?),
        ["write", path, text] => fs::write(path, text)?,
        ["ls", path] => {
            let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            names.iter().for_each(|name| println!("{}", name.to_string_lossy()));
        }
        ["time"] => println!("{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
        ["random"] => {
            use std::hash::{BuildHasher, Hasher, RandomState};
            println!("{}", RandomState::new().build_hasher().finish());
        }
        ["exit", status] => process::exit(status.parse().unwrap_or(2)),
        ["panic"] => panic!("as asked"),
        ["spin"] => loop {
            std::hint::black_box(0);
        },
        ["sleep", ms] => thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0))),
        ["flood"] => loop {
            io::stdout().write_all(&[b'x'; 4096])?;
        },
        ["tcp", address, text] => {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(text.as_bytes())?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            println!("{answer}");
        }
        ["udp", address, text] => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.send_to(text.as_bytes(), address)?;
            let mut buffer = [0; 1024];
            let (length, _) = socket.recv_from(&mut buffer)?;
            println!("{}", String::from_utf8_lossy(&buffer[..length]));
        }
        ["lookup", name] => {
            for address in (*name, 80).to_socket_addrs()? {
                println!("{}", address.ip());
            }
        }
        _ => {
            eprintln!("unknown: {args:?}");
            process::exit(64);
        }
    }
    Ok(())
}
