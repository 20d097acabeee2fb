defmodule Wasmex.Compiler do
  @moduledoc """
  Where WebAssembly is compiled: in a process of the operating system, under limits, or in the VM.

  Compiling takes memory and time that the bytes decide, and a compiler is a large program that hostile bytes may crash.
  With `compile: :isolated` it works in a helper program beside the native library. A crash of the helper, all memory
  used up, or an endless compile is an error for the one who asked and nothing else; when the process that asked is killed,
  so is the helper. With `compile: :in_process` it works on threads of the VM, which saves some milliseconds.

  ## Options

  Everything that compiles takes them: `Wasmex.Module.compile/3`, `Wasmex.Components.Component.compile/3`,
  `Wasmex.Engine.precompile_module/3`, `Wasmex.start_link/1`, `Wasmex.Components.start_link/1`, `Wasmex.run/3`,
  `Wasmex.HTTP.load/2`, and the Mix tasks as `--compile`, `--compile-memory` and `--compile-timeout`.

  | option | default | |
  |---|---|---|
  | `:compile` | `:in_process`; `:isolated` for folders of HTTP functions, `mix wasmex.run` and `mix wasmex.serve` | where |
  | `:compile_memory` | 2 GiB | the address space of the helper, in bytes, at least 64 MiB |
  | `:compile_timeout` | 120,000 | ms that a compile may take; waiting for a place is not counted |
  | `:compile_reuse` | `nil` | a name: compiles with the same one may use the same helper, one after the other |

  The last three are for `:isolated` alone. Without `:compile_reuse` each compile gets a fresh helper, so nothing of one
  compile is there in the next. With it the helper stays for ten seconds and the next compile saves its start, some
  milliseconds: name those that trust each other, a tenant's say.

  ## Configuration

      config :wasmex,
        # helpers at once; by default as many as there are schedulers
        compilers: 4,
        # threads of each; by default as many as there are schedulers, at most 4
        compile_threads: 2,
        # compiles that may wait for a place, after which `:compile_queue_full` is the answer
        compile_queue: 256

  ## The disk cache

  Compiled code is kept on disk, so that the next start of the VM only loads it. That holds for all that compiles on its
  way to something else: `Wasmex.run/3`, `Wasmex.start_link/1`, `Wasmex.Components.start_link/1`, modules that `use
  Wasmex.Component`, plug-ins, HTTP functions and the Mix tasks. `cache: false` is the option against it. `Wasmex.Module.compile/3`
  and its like compile each time; `cache: true` is their option for it. Code of less than 16 KiB is not kept.

      config :wasmex,
        # the directory, or false; by default `wasmex/compiled` in the user's cache directory
        cache: "/var/cache/my_app/wasm",
        # bytes in all; by default 512 MiB. What was not used for longest goes first
        cache_size: 1_000_000_000

  The environment variable `WASMEX_CACHE` (a directory, or `off`) has precedence. The directory is made with mode 0700. One
  that others may write to, or whose place they may change, is refused, since its contents are run as machine code: of a
  configured directory that is an error (`:cache`), without the default one everything is compiled each time, and a
  warning says so once. Entries carry a digest, and are of one version of this library, one kind of machine and one set of
  engine settings.

  The helper is `wasmex-compiler` in `priv/native`, which `mix compile` builds, or where `WASMEX_COMPILER_PATH` says. Where
  there is none `:isolated` is an error; it never turns into `:in_process`.

  ## Errors

  | reason of `Wasmex.Error` | |
  |---|---|
  | `:compile` | the code is not valid |
  | `:compile_timeout`, `:compile_memory` | a limit, which the text names |
  | `:compile_crash` | the helper crashed or was killed |
  | `:compile_queue_full` | too many wait already |
  | `:compiler` | there is no helper, it comes from another build, or it can't put itself under its limits |

  ## What isolation is not

  The artefact that comes back is machine code, which the VM then runs in wasmtime's sandbox. The helper is protected
  against what makes a compiler crash or use up the machine, and what a compiler that was taken over could do to the
  machine. It is no second opinion on the code: see the security guide.

  ## Example

      iex> {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), "(module)", compile: :isolated)
      iex> Wasmex.Module.exports(module)
      %{}
  """

  alias Wasmex.Cache.Disk
  alias Wasmex.Compiler.{Helper, InProcess, Options, Queue}
  alias Wasmex.Components.Component
  alias Wasmex.{Error, Native, Wat}

  @type kind :: :module | :component

  @doc "Where the helper is expected."
  @spec path() :: String.t()
  def path, do: Helper.path()

  @doc """
  How many compile in helpers right now, and how many wait for a place.

      iex> Wasmex.Compiler.info()
      %{running: 0, waiting: 0}
  """
  @spec info() :: %{running: non_neg_integer(), waiting: non_neg_integer()}
  def info, do: Queue.info()

  @doc false
  # Bytes or text as the compiler takes it: one that is isolated reads the text itself.
  @spec code(kind(), binary(), Options.t()) :: {:ok, binary()} | {:error, Exception.t()}
  def code(kind, code, options)
  def code(:module, <<0, "asm", _::binary>> = wasm, _options), do: Wat.module(wasm)
  def code(:component, <<0, "asm", _::binary>> = wasm, _options), do: Component.to_component(wasm)
  def code(_kind, text, %{where: :isolated}), do: Wat.check(text)
  def code(:module, text, _options), do: Wat.module(text)
  def code(:component, text, _options), do: Component.to_component(text)

  @doc false
  # The resource of a module, of bytes or (where it is isolated) text.
  @spec module(reference(), binary(), Options.t()) :: {:ok, reference()} | {:error, Exception.t()}
  def module(engine, code, options) do
    case {cache(engine, code, options), options.where} do
      {nil, :in_process} ->
        InProcess.await(&Native.module_compile(engine, code, &1, &2))

      {cache, _} ->
        with {:ok, artefact} <- artefact(cache, :module, engine, code, options),
             do: engine |> Native.module_deserialize(artefact) |> native()
    end
  end

  @doc false
  # The same of a component, with the names that have atoms.
  @spec component(reference(), binary(), [{String.t(), atom()}], Options.t()) ::
          {:ok, reference()} | {:error, Exception.t()}
  def component(engine, code, names, options) do
    case {cache(engine, code, options), options.where} do
      {nil, :in_process} ->
        InProcess.await(&Native.component_compile(engine, code, names, &1, &2))

      {cache, _} ->
        with {:ok, artefact} <- artefact(cache, :component, engine, code, options),
             do: engine |> Native.component_deserialize(artefact, names) |> native()
    end
  end

  @doc false
  # wasmtime's own artefact, kept in a disk cache where there is one.
  @spec artefact(kind(), reference(), binary(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def artefact(kind, engine, code, options),
    do: engine |> cache(code, options) |> artefact(kind, engine, code, options)

  # Code below this size is compiled faster than a cache is worth: a few milliseconds.
  @least 16 * 1024

  # The engine's own cache has everything; the configured one what was asked to be in it.
  defp cache(engine, code, options) do
    with nil <- Native.engine_cache(engine) do
      if options.cache and byte_size(code) >= @least, do: Disk.configured()
    end
  end

  defp artefact(nil, kind, engine, code, options), do: precompile(kind, engine, code, options)

  defp artefact(cache, kind, engine, code, options),
    do: Disk.fetch(cache, kind, engine, code, fn -> precompile(kind, engine, code, options) end)

  @doc false
  # wasmtime's own artefact, without a digest.
  @spec precompile(kind(), reference(), binary(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def precompile(kind, engine, code, %Options{where: :in_process}),
    do: InProcess.await(&Native.engine_precompile(engine, kind, code, &1, &2))

  def precompile(kind, engine, code, options), do: isolated(kind, engine, code, options)

  # What comes back is of a child of this very VM, made by the same build: it needs no digest.
  defp isolated(kind, engine, code, options) do
    if byte_size(code) < options.memory do
      settings = Native.engine_settings(engine)
      Queue.within(Options.key(options), &Helper.compile(&1, kind, settings, code, options))
    else
      {:error, Options.out_of_memory(options)}
    end
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok
end
