//! A WASI preview 1 command; `argv[1]` says what it does.

use std::alloc::{Layout, alloc};
use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, hint, process, thread};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u16;
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = run(args.get(1..).unwrap_or_default()) {
        eprintln!("error: {error}");
        process::exit(1);
    }
}

fn run(args: &[&str]) -> io::Result<()> {
    let mut out = io::stdout();
    match *args {
        ["echo"] => {
            let mut buffer = [0; 4096];
            loop {
                let count = io::stdin().read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                out.write_all(&buffer[..count])?;
                out.flush()?;
            }
        }
        ["args", ref rest @ ..] => {
            for arg in rest {
                writeln!(out, "{arg}")?;
            }
        }
        ["env"] => {
            let mut pairs: Vec<_> = env::vars().collect();
            pairs.sort();
            for (key, value) in pairs {
                writeln!(out, "{key}={value}")?;
            }
        }
        ["exit", status] => process::exit(status.parse().unwrap_or(1)),
        ["panic"] => panic!("the guest panics"),
        ["ls", path] => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.file_name().into_string().unwrap_or_default());
            }
            names.sort();
            for name in names {
                writeln!(out, "{name}")?;
            }
        }
        ["cat", path] => out.write_all(&fs::read(path)?)?,
        ["write", path, text] => fs::write(path, text)?,
        ["sleep", ms] => {
            thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
            writeln!(out, "slept")?;
        }
        ["spin"] => loop {
            hint::black_box(0);
        },
        ["time"] => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            writeln!(out, "{}", now.unwrap_or_default().as_secs())?;
        }
        ["random"] => {
            let mut bytes = [0u8; 8];
            let errno = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
            if errno != 0 {
                return Err(io::Error::from_raw_os_error(errno.into()));
            }
            for byte in bytes {
                write!(out, "{byte:02x}")?;
            }
            writeln!(out)?;
        }
        ["flood"] => loop {
            out.write_all(&[b'x'; 1024])?;
            out.flush()?;
        },
        // In steps of 1 MiB, never freed and never written to.
        ["grow"] => {
            let step = Layout::new::<[u8; 1 << 20]>();
            let mut count = 0;
            while !hint::black_box(unsafe { alloc(step) }).is_null() {
                count += 1;
            }
            writeln!(out, "{count} MiB")?;
        }
        _ => {
            eprintln!("unknown command: {args:?}");
            process::exit(2);
        }
    }
    out.flush()
}
