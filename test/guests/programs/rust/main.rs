//! A program with one subcommand for each thing that a test wants of it: see ../README.md.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::{env, fs, thread, time::Duration};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> io::Result<u8> {
    let arg = |n: usize| args.get(n).map_or("", String::as_str);
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    match arg(0) {
        "" | "hello" => hello(arg(1)),
        "upcase" => upcase()?,
        "wc" => wc()?,
        "copy" => println!("{}", fs::copy(arg(1), arg(2))?),
        "ls" => ls(arg(1))?,
        "sleep" => thread::sleep(Duration::from_millis(number(arg(1))?)),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "eat" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "flood" => loop {
            writeln!(io::stdout(), "a line of a flood")?;
        },
        "exit" => return Ok(number(arg(1))? as u8),
        "panic" => panic!("the guest panics"),
        "stderr" => eprintln!("{}", arg(1)),
        command => return Err(io::Error::other(format!("unknown command {command}"))),
    }
    Ok(0)
}

fn hello(name: &str) {
    let name = if name.is_empty() { "world" } else { name };
    println!("Hello, {name}, from Rust!");
    let mut variables: Vec<_> = env::vars().collect();
    variables.sort();
    for (key, value) in variables {
        println!("{key}={value}");
    }
}

fn each_chunk(mut each: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match io::stdin().read(&mut buffer)? {
            0 => return Ok(()),
            count => each(&mut buffer[..count])?,
        }
    }
}

fn upcase() -> io::Result<()> {
    each_chunk(|chunk| {
        chunk.make_ascii_uppercase();
        io::stdout().write_all(chunk)?;
        io::stdout().flush()
    })
}

fn wc() -> io::Result<()> {
    let (mut lines, mut words, mut bytes, mut in_word) = (0_u64, 0_u64, 0_u64, false);
    each_chunk(|chunk| {
        bytes += chunk.len() as u64;
        for byte in chunk.iter() {
            lines += u64::from(*byte == b'\n');
            let space = matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
            words += u64::from(!space && !in_word);
            in_word = !space;
        }
        Ok(())
    })?;
    println!("{lines} {words} {bytes}");
    Ok(())
}

fn ls(dir: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.iter().for_each(|name| println!("{name}"));
    Ok(())
}
