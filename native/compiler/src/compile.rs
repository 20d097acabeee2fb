//! Compiles one request.

use crate::protocol::{Kind, Reply, Request, Task, Why};
use crate::snapshot;
use crate::state::State;
use scan::{Limit, Limits, Refusal};
use wasmex_settings::Settings;
use wasmtime::Engine;

/// Keeps the engine of the last request: the next one usually has the same settings.
pub struct Compiler(Option<Known>);

struct Known {
    settings: Vec<u8>,
    engine: Engine,
    limits: Limits,
}

impl Compiler {
    /// A compiler without cached engines.
    pub fn new() -> Self {
        Compiler(None)
    }

    /// Runs one request.
    pub fn run(&mut self, request: &Request) -> Reply {
        if request.task == Task::Compile {
            return self.compile(request);
        }
        match self.written(request) {
            Ok(code) => Reply::Compiled { artefact: code },
            Err(reply) => reply,
        }
    }

    /// Produces instrumented code, or code that starts from a saved state.
    fn written(&mut self, request: &Request) -> Result<Vec<u8>, Reply> {
        let failed =
            |error: wasmtime::Error| Reply::failed(Why::Snapshot, format!("{error:?}").trim_end());
        let state = match request.task {
            Task::Snapshot => Some(
                State::read(request.code)
                    .ok_or_else(|| Reply::failed(Why::Snapshot, "the state can't be read"))?,
            ),
            _ => None,
        };
        let code = state.as_ref().map_or(request.code, |state| state.code);
        let limits = match self.known(request.settings) {
            Ok(known) => &known.limits,
            Err(error) => return Err(Reply::failed(Why::Settings, error)),
        };
        scan::binary(code, limits).map_err(|refusal| refused(&refusal))?;
        if kind(code) != request.kind {
            return Err(Reply::failed(Why::Kind, ""));
        }
        match state {
            None => snapshot::instrument(request.kind, code).map_err(failed),
            Some(state) => snapshot::take(request.kind, &state).map_err(failed),
        }
    }

    /// Compiles the request's code to an artefact for an engine with its settings.
    fn compile(&mut self, request: &Request) -> Reply {
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
            // Includes the causes, formatted as wasmtime does.
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
            limits.read_debug(read.reads_debug());
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

/// Decided by the layer field of the header. Without a valid header it counts as a module, which the compiler then
/// rejects.
fn kind(code: &[u8]) -> Kind {
    match code.get(6..8) {
        Some(&[layer, _]) if layer != 0 => Kind::Component,
        _ => Kind::Module,
    }
}
