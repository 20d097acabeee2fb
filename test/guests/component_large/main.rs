//! Large values for functions of WASI 0.2, one call each.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io::Write;
use wasip2::cli::{environment, stderr, stdin};
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::poll;
use wasip2::io::streams::InputStream;
use wasip2::random::{insecure, random};
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, udp, udp_create_socket};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", path, bytes] => write(path, &filled(number(bytes))),
        ["pwrite", path, bytes] => posix(path, &filled(number(bytes))),
        ["std", path, bytes] => {
            let mut file = std::fs::File::create(path).expect("a file");
            println!("{:?}", file.write(&filled(number(bytes))).ok());
        }
        ["read", path, bytes] => read(path, number(bytes)),
        ["random", bytes] => differ(&random::get_random_bytes(number(bytes))),
        ["insecure", bytes] => differ(&insecure::get_insecure_random_bytes(number(bytes))),
        ["stdin", bytes] => read_all(number(bytes)),
        ["stream", bytes] => println!("{:?}", stderr::get_stderr().write(&filled(number(bytes)))),
        ["udp", address, bytes] => udp(address, &filled(number(bytes))),
        ["open", bytes] => {
            let path = "x".repeat(number(bytes) as usize);
            let opened = directory("/d").open_at(
                PathFlags::empty(),
                &path,
                OpenFlags::empty(),
                DescriptorFlags::READ,
            );
            println!("{:?}", opened.map(drop));
        }
        ["post", authority, bytes, part] => post(authority, number(bytes), number(part)),
        ["fields", bytes] => {
            let value = vec![b'x'; number(bytes) as usize];
            println!("{:?}", Fields::new().append("x", &value));
        }
        ["poll", count] => {
            let ready = wasip2::clocks::monotonic_clock::subscribe_duration(0);
            let all = vec![&ready; number(count) as usize];
            println!("{}", poll::poll(&all).len());
        }
        ["env"] => {
            let variables = environment::get_environment();
            let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
            let args: usize = environment::get_arguments().iter().map(String::len).sum();
            println!("{} {bytes} {args}", variables.len());
        }
        _ => std::process::exit(64),
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn filled(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|index| (index / 7) as u8).collect()
}

/// The granted directory of this name.
fn directory(name: &str) -> Descriptor {
    let mut granted = preopens::get_directories().into_iter();
    granted.find(|(_, path)| path == name).expect("a directory").0
}

fn file(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Descriptor {
    let (dir, name) = path.rsplit_once('/').expect("a path");
    directory(dir).open_at(PathFlags::empty(), name, open, flags).expect("a file")
}

fn write(path: &str, bytes: &[u8]) {
    let file = file(path, OpenFlags::CREATE, DescriptorFlags::WRITE);
    println!("{:?}", file.write(bytes, 0));
}

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn pwrite(fd: c_int, buffer: *const c_void, count: usize, offset: i64) -> isize;
    fn close(fd: c_int) -> c_int;
}

/// `O_WRONLY | O_CREAT` of wasi-libc.
const CREATE: c_int = 0x1000_0000 | (1 << 12);

fn posix(path: &str, bytes: &[u8]) {
    let path = CString::new(path).expect("a path");
    let fd = unsafe { open(path.as_ptr(), CREATE, 0o644) };
    println!("{}", unsafe { pwrite(fd, bytes.as_ptr().cast(), bytes.len(), 0) });
    unsafe { close(fd) };
}

fn read(path: &str, bytes: u64) {
    let file = file(path, OpenFlags::empty(), DescriptorFlags::READ);
    println!("{:?}", file.read(bytes, 0).map(|(bytes, end)| (bytes.len(), end)));
}

fn differ(bytes: &[u8]) {
    let mut found = [false; 256];
    bytes.iter().for_each(|byte| found[usize::from(*byte)] = true);
    println!("{} {}", bytes.len(), found.iter().filter(|found| **found).count());
}

fn read_all(bytes: u64) {
    parts(&stdin::get_stdin(), bytes);
}

fn parts(input: &InputStream, bytes: u64) {
    let (mut largest, mut all) = (0, 0);
    while let Ok(part) = input.blocking_read(bytes) {
        largest = largest.max(part.len());
        all += part.len();
    }
    println!("{largest} {all}");
}

fn udp(address: &str, bytes: &[u8]) {
    let to: std::net::SocketAddrV4 = address.parse().expect("an address");
    let ip = |octets: [u8; 4]| (octets[0], octets[1], octets[2], octets[3]);
    let at = |octets, port| IpSocketAddress::Ipv4(Ipv4SocketAddress { address: ip(octets), port });
    let socket = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    let network = instance_network::instance_network();
    socket.start_bind(&network, at([0; 4], 0)).expect("to bind");
    socket.finish_bind().expect("to bind");
    let (_incoming, outgoing) = socket.stream(None).expect("streams");
    outgoing.check_send().expect("a permit");
    let to = Some(at(to.ip().octets(), to.port()));
    let datagram = udp::OutgoingDatagram { data: bytes.to_vec(), remote_address: to };
    println!("{:?}", outgoing.send(&[datagram]));
}

fn post(authority: &str, bytes: u64, part: u64) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let body = request.body().expect("a body");
    let response = outgoing_handler::handle(request, None).expect("to be sent");
    let output = body.write().expect("a stream");
    let mut left = bytes;
    while left > 0 {
        output.subscribe().block();
        let permitted = output.check_write().expect("a permit").min(left);
        output.write(&filled(permitted)).expect("to write");
        left -= permitted;
    }
    drop(output);
    OutgoingBody::finish(body, None).expect("to finish");
    response.subscribe().block();
    let response = response.get().expect("ready").expect("once").expect("a response");
    let body = response.consume().expect("a body");
    parts(&body.stream().expect("a stream"), part);
}
