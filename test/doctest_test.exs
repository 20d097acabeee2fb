defmodule Wasmex.DoctestTest do
  use ExUnit.Case, async: true

  for module <- [
        Wasmex,
        Wasmex.Engine,
        Wasmex.EngineConfig,
        Wasmex.Error,
        Wasmex.Exit,
        Wasmex.Func,
        Wasmex.Global,
        Wasmex.Inspection,
        Wasmex.Instance,
        Wasmex.Linker,
        Wasmex.Memory,
        Wasmex.Module,
        Wasmex.Pipe,
        Wasmex.Profile,
        Wasmex.Program,
        Wasmex.Reference,
        Wasmex.Run,
        Wasmex.Store,
        Wasmex.StoreLimits,
        Wasmex.StoreOrCaller,
        Wasmex.Table,
        Wasmex.Tag,
        Wasmex.Template,
        Wasmex.Trace,
        Wasmex.Trap,
        Wasmex.Utils,
        Wasmex.Wasi.PreopenOptions,
        Wasmex.Wasi.WasiOptions,
        Wasmex.Wat
      ] do
    doctest module
  end
end
