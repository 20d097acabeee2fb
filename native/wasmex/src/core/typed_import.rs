//! Elixir functions that take and return few integers, as most imports do.
//!
//! They are typed functions. wasmtime's dynamic ones, for all other types, collect the arguments in a vector, check the
//! results, and box a second future.

use crate::core::import::{bad_result, pending};
use crate::guest::data::StoreData;
use crate::guest::suspension::{self, Import, ImportRaised};
use crate::guest::values::{self, Floats, Number};
use crate::vm::env;
use crate::vm::layout;
use rustler::Term;
use rustler::sys::ErlNifTerm;
use std::ops::RangeInclusive;
use std::sync::Arc;
use wasmtime::{AsContextMut, Caller, FuncType, Linker, Result, ValType, WasmTy, WasmTyList};

/// An integer type, in a slot of 64 bits.
trait Integer: WasmTy + Copy {
    const NUMBER: Number;
    const TYPE: ValType;
    /// As numbers in Elixir, signed or unsigned.
    const RANGE: RangeInclusive<i64>;
    fn slot(self) -> i64;
    fn of(slot: i64) -> Self;
}

impl Integer for i32 {
    const NUMBER: Number = Number::I32;
    const TYPE: ValType = ValType::I32;
    const RANGE: RangeInclusive<i64> = i32::MIN as i64..=u32::MAX as i64;
    fn slot(self) -> i64 {
        self.into()
    }
    fn of(slot: i64) -> Self {
        slot as i32
    }
}

impl Integer for i64 {
    const NUMBER: Number = Number::I64;
    const TYPE: ValType = ValType::I64;
    const RANGE: RangeInclusive<i64> = i64::MIN..=i64::MAX;
    fn slot(self) -> i64 {
        self
    }
    fn of(slot: i64) -> Self {
        slot
    }
}

/// Parameters, as a tuple of integers.
trait Params: WasmTyList + Send + 'static {
    fn are(ty: &FuncType) -> bool;
    fn encode(self, env: rustler::Env) -> Term;
}

macro_rules! params {
    ($(($($name:ident: $type:ident),*))*) => {
        $(impl Params for ($($type,)*) {
            fn are(ty: &FuncType) -> bool {
                let expected: &[ValType] = &[$($type::TYPE),*];
                ty.params().len() == expected.len()
                    && ty.params().zip(expected).all(|(ty, expected)| ValType::eq(&ty, expected))
            }

            fn encode(self, env: rustler::Env) -> Term {
                let ($($name,)*) = self;
                let slots: &[(Number, i64)] = &[$(($type::NUMBER, $name.slot())),*];
                let list = Term::list_new_empty(env);
                slots.iter().rev().fold(list, |list, (number, slot)| {
                    list.list_prepend(number.encode(env, *slot, Floats::Values))
                })
            }
        })*

        /// Defines the function; false if its type is none of these.
        pub fn define(
            linker: &mut Linker<StoreData>,
            namespace: &str,
            name: &str,
            ty: &FuncType,
            import: &Import,
        ) -> Result<bool> {
            $(if <($($type,)*)>::are(ty) {
                return define_with::<($($type,)*)>(linker, namespace, name, ty, import);
            })*
            Ok(false)
        }
    };
}

params! {
    ()
    (a: i32) (a: i64)
    (a: i32, b: i32) (a: i32, b: i64) (a: i64, b: i32) (a: i64, b: i64)
    (a: i32, b: i32, c: i32)
    (a: i32, b: i32, c: i32, d: i32)
}

fn define_with<P: Params>(
    linker: &mut Linker<StoreData>,
    namespace: &str,
    name: &str,
    ty: &FuncType,
    import: &Import,
) -> Result<bool> {
    let import = Arc::new(import.clone());
    match (ty.result(0), ty.results().len()) {
        (None, _) => {
            linker.func_wrap_async(namespace, name, move |mut caller, params: P| {
                let serial = begin(&mut caller, &import, params);
                Box::new(async move {
                    suspension::results(caller.as_context_mut(), serial?).await?;
                    Ok::<(), wasmtime::Error>(())
                })
            })?;
        }
        (Some(ValType::I32), 1) => returning::<P, i32>(linker, namespace, name, import)?,
        (Some(ValType::I64), 1) => returning::<P, i64>(linker, namespace, name, import)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn returning<P: Params, R: Integer + 'static>(
    linker: &mut Linker<StoreData>,
    namespace: &str,
    name: &str,
    import: Arc<Import>,
) -> Result<()> {
    linker.func_wrap_async(namespace, name, move |mut caller, params: P| {
        let serial = begin(&mut caller, &import, params);
        Box::new(async move {
            let result = suspension::results(caller.as_context_mut(), serial?).await?;
            decode::<R>(result)
        })
    })?;
    Ok(())
}

/// Announces the call. wasmtime polls the function's future at once.
fn begin<P: Params>(caller: &mut Caller<'_, StoreData>, import: &Import, params: P) -> Result<u64> {
    let params = env::in_env(|env| params.encode(env).as_c_arg());
    let pending = pending(caller, import, params.ok_or(ImportRaised {})?);
    Ok(suspension::announce(pending))
}

fn decode<R: Integer>(result: ErlNifTerm) -> Result<R> {
    if let Some(slot) = layout::small_in(result, R::RANGE) {
        return Ok(R::of(slot));
    }
    let decoded = env::in_env(|env| {
        // SAFETY: the term came with the NIF that is polling now.
        let term = unsafe { env::term(env, result) };
        let slot = R::NUMBER.decode(term);
        slot.ok_or_else(|| bad_result(&values::mismatch(None, &R::TYPE, term), None))
    });
    decoded
        .unwrap_or_else(|| Err(ImportRaised {}.into()))
        .map(R::of)
}
