//! The kernel's module: `kernel.wat`, compiled once for each engine.

use crate::guest::data::StoreData;
use crate::plugin::memory;

use std::sync::{Mutex, PoisonError};
use wasmtime::{AsContextMut, Caller, Engine, InstancePre, Linker, Module, ModuleExport};

const SOURCE: &str = include_str!("kernel.wat");

/// The live engines that have created plug-ins.
static KERNELS: Mutex<Vec<(wasmtime::EngineWeak, Kernel)>> = Mutex::new(Vec::new());

/// The kernel's module, ready to be instantiated.
#[derive(Clone)]
pub struct Kernel {
    pub template: InstancePre<StoreData>,
    pub memory: ModuleExport,
}

impl Kernel {
    /// The kernel of an engine.
    pub fn of(engine: &Engine) -> wasmtime::Result<Self> {
        let mut kernels = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.retain(|(engine, _)| engine.upgrade().is_some());
        let is_known = |known: &wasmtime::EngineWeak| {
            known
                .upgrade()
                .is_some_and(|known| Engine::same(&known, engine))
        };
        if let Some((_, kernel)) = kernels.iter().find(|(known, _)| is_known(known)) {
            return Ok(kernel.clone());
        }
        let kernel = Self::compile(engine)?;
        kernels.push((engine.weak(), kernel.clone()));
        Ok(kernel)
    }

    fn compile(engine: &Engine) -> wasmtime::Result<Self> {
        let bytes = wat::parse_str(SOURCE)?;
        let module = Module::from_binary(engine, &bytes)?;
        let memory = module
            .get_export_index("memory")
            .ok_or_else(|| wasmtime::Error::msg("the kernel has no memory"))?;
        let mut linker = Linker::new(engine);
        linker.func_wrap(
            "host",
            "place",
            |mut host: Caller<'_, StoreData>, n: u64| {
                memory::place_for_guest(&mut host.as_context_mut(), n)
            },
        )?;
        let template = linker.instantiate_pre(&module)?;
        Ok(Kernel { template, memory })
    }

    /// An exported function; `None` for unknown names and for the memory, which cannot be imported.
    pub fn function(&self, name: &str) -> Option<ModuleExport> {
        let module = self.template.module();
        module.get_export(name)?.func()?;
        module.get_export_index(name)
    }
}
