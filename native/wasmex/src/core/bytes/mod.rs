//! Calls that pass bytes: arguments are copied into memory from the guest's own allocator, results are copied out.
//!
//! Allocating, calling, reading and freeing are one job, so that no other user of the store comes in between.

use crate::core::bytes::copy::{Block, read, text_at, write};
use crate::core::bytes::values::{
    call_numbers, call_params, no_memory, number, returned, returned_form, tagged, value,
};
use crate::core::instance::{InstanceResource, UnknownExport};
use crate::core::memory;
use crate::guest::data::StoreData;
use crate::guest::drive;
use crate::guest::host_term;
use crate::guest::job::{Job, Running, Task};
use crate::guest::signature::Signature;
use crate::guest::values::{self as guest_values, Arity, Floats};
use crate::vm::atoms;
use crate::vm::dirty;
use crate::vm::env;
use crate::vm::error::{Error, Result};
use crate::vm::fast_nif::{self, fast_nif};
use crate::vm::resource::ResourceArc;
use crate::vm::term_box::TermBox;
use rustler::sys::ErlNifTerm;
use rustler::{Atom, Binary, Encoder, Env, NifResult, OwnedBinary, Term};
use wasmtime::{AsContextMut, Memory, RootScope, StoreContextMut, Val, ValType};

mod copy;
mod values;

/// Usual names of allocators; the first exported one is used. `cabi_realloc` is the component model's.
const ALLOCATORS: [&str; 4] = ["malloc", REALLOC, "allocate", "alloc"];
const DEALLOCATORS: [&str; 3] = ["free", "deallocate", "dealloc"];
const REALLOC: &str = "cabi_realloc";

/// How the results are returned.
#[derive(Clone, Copy, PartialEq)]
pub enum Returns {
    /// As they are.
    Values,
    /// The bytes they point to.
    Bytes,
    /// The same, for a single pointer to a NUL-terminated text.
    Text,
}

/// `{allocator, deallocator, memory, floats as bits, returns, free the result}`: names, nil for the usual ones.
type Settings = (
    Option<String>,
    Option<String>,
    Option<String>,
    bool,
    Atom,
    bool,
);

enum Arg {
    /// A term of the NIF that begins the call.
    Value(ErlNifTerm),
    Bytes(TermBox),
}

/// An ordinary argument.
enum Slot {
    Value(Val),
    /// The bytes of the argument with this index, as pointer and length of these types.
    Pair(usize, ValType, ValType),
    /// The same as one i64, with the pointer in the high half.
    Packed(usize),
}

struct BytesCall {
    instance: ResourceArc<InstanceResource>,
    name: String,
    args: Vec<Arg>,
    allocator: Option<String>,
    deallocator: Option<String>,
    memory: Option<String>,
    floats: Floats,
    returns: Returns,
    free_result: bool,
}

fast_nif!(instance_call_bytes / 6);
/// As `instance_call`, with `{:bytes, binary}` allowed as arguments.
fn instance_call_bytes<'a>(env: Env<'a>, args: [Term<'a>; 6]) -> NifResult<Term<'a>> {
    let [instance, name, params, settings, fuel, via] = args;
    let instance: ResourceArc<InstanceResource> = instance.decode()?;
    if host_term::is_large(params) || instance.cell.allocates_slowly() {
        return Ok(dirty::again(env, c"instance_call_bytes", &args));
    }
    let params: Vec<Term> = params.decode()?;
    let settings: Settings = settings.decode()?;
    let (allocator, deallocator, memory, bits, returns, free_result) = settings;
    let cell = instance.cell.clone();
    let call = BytesCall {
        instance,
        name: name.decode()?,
        args: params.into_iter().map(arg).collect(),
        allocator,
        deallocator,
        memory,
        floats: if bits { Floats::Bits } else { Floats::Values },
        returns: match returns {
            returns if returns == atoms::bytes() => Returns::Bytes,
            returns if returns == atoms::string() => Returns::Text,
            _ => Returns::Values,
        },
        free_result,
    };
    let job = Job::task(call, fast_nif::option(fuel)?);
    Ok(drive::begin(env, &cell, via.decode()?, job))
}

fn arg(term: Term) -> Arg {
    match term.decode::<(Atom, Binary)>() {
        Ok((tag, bytes)) if tag == atoms::bytes() => {
            Arg::Bytes(TermBox::new(bytes.to_term(term.get_env())))
        }
        _ => Arg::Value(term.as_c_arg()),
    }
}

impl Task for BytesCall {
    fn run<'a>(self: Box<Self>, cx: StoreContextMut<'a, StoreData>) -> Running<'a> {
        Box::pin(async move { self.call(cx).await })
    }
}

