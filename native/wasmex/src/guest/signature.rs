//! The signature of a function, prepared once so that calls need not query wasmtime.

use crate::guest::data::StoreData;
use crate::guest::host_term;
use crate::guest::values::{self, Arity, Decoded, Floats, Number, Unheld};
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::terms;
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};
use wasmtime::{AsContext, AsContextMut, Func, FuncType, StoreContextMut, TypedFunc, Val};

/// A function with its prepared signature.
pub struct Signature {
    /// wasmtime's function.
    pub func: Func,
    /// Its type.
    pub ty: FuncType,
    /// Whether a parameter is a reference, which may be a term of any size.
    references: bool,
    numbers: Option<Numbers>,
}

/// Arguments of a call: raw if the function takes only numbers, otherwise terms.
pub enum Args {
    /// Numbers, each in the low bits of a slot.
    Raw([i64; MAX_RAW]),
    /// A list of terms of the NIF that begins the call.
    Terms(ErlNifTerm),
}

/// Maximum number of parameters on the raw path.
const MAX_RAW: usize = 6;

/// The types of a function with at most [`MAX_RAW`] number parameters and at most one result.
struct Numbers {
    arity: usize,
    params: [Number; MAX_RAW],
    result: Option<Number>,
    call: RawCall,
}

/// Declares a typed function per arity, all over `i64`.
///
/// wasmtime passes each value in its own slot, little-endian, and narrower types use the low bits, so an `i64` holds
/// the bits of any number. This avoids the generic path, which boxes every value and asks for the type four times (0.33
/// µs against 0.20 µs for the bare call).
macro_rules! raw_calls {
    ($($none:ident $one:ident ($($slot:tt $ty:ty),*);)*) => {
        enum RawCall { $($none(TypedFunc<($($ty,)*), ()>), $one(TypedFunc<($($ty,)*), i64>),)* }

        impl RawCall {
            /// # Safety
            /// The function must take `arity` numbers and return none or the one that `result` says.
            unsafe fn new(cx: impl AsContext, func: Func, arity: usize, result: bool) -> Option<Self> {
                $(if arity == <[usize]>::len(&[$($slot),*]) {
                    return Some(if result {
                        // SAFETY: the slots hold any number, see above.
                        RawCall::$one(unsafe { TypedFunc::new_unchecked(cx, func) })
                    } else {
                        // SAFETY: as above.
                        RawCall::$none(unsafe { TypedFunc::new_unchecked(cx, func) })
                    });
                })*
                None
            }

            async fn call(&self, cx: StoreContextMut<'_, StoreData>, args: [i64; MAX_RAW]) -> wasmtime::Result<i64> {
                let _ = args;
                match self {
                    $(RawCall::$none(func) => func.call_async(cx, ($(args[$slot],)*)).await.map(|()| 0),
                      RawCall::$one(func) => func.call_async(cx, ($(args[$slot],)*)).await,)*
                }
            }
        }
    };
}

raw_calls! {
    P0R0 P0R1 ();
    P1R0 P1R1 (0 i64);
    P2R0 P2R1 (0 i64, 1 i64);
    P3R0 P3R1 (0 i64, 1 i64, 2 i64);
    P4R0 P4R1 (0 i64, 1 i64, 2 i64, 3 i64);
    P5R0 P5R1 (0 i64, 1 i64, 2 i64, 3 i64, 4 i64);
    P6R0 P6R1 (0 i64, 1 i64, 2 i64, 3 i64, 4 i64, 5 i64);
}

impl Signature {
    /// Queries wasmtime for the function's types.
    pub fn new(cx: impl AsContext, func: Func) -> Self {
        let ty = func.ty(&cx);
        let numbers = Numbers::new(cx, func, &ty);
        let references = numbers.is_none() && ty.params().any(|ty| ty.is_ref());
        Signature {
            func,
            ty,
            references,
            numbers,
        }
    }

    /// Decodes the arguments as far as possible without the store. [`Error::Large`] if that is to be done on a dirty
    /// scheduler.
    pub fn args(&self, list: Term) -> Result<Args> {
        let Some(numbers) = &self.numbers else {
            if self.references && host_term::is_large(list) {
                return Err(Error::Large);
            }
            return self
                .check_arity(values::count(list)?)
                .map(|()| Args::Terms(list.as_c_arg()));
        };
        let arity = numbers.arity;
        let mut raw = [0; MAX_RAW];
        let mut got = 0;
        let mut rest = list;
        while got < arity
            && let Some((term, tail)) = terms::cell(rest)
        {
            let Some(number) = numbers.params[got].decode(term) else {
                // A wrong number of arguments is reported first.
                self.check_arity(values::count(list)?)?;
                return Err(self.mismatch(got, term));
            };
            raw[got] = number;
            got += 1;
            rest = tail;
        }
        if got < arity || !rest.is_empty_list() {
            self.check_arity(values::count(list)?)?;
        }
        Ok(Args::Raw(raw))
    }

