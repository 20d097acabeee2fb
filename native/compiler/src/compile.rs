//! A request, compiled.

use crate::protocol::{Kind, Reply, Request, Why};
use scan::{Limit, Limits, Refusal};
use wasmex_settings::Settings;
use wasmtime::Engine;

/// Keeps the engine of the last request, for the next one has most often the same settings.
pub struct Compiler(Option<Known>);

struct Known {
    settings: Vec<u8>,
    engine: Engine,
    limits: Limits,
}

impl Compiler {
    pub fn new() -> Self {
        Compiler(None)
    }

    /// An artefact of the request's code for an engine with its settings.
    pub fn compile(&mut self, request: &Request) -> Reply {
        let Known { engine, limits, .. } = match self.known(request.settings) {
            Ok(known) => known,
            Err(error) => return Reply::failed(Why::Settings, error),
        };
        if !request.code.starts_with(b"\0asm")
            && let Err(refusal) = scan::wat(request.code, limits)
        {
            return refused(&refusal);
        }
        let code = match wat::parse_bytes(request.code) {
            Ok(code) => code,
            Err(error) => return Reply::failed(Why::Parse, error),
        };
        if kind(&code) != request.kind {
            return Reply::failed(Why::Kind, "");
        }
        if let Err(refusal) = scan::binary(&code, limits) {
            return refused(&refusal);
        }
        let artefact = match request.kind {
            Kind::Module => engine.precompile_module(&code),
            Kind::Component => engine.precompile_component(&code),
        };
        match artefact {
            Ok(artefact) => Reply::Compiled { artefact },
            // With its causes, as wasmtime itself prints them.
            Err(error) => Reply::failed(Why::Compile, format!("{error:?}").trim_end()),
        }
    }

    fn known(&mut self, settings: &[u8]) -> wasmtime::Result<&Known> {
        if self
            .0
            .as_ref()
            .is_none_or(|known| known.settings != settings)
        {
            let read = Settings::from_bytes(settings)?;
            let mut limits = Limits::default();
            for (limit, most) in Limit::ALL.iter().zip(&read.limits) {
                limits.set(*limit, *most);
            }
            self.0 = Some(Known {
                settings: settings.to_vec(),
                engine: Engine::new(&read.config())?,
                limits,
            });
        }
        self.0
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg("no engine"))
    }
}

fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Exceeded {
            limit,
            value,
            most,
            offset,
        } => {
            let index = Limit::ALL.iter().position(|known| known == limit);
            Reply::Refused {
                limit: index.and_then(|index| u8::try_from(index).ok()),
                value: *value,
                most: *most,
                offset: *offset as u64,
            }
        }
        Refusal::Malformed { offset } => Reply::Refused {
            limit: None,
            value: 0,
            most: 0,
            offset: *offset as u64,
        },
    }
}

/// By the layer in the header; what has none is a module that the compiler refuses.
fn kind(code: &[u8]) -> Kind {
    match code.get(6..8) {
        Some(&[layer, _]) if layer != 0 => Kind::Component,
        _ => Kind::Module,
    }
}