impl BytesCall {
    async fn call(&self, mut cx: StoreContextMut<'_, StoreData>) -> Result<ErlNifTerm> {
        // References made for this call are unrooted when it ends.
        let mut scope = RootScope::new(&mut cx);
        let signature = self
            .instance
            .signature(scope.as_context_mut(), &self.name)?;
        let slots = self.slots(scope.as_context_mut(), &signature)?;
        if self.returns != Returns::Values {
            returned_form(&signature, self.returns)?;
        }
        let mut blocks = Vec::new();
        let made = self
            .perform(scope.as_context_mut(), &signature, slots, &mut blocks)
            .await;
        // Freed also after a failure. The guest's heap may be corrupt then, which affects only the guest.
        for block in &blocks {
            let _ = self.free(scope.as_context_mut(), block).await;
        }
        let made = made?;
        env::in_env(|env| made.term(env, scope.as_context_mut(), self.floats))
            .unwrap_or(Err(Error::Cancelled))
    }

    /// Reads terms of the polling NIF here, before the guest runs for the first time.
    fn slots(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        signature: &Signature,
    ) -> Result<Vec<Slot>> {
        let one_each = self.args.len() == signature.ty.params().len();
        let mut types = signature.ty.params();
        let mut slots = Vec::with_capacity(self.args.len());
        for (index, arg) in self.args.iter().enumerate() {
            let ty = types.next().ok_or_else(|| self.arity(signature))?;
            let slot = match arg {
                Arg::Value(term) => Slot::Value(value(cx.as_context_mut(), *term, &ty, index)?),
                Arg::Bytes(_) if one_each && matches!(ty, ValType::I64) => Slot::Packed(index),
                Arg::Bytes(bytes) if one_each && ty.is_ref() => {
                    Slot::Value(tagged(cx.as_context_mut(), bytes, &ty, index)?)
                }
                Arg::Bytes(_) => {
                    let length = types.next().ok_or_else(|| self.arity(signature))?;
                    Slot::Pair(index, ty, length)
                }
            };
            slots.push(slot);
        }
        if types.next().is_some() {
            return Err(self.arity(signature));
        }
        Ok(slots)
    }

    fn arity(&self, signature: &Signature) -> Error {
        let bytes = self.args.iter().filter(|arg| matches!(arg, Arg::Bytes(_)));
        Arity {
            expected: signature.ty.params().len(),
            got: self.args.len() + bytes.count(),
        }
        .into()
    }

    async fn perform(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        signature: &Signature,
        slots: Vec<Slot>,
        blocks: &mut Vec<Block>,
    ) -> Result<Made> {
        let mut params = Vec::with_capacity(signature.ty.params().len());
        for slot in slots {
            match slot {
                Slot::Value(value) => params.push(value),
                Slot::Packed(index) => {
                    let block = self.hand_over(cx.as_context_mut(), index, blocks).await?;
                    let packed = (block.0 << 32) | (block.1 & 0xFFFF_FFFF);
                    params.push(Val::I64(packed as i64));
                }
                Slot::Pair(index, pointer, length) => {
                    let block = self.hand_over(cx.as_context_mut(), index, blocks).await?;
                    params.push(number(block.0, &pointer, index)?);
                    params.push(number(block.1, &length, index)?);
                }
            }
        }
        let mut results = vec![Val::I32(0); signature.ty.results().len()];
        signature
            .func
            .call_async(&mut cx, &params, &mut results)
            .await
            .map_err(Error::Guest)?;
        if self.returns == Returns::Values {
            return Ok(Made::Values(results));
        }
        let memory = self.memory(cx.as_context_mut())?;
        let block = match *results.as_slice() {
            [Val::I32(pointer)] => text_at(&memory, &cx, pointer as u32)?,
            _ => returned(&results).ok_or(Error::Cancelled)?,
        };
        let bytes = read(cx.as_context_mut(), &memory, &block).await?;
        if self.free_result && block.pointer != 0 {
            blocks.push(block);
        }
        Ok(Made::Bytes(bytes))
    }