    fn mismatch(&self, position: usize, term: Term) -> Error {
        match self.ty.param(position) {
            Some(ty) => values::mismatch(Some(position), &ty, term),
            None => Error::broken("a parameter without a type"),
        }
    }

    fn check_arity(&self, got: usize) -> Result<()> {
        let expected = self.ty.params().len();
        if expected == got {
            Ok(())
        } else {
            Err(Arity { expected, got }.into())
        }
    }

    /// Calls the function. The result is a list, a term of the environment of the NIF whose poll completes it.
    pub async fn call(
        &self,
        cx: StoreContextMut<'_, StoreData>,
        args: Args,
        floats: Floats,
    ) -> Result<ErlNifTerm> {
        match (args, &self.numbers) {
            (Args::Raw(raw), Some(numbers)) => {
                let result = numbers.call.call(cx, raw).await.map_err(Error::Guest)?;
                encode(|env| Ok(numbers.encode(env, result, floats)))
            }
            (Args::Raw(_), None) => Err(Error::broken("raw arguments for a generic call")),
            // Boxed: its state would enlarge that of every call.
            (Args::Terms(list), _) => Box::pin(self.call_generic(cx, list, floats)).await,
        }
    }

    /// Any types, value by value.
    async fn call_generic(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        list: ErlNifTerm,
        floats: Floats,
    ) -> Result<ErlNifTerm> {
        // References made for this call are unrooted when it ends.
        let mut scope = wasmtime::RootScope::new(&mut cx);
        let (mut params, unheld) = self.decode_terms(scope.as_context_mut(), list)?;
        for (position, term) in unheld {
            let held = values::hold(scope.as_context_mut(), term).await;
            params[position] = held.map_err(|error| values::at(error, position))?;
        }
        let mut results = vec![Val::I32(0); self.ty.results().len()];
        self.func
            .call_async(&mut scope, &params, &mut results)
            .await
            .map_err(Error::Guest)?;
        encode(|env| values::encode_list(env, scope.as_context_mut(), &results, floats))
    }

    fn decode_terms(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        list: ErlNifTerm,
    ) -> Result<Params> {
        env::in_env(|env| {
            // SAFETY: the list came with the NIF that is now polling for the first time.
            let list = unsafe { env::term(env, list) };
            let terms = terms::list(list).into_iter().flat_map(|(terms, _)| terms);
            let mut params = Vec::new();
            let mut unheld = Vec::new();
            for (position, (term, ty)) in terms.zip(self.ty.params()).enumerate() {
                let decoded = values::decode_unheld(cx.as_context_mut(), term, &ty);
                params.push(
                    match decoded.map_err(|error| values::at(error, position))? {
                        Decoded::Value(value) => value,
                        Decoded::Term(term) => {
                            unheld.push((position, term));
                            Val::ExternRef(None)
                        }
                    },
                );
            }
            Ok((params, unheld))
        })
        .unwrap_or(Err(Error::Cancelled))
    }
}

/// Arguments, and those among them that become references later.
type Params = (Vec<Val>, Vec<(usize, Unheld)>);

/// Makes a term in the environment of the polling NIF.
fn encode(f: impl FnOnce(Env<'_>) -> Result<Term<'_>>) -> Result<ErlNifTerm> {
    env::in_env(|env| f(env).map(|term| term.as_c_arg())).unwrap_or(Err(Error::Cancelled))
}

impl Numbers {
    fn new(cx: impl AsContext, func: Func, ty: &FuncType) -> Option<Self> {
        let arity = ty.params().len();
        if arity > MAX_RAW || ty.results().len() > 1 {
            return None;
        }
        let mut kinds = [Number::I32; MAX_RAW];
        for (kind, ty) in kinds.iter_mut().zip(ty.params()) {
            *kind = Number::of(&ty)?;
        }
        let result = match ty.result(0) {
            Some(ty) => Some(Number::of(&ty)?),
            None => None,
        };
        // SAFETY: only numbers, of the number just checked.
        let call = unsafe { RawCall::new(cx, func, arity, result.is_some())? };
        Some(Numbers {
            arity,
            params: kinds,
            result,
            call,
        })
    }

    fn encode<'a>(&self, env: Env<'a>, raw: i64, floats: Floats) -> Term<'a> {
        match self.result {
            Some(kind) => Term::list_new_empty(env).list_prepend(kind.encode(env, raw, floats)),
            None => Term::list_new_empty(env),
        }
    }
}
