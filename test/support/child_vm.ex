defmodule Wasmex.ChildVM do
  @moduledoc "Another VM, for what one can't be asked to survive or to say of itself."

  # A slow compile is logged, which is not what these tests read.
  @start """
  {:ok, _} = Application.ensure_all_started(:wasmex)
  Logger.configure(level: :warning)
  """

  # Under limits all code is there from the start, as in a release: without it nothing that was never called can be
  # loaded once there are no files left to open. That takes as long as most of these VMs live.
  @load """
  for app <- [:kernel, :stdlib, :elixir, :logger, :wasmex],
      {:ok, modules} = :application.get_key(app, :modules),
      module <- modules -- [Wasmex.Native],
      do: :code.ensure_loaded(module)
  """

  @doc "Whether the native library is under AddressSanitizer: `script/asan`."
  def sanitized?, do: System.get_env("LD_PRELOAD", "") =~ "asan"

  @doc "Runs this code in it, under limits of the shell: what was printed to either stream, and the status."
  def run(code, limits \\ "true", runner \\ "") do
    ebin = :wasmex |> :code.lib_dir() |> to_string() |> Path.join("ebin")
    unique = "#{System.pid()}-#{System.unique_integer([:positive])}"
    file = Path.join(System.tmp_dir!(), "wasmex-child-#{unique}.exs")
    # The sanitizer reserves terabytes of addresses.
    limits = if sanitized?(), do: String.replace(limits, ~r/ulimit -v \d+/, "true"), else: limits
    load = if limits == "true", do: "", else: @load
    File.write!(file, [@start, load, code])
    # A bound for one that hangs, below that of a test.
    command = "#{limits}; exec #{runner} timeout 480 elixir -pa #{ebin} #{file}"
    {output, status} = System.cmd("sh", ["-c", command], stderr_to_stdout: true)
    File.rm!(file)
    {output, status}
  end
end