    /// Copies the bytes of an argument into guest memory; returns the offset and the length.
    async fn hand_over(
        &self,
        mut cx: StoreContextMut<'_, StoreData>,
        index: usize,
        blocks: &mut Vec<Block>,
    ) -> Result<(u64, u64)> {
        let bytes = match &self.args[index] {
            Arg::Bytes(bytes) => bytes.bytes(),
            Arg::Value(_) => &[],
        };
        let size = bytes.len() as u64;
        let pointer = self.allocate(cx.as_context_mut(), size).await?;
        blocks.push(Block { pointer, size });
        let memory = self.memory(cx.as_context_mut())?;
        write(cx, &memory, pointer, bytes).await?;
        Ok((pointer, size))
    }

    async fn allocate(&self, mut cx: StoreContextMut<'_, StoreData>, size: u64) -> Result<u64> {
        let name = self.allocator()?;
        let signature = self.instance.signature(cx.as_context_mut(), name)?;
        // realloc(old_pointer, old_size, alignment, new_size) of the canonical ABI.
        let params = match signature.ty.params().len() {
            4 => call_params(&signature, &[0, 0, 1, size]),
            _ => call_params(&signature, &[size]),
        };
        let result = call_numbers(cx, &signature, params?).await?;
        match result {
            Some(0) if size > 0 => Err(no_memory(name, size)),
            Some(pointer) => Ok(pointer),
            None => Err(no_memory(name, size)),
        }
    }

    async fn free(&self, mut cx: StoreContextMut<'_, StoreData>, block: &Block) -> Result<()> {
        let name = match (&self.deallocator, self.allocator()) {
            (Some(name), _) => name,
            (None, Ok(REALLOC)) => REALLOC,
            (None, _) => match DEALLOCATORS.into_iter().find(|name| self.exports(name)) {
                Some(name) => name,
                None => return Ok(()),
            },
        };
        let signature = self.instance.signature(cx.as_context_mut(), name)?;
        let (pointer, size) = (block.pointer, block.size);
        let params = match signature.ty.params().len() {
            4 => call_params(&signature, &[pointer, size, 1, 0]),
            2 => call_params(&signature, &[pointer, size]),
            _ => call_params(&signature, &[pointer]),
        };
        call_numbers(cx, &signature, params?).await.map(|_| ())
    }

    fn allocator(&self) -> Result<&str> {
        let usual = || ALLOCATORS.into_iter().find(|name| self.exports(name));
        self.allocator.as_deref().or_else(usual).ok_or_else(|| {
            let message = format!(
                "bytes as an argument need an allocator exported by the guest: one of {}, or the one named by `allocator:`",
                ALLOCATORS.join(", ")
            );
            Error::text(atoms::params(), message)
        })
    }

    fn exports(&self, name: &str) -> bool {
        let export = self.instance.module().get_export(name);
        export.is_some_and(|ty| ty.func().is_some())
    }

    fn memory(&self, mut cx: StoreContextMut<'_, StoreData>) -> Result<Memory> {
        let usual = self.instance.memory();
        let name = self.memory.as_deref().or(usual).unwrap_or(memory::NAME);
        let memory = self.instance.instance.get_memory(&mut cx, name);
        memory.ok_or_else(|| {
            UnknownExport {
                kind: atoms::memory(),
                name: name.to_string(),
                names: Vec::new(),
            }
            .into()
        })
    }
}

/// The result of the call, kept until its buffers are freed.
enum Made {
    Values(Vec<Val>),
    Bytes(OwnedBinary),
}

impl Made {
    fn term(
        self,
        env: Env<'_>,
        cx: StoreContextMut<'_, StoreData>,
        floats: Floats,
    ) -> Result<ErlNifTerm> {
        let list = match self {
            Made::Values(values) => guest_values::encode_list(env, cx, &values, floats)?,
            Made::Bytes(bytes) => vec![Binary::from_owned(bytes, env)].encode(env),
        };
        Ok(list.as_c_arg())
    }
}
