//! QuickJS as a WASI program: runs a script from the command line or from standard input.
//!
//! A script has `print`, `readLine` (undefined at the end), `arguments` and what the language itself brings:
//! no files, no network, no processes.

use rquickjs::{Array, CatchResultExt, Context, Ctx, Function, Runtime, function::Rest};
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let script = match args.next() {
        Some(script) if script != "-" => script,
        _ => {
            let mut script = String::new();
            if let Err(error) = std::io::stdin().read_to_string(&mut script) {
                eprintln!("the script can't be read: {error}");
                return ExitCode::FAILURE;
            }
            script
        }
    };
    match run(&script, args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(script: &str, args: Vec<String>) -> Result<(), String> {
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    let context = Context::full(&runtime).map_err(|error| error.to_string())?;
    context.with(|ctx| {
        globals(&ctx, args).map_err(|error| error.to_string())?;
        ctx.eval::<(), _>(script)
            .catch(&ctx)
            .map_err(|error| error.to_string())
    })?;
    while runtime.is_job_pending() {
        runtime
            .execute_pending_job()
            .map_err(|_| "an exception in a promise".to_string())?;
    }
    Ok(())
}

fn globals<'js>(ctx: &Ctx<'js>, args: Vec<String>) -> rquickjs::Result<()> {
    let globals = ctx.globals();
    let list = Array::new(ctx.clone())?;
    for (index, arg) in args.into_iter().enumerate() {
        list.set(index, arg)?;
    }
    globals.set("arguments", list)?;
    globals.set("print", Function::new(ctx.clone(), print)?)?;
    globals.set("readLine", Function::new(ctx.clone(), read_line)?)
}

fn print(words: Rest<rquickjs::Coerced<String>>) {
    let words: Vec<String> = words.0.into_iter().map(|word| word.0).collect();
    // Nobody to tell when nobody listens.
    let _ = writeln!(std::io::stdout(), "{}", words.join(" "));
}

fn read_line() -> Option<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end_matches('\n').to_string()),
    }
}
