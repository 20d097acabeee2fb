//! Values of the component model as text (WAVE), read and written by wasm-wave.

mod read;
mod types;
mod write;

use crate::vm::atoms;
use crate::vm::error::Error;
use rustler::{Encoder, Env, NifResult, Term};
use types::Ty;
use wasm_wave::ast::Node;
use wasm_wave::parser::ParserError;
use wasm_wave::untyped::{UntypedFuncCall, UntypedValue};
use wasm_wave::value::Value;

type Result<T> = std::result::Result<T, String>;

fn result<'a>(env: Env<'a>, result: Result<Term<'a>>) -> Term<'a> {
    match result {
        Ok(term) => (atoms::ok(), term).encode(env),
        Err(message) => Error::Text(atoms::wave(), message).to_term(env),
    }
}

fn text(error: ParserError) -> String {
    let place = error.span();
    let more = error.detail().map_or(String::new(), |it| format!(": {it}"));
    format!("{}{more} (at character {})", error.kind(), place.start + 1)
}

/// Parses a value of that type.
#[rustler::nif(schedule = "DirtyCpu")]
fn wave_parse<'a>(env: Env<'a>, source: &str, ty: Term<'a>) -> NifResult<Term<'a>> {
    let value = Ty::decode(ty).and_then(|ty| {
        let untyped = UntypedValue::parse(source).map_err(text)?;
        read::value(env, untyped.node(), untyped.source(), &ty)
    });
    Ok(result(env, value))
}

/// Parses the arguments of a call, `"(1, \"a\")"`, as a list. Trailing options may be omitted.
#[rustler::nif(schedule = "DirtyCpu")]
fn wave_parse_params<'a>(env: Env<'a>, source: &str, types: Vec<Term<'a>>) -> NifResult<Term<'a>> {
    Ok(result(env, params(env, source, types)))
}

fn params<'a>(env: Env<'a>, source: &str, types: Vec<Term<'a>>) -> Result<Term<'a>> {
    let types: Vec<Ty> = types.into_iter().map(Ty::decode).collect::<Result<_>>()?;
    // The parser expects a name first; positions count from the caller's text.
    let call = format!("f{source}");
    let call = UntypedFuncCall::parse(&call).map_err(|error| {
        let start = error.span().start.max(1);
        format!("{} (at character {start})", error.kind())
    })?;
    let nodes: Vec<&Node> = match call.params_node() {
        Some(node) => node.as_tuple().map_err(text)?.collect(),
        None => Vec::new(),
    };
    let optional = types.iter().rev().take_while(|ty| ty.is_option()).count();
    if nodes.len() > types.len() || nodes.len() + optional < types.len() {
        let expected: Vec<String> = types.iter().map(Ty::to_string).collect();
        return Err(format!(
            "expected {} arguments ({}), got {}",
            types.len(),
            expected.join(", "),
            nodes.len()
        ));
    }
    let mut terms = Vec::new();
    for (index, ty) in types.iter().enumerate() {
        terms.push(match nodes.get(index) {
            Some(node) => read::value(env, node, call.source(), ty)
                .map_err(|text| format!("argument {}: {text}", index + 1))?,
            None => atoms::none().encode(env),
        });
    }
    Ok(terms.encode(env))
}

/// Formats a value of that type.
#[rustler::nif(schedule = "DirtyCpu")]
fn wave_print<'a>(env: Env<'a>, value: Term<'a>, ty: Term<'a>) -> NifResult<Term<'a>> {
    let printed = Ty::decode(ty).and_then(|ty| {
        let value: Value = write::value(value, &ty)?;
        let text = wasm_wave::to_string(&value).map_err(|error| error.to_string())?;
        Ok(text.encode(env))
    });
    Ok(result(env, printed))
}

/// The type in WIT syntax.
#[rustler::nif(schedule = "DirtyCpu")]
fn wave_type<'a>(env: Env<'a>, ty: Term<'a>) -> NifResult<Term<'a>> {
    Ok(result(
        env,
        Ty::decode(ty).map(|ty| ty.to_string().encode(env)),
    ))
}
