defmodule @Name@ do
  @moduledoc """
  The guest in `guests/@name@`, as a process.

      {:ok, pid} = @Name@.start_link()
      @Name@.greet(pid, "Ada")
      #=> {:ok, "Hello, Ada!"}
  """

  @doc "Starts the guest. The options are those of `Wasmex.start_link/1`."
  def start_link(opts \\ []),
    do: Wasmex.start_link(Keyword.merge([path: path(), wasi: true], opts))

  def child_spec(opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}}

  @doc "Greets somebody."
  @spec greet(GenServer.server(), String.t()) :: {:ok, String.t()} | {:error, String.t()}
  def greet(server, name),
    do: Wasmex.call_function(server, :greet, [{:string, name}], returns: :string)

  @doc "Adds two numbers."
  @spec add(GenServer.server(), integer(), integer()) :: {:ok, [integer()]} | {:error, String.t()}
  def add(server, a, b), do: Wasmex.call_function(server, :add, [a, b])

  defp path, do: Application.app_dir(:@app@, "priv/guests/@name@.wasm")
end
