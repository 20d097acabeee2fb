defmodule Wasmex.HTTP.Convention do
  @moduledoc false
  # A convention converts a request to the input of a guest, and its output to a response. `Exchange` drives it.

  alias Wasmex.HTTP.{CGI, Component, Env, Request}
  alias Wasmex.Program.Entry

  @doc "Elixir functions that the guest may import."
  @callback imports(name :: String.t()) :: map()
  @doc "The arguments and the environment of the guest."
  @callback input(Request.t()) :: {[String.t()], %{String.t() => String.t()}}
  @doc """
  Parses the head of the response from the output so far: `{:head, status, headers, rest}`, `:more` if it is incomplete, or
  `{:error, reason}`.
  """
  @callback head(printed :: binary()) ::
              {:head, 200..599, [{String.t(), String.t()}], binary()}
              | :more
              | {:error, String.t()}

  @doc "The entry for a request, if it is not the start function of the program."
  @callback entry(Request.t()) :: Entry.t()
  @optional_callbacks entry: 1

  @conventions %{env: Env, cgi: CGI, component: Component}

  @doc "The entry for a request, or nil for the start function of the program."
  @spec entry(module(), Request.t()) :: Entry.t() | nil
  def entry(module, request) do
    if function_exported?(module, :entry, 1), do: module.entry(request)
  end

  @doc "The Elixir functions that a program of this convention may import."
  @spec imports(atom(), String.t()) :: map()
  def imports(:resident, _name), do: %{}
  def imports(convention, name), do: module(convention).imports(name)

  @doc "The module of a convention."
  @spec module(atom()) :: module()
  def module(name), do: Map.fetch!(@conventions, name)

  @spec names() :: [atom()]
  def names, do: Map.keys(@conventions) ++ [:resident]

  @doc """
  Detects the convention: a program that imports `env.log_…` uses `:env`, a program that contains `Content-Type` uses
  `:cgi`.
  """
  @spec guess([tuple()], binary()) :: atom()
  def guess(imports, bytes) do
    cond do
      Enum.any?(imports, &match?({"env", "log_" <> _, _}, &1)) -> :env
      bytes =~ ~r/content-type:/i -> :cgi
      true -> :env
    end
  end
end
