defmodule Wasmex.Compiler do
  @moduledoc """
  Compiles WebAssembly, in the VM or in a separate operating system process with limits.

  The bytes determine how much memory and time compiling takes, and malicious bytes may crash the compiler. `compile:` says
  where it happens:

    * `:auto`, the default: threads of the VM compile what takes a moment and little memory. A scan of the bytes decides that: at
      most a fiftieth of each of the engine's default limits (`Wasmex.Limits`). All other code is compiled like
      `:isolated`. Where no helper can be started, it is compiled in the VM, and a warning is logged once.
    * `:isolated`: a helper program compiles, which is an operating system process with limits. If the helper crashes, runs
      out of memory or exceeds its time limit, the caller gets an error and nothing else is affected. If the caller is
      killed, so is the helper. A helper costs a few milliseconds.
    * `:in_process`: threads of the VM compile, whatever it takes. Such a compile cannot be stopped. Only for trusted code.

  ## Options

  All functions that compile accept these options: `Wasmex.Module.compile/3`, `Wasmex.Components.Component.compile/3`,
  `Wasmex.Engine.precompile_module/3`, `Wasmex.start_link/1`, `Wasmex.Components.start_link/1`, `Wasmex.run/3`,
  `Wasmex.HTTP.load/2`, `Wasmex.Plugin.compile/2`, and the Mix tasks as `--compile`, `--compile-memory` and `--compile-timeout`.

  | option | default | |
  |---|---|---|
  | `:compile` | `:auto`; `:isolated` for folders of HTTP functions, plug-ins from a URL, `mix wasmex.run`, `mix wasmex.call` and `mix wasmex.serve` | where to compile |
  | `:compile_memory` | 2 GiB | the maximum address space of the helper in bytes, at least 64 MiB |
  | `:compile_timeout` | 120,000 | the time limit in ms, without the time spent in the queue |
  | `:compile_reuse` | `nil` | a name; compiles with the same name may reuse a helper |

  The last three are for the helper, so not for `:in_process`. Without `:compile_reuse`, each compile starts a new helper, so that compiles
  share no state. With it, a helper stays for ten seconds, which saves the next compile a few milliseconds. Use the same
  name only for code with the same level of trust, such as that of one tenant.

  A native library without the feature `:compiler` (see the [installation guide](installation.md)) always uses
  `:isolated`.

  ## Configuration

      config :wasmex,
        # the number of concurrent helpers; default: the number of schedulers
        compilers: 4,
        # the number of threads per helper; default: the number of schedulers, at most 4
        compile_threads: 2,
        # the length of the queue, beyond which compiles fail with `:compile_queue_full`
        compile_queue: 256

  ## The disk cache

  Compiled code is kept on disk, so that the next start of the VM only loads it. This applies to all functions that
  compile implicitly: `Wasmex.run/3`, `Wasmex.start_link/1`, `Wasmex.Components.start_link/1`, `use Wasmex.Component`,
  plug-ins, HTTP functions and the Mix tasks. `cache: false` disables it. `Wasmex.Module.compile/3` and similar
  functions only use the cache with `cache: true`. Code of less than 16 KiB is not cached.

      config :wasmex,
        # the directory, or false; by default `wasmex/compiled` in the user's cache directory
        cache: "/var/cache/my_app/wasm",
        # the maximum size in bytes; by default 512 MiB. The least recently used code is removed first
        cache_size: 1_000_000_000

  The environment variable `WASMEX_CACHE` (a directory, or `off`) takes precedence. The directory is created with mode
  0700. It is refused if others may write to it or replace it, since its contents are run as machine code. For a
  configured directory that is an error (`:cache`); without the default directory nothing is cached, and a warning is
  logged once. Entries carry a digest, and depend on the version of this library, the kind of machine and the engine
  settings.

  `mix compile` builds the helper, `wasmex-compiler` in `priv/native`. `WASMEX_COMPILER_PATH` selects another one. Without
  a helper, `:isolated` returns an error; it never compiles in the VM instead.

  ## Errors

  | reason of `Wasmex.Error` | |
  |---|---|
  | `:compile` | the code is invalid |
  | `:compile_timeout`, `:compile_memory` | the compile exceeded a limit |
  | `:compile_crash` | the helper crashed or was killed |
  | `:compile_queue_full` | the queue is full |
  | `:compiler` | the helper is missing, is from another build, or cannot apply its limits |

  ## Limits of isolation

  The helper returns machine code, which the VM runs in wasmtime's sandbox. Isolation contains crashes, excessive use of
  resources, and a compromised compiler's access to the machine. It does not verify the machine code: see the security
  guide.

  ## Example

      iex> {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), "(module)", compile: :isolated)
      iex> Wasmex.Module.exports(module)
      %{}
  """

  alias Wasmex.Cache.Disk
  alias Wasmex.Compiler.{Helper, InProcess, Notice, Options, Queue}
  alias Wasmex.Components.Component
  alias Wasmex.{Error, Native, Wat}

  @type kind :: :module | :component

  @doc "The path of the helper."
  @spec path() :: String.t()
  def path, do: Helper.path()

  @doc """
  The numbers of running and of waiting compiles, for `compile: :isolated`.

      iex> Wasmex.Compiler.info()
      %{running: 0, waiting: 0}
  """
  @spec info() :: %{running: non_neg_integer(), waiting: non_neg_integer()}
  def info, do: Queue.info()

  @doc false
  # The code for the compiler. The helper parses text itself.
  @spec code(kind(), reference(), binary(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def code(kind, engine, code, options)
  def code(:module, engine, <<0, "asm", _::binary>> = wasm, _), do: Wat.module(wasm, engine)

  def code(:component, engine, <<0, "asm", _::binary>> = wasm, _),
    do: Component.to_component(wasm, engine)

  def code(_kind, _engine, text, %{where: :isolated}), do: Wat.check(text)
  def code(:module, engine, text, _options), do: Wat.module(text, engine)
  def code(:component, engine, text, _options), do: Component.to_component(text, engine)

  @doc false
  # Compiles a module from bytes, or from text if isolated, and returns its resource.
  @spec module(reference(), binary(), Options.t()) :: {:ok, reference()} | {:error, Exception.t()}
  def module(engine, code, options) do
    compile(
      :module,
      engine,
      code,
      options,
      &Native.module_compile(engine, code, &1, &2, &3),
      &Native.module_deserialize(engine, &1)
    )
  end

  @doc false
  # The same for a component. `names` maps names to atoms.
  @spec component(reference(), binary(), [{String.t(), atom()}], Options.t()) ::
          {:ok, reference()} | {:error, Exception.t()}
  def component(engine, code, names, options) do
    compile(
      :component,
      engine,
      code,
      options,
      &Native.component_compile(engine, code, names, &1, &2, &3),
      &Native.component_deserialize(engine, &1, names)
    )
  end

  # What is compiled in the VM and not kept needs no artefact.
  defp compile(kind, engine, code, options, in_process, deserialize) do
    isolated = fn ->
      with {:ok, artefact} <- isolated(kind, engine, code, options),
           do: artefact |> deserialize.() |> native()
    end

    case cache(engine, code, options) do
      nil ->
        Notice.run(kind, code, false, fn -> placed(options, in_process, isolated) end)

      cache ->
        with {:ok, artefact} <- artefact(cache, kind, engine, code, options),
             do: artefact |> deserialize.() |> native()
    end
  end

  # Compiles at the place of the options. Code that is not quick to compile goes to the helper, unless there is none.
  defp placed(%{where: :isolated}, _in_process, isolated), do: isolated.()
  defp placed(%{where: :in_process}, in_process, _), do: InProcess.await(:any, in_process)

  defp placed(%{where: :auto}, in_process, isolated) do
    with {:error, %Error{reason: :expensive}} <- InProcess.await(:quick, in_process),
         {:error, %Error{reason: :compiler} = error} <- isolated.() do
      Notice.no_helper(error)
      InProcess.await(:any, in_process)
    end
  end

  @doc false
  # wasmtime's own artefact, kept in a disk cache where there is one.
  @spec artefact(kind(), reference(), binary(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def artefact(kind, engine, code, options),
    do: engine |> cache(code, options) |> artefact(kind, engine, code, options)

  # For smaller code, caching does not pay off: it compiles in a few milliseconds.
  @least 16 * 1024

  # The engine's own cache stores everything; the configured one only what was requested.
  defp cache(engine, code, options) do
    with nil <- Native.engine_cache(engine) do
      if options.cache and byte_size(code) >= @least, do: Disk.configured()
    end
  end

  defp artefact(cache, kind, engine, code, options) do
    precompile = fn -> precompile(kind, engine, code, options) end
    make = fn -> Notice.run(kind, code, cache != nil, precompile) end
    if cache, do: Disk.fetch(cache, kind, engine, code, make), else: make.()
  end

  @doc false
  # Returns wasmtime's artefact, without a digest.
  @spec precompile(kind(), reference(), binary(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def precompile(kind, engine, code, options) do
    placed(
      options,
      &Native.engine_precompile(engine, kind, code, &1, &2, &3),
      fn -> isolated(kind, engine, code, options) end
    )
  end

  @doc false
  # Produces code other than machine code: `:instrument` exports all of its state, `:snapshot` (the code is followed by
  # a state, see native/compiler/src/state.rs) starts from one. Always in the helper: Wizer is not made for untrusted
  # bytes.
  @spec rewrite(:instrument | :snapshot, kind(), reference(), iodata(), Options.t()) ::
          {:ok, binary()} | {:error, Exception.t()}
  def rewrite(task, kind, engine, code, options),
    do: isolated({task, kind}, engine, code, %{options | where: :isolated})

  # The result comes from a child process of the same build, so it needs no digest.
  defp isolated(kind, engine, code, options) do
    if IO.iodata_length(code) < options.memory do
      settings = Native.engine_settings(engine)
      compile = &Helper.compile(&1, kind, settings, code, options)

      with {:error, %Error{} = error} <- Queue.within(Options.key(options), compile),
           do: {:error, Wat.hinted(error, IO.iodata_to_binary(code))}
    else
      {:error, Options.out_of_memory(options)}
    end
  end

  defp native({:error, native}), do: {:error, Error.from_native(native)}
  defp native(ok), do: ok
end
