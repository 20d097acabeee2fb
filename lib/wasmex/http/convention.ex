defmodule Wasmex.HTTP.Convention do
  @moduledoc false
  # How a request becomes what a guest reads, and what it prints becomes a response. A convention says
  # four things; `Exchange` does the rest.

  alias Wasmex.HTTP.{CGI, Component, Env, Request}
  alias Wasmex.Program.Entry

  @doc "Elixir functions that the guest may import."
  @callback imports(name :: String.t()) :: map()
  @doc "Its arguments and its environment."
  @callback input(Request.t()) :: {[String.t()], %{String.t() => String.t()}}
  @doc """
  Looks for the head of the response in what was printed so far: `{:head, status, headers, rest}`,
  `:more`, or `{:error, why}`.
  """
  @callback head(printed :: binary()) ::
              {:head, 200..599, [{String.t(), String.t()}], binary()}
              | :more
              | {:error, String.t()}

  @doc "How the program is entered, where that is not its start."
  @callback entry(Request.t()) :: Entry.t()
  @optional_callbacks entry: 1

  @conventions %{env: Env, cgi: CGI, component: Component}

  @doc "How a request enters the program; nil for the program's start."
  @spec entry(module(), Request.t()) :: Entry.t() | nil
  def entry(module, request) do
    if function_exported?(module, :entry, 1), do: module.entry(request)
  end

  @doc "The module of a convention."
  @spec module(atom()) :: module()
  def module(name), do: Map.fetch!(@conventions, name)

  @spec names() :: [atom()]
  def names, do: Map.keys(@conventions)

  @doc """
  The convention that a program seems to follow: one that imports `env.log_…` is `:env`, one that
  contains `Content-Type` is `:cgi`.
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
