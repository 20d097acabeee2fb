defmodule Wasmex.Options.Type.Dirs do
  @moduledoc false
  # Directories of a program by guest path, converted to a list of `Wasmex.Wasi.PreopenOptions`.

  use Wasmex.Options.Type

  alias Wasmex.Options.Type
  alias Wasmex.Wasi.PreopenOptions

  @impl true
  def cast(dirs) when (is_map(dirs) and not is_struct(dirs)) or is_list(dirs) do
    Enum.reduce_while(dirs, {:ok, []}, fn dir, {:ok, done} ->
      with {:ok, preopen} <- preopen(dir),
           {:ok, preopen} <- Type.cast({:options, PreopenOptions}, preopen) do
        {:cont, {:ok, done ++ [preopen]}}
      else
        problem -> {:halt, problem}
      end
    end)
  rescue
    # An improper list.
    FunctionClauseError -> problem(dirs)
  end

  def cast(other), do: problem(other)

  defp preopen(%{__struct__: PreopenOptions} = preopen), do: {:ok, preopen}

  defp preopen({guest, {host, mode}}) when is_binary(guest) and mode in [:ro, :rw],
    do: {:ok, struct(PreopenOptions, path: host, alias: guest, read_only: mode == :ro)}

  defp preopen({guest, host}) when is_binary(host), do: preopen({guest, {host, :rw}})

  defp preopen(other), do: problem(other)

  defp problem(other), do: {:error, "", "#{expected()}, such as #{example()}", other}

  @impl true
  def expected, do: "a map of guest paths to host paths"

  @impl true
  def spec do
    quote do
      %{optional(String.t()) => Path.t() | {Path.t(), :ro | :rw}}
      | [{String.t(), Path.t() | {Path.t(), :ro | :rw}}]
    end
  end

  @impl true
  def example, do: ~s|%{"/data" => "lib", "/etc" => {"test", :ro}}|

  # HOST[::GUEST][:ro]
  @impl true
  def parse(word) do
    {word, mode} =
      if String.ends_with?(word, ":ro"),
        do: {String.replace_suffix(word, ":ro", ""), :ro},
        else: {word, :rw}

    case String.split(word, "::", parts: 2) do
      [host, guest] -> {:ok, {guest, {host, mode}}}
      [host] -> {:ok, {host, {host, mode}}}
    end
  end

  @impl true
  def repeats?, do: true
end
