defmodule Wasmex.Component.Names do
  @moduledoc false
  # The only place that makes atoms of names. It is for macros, which name functions, types and modules after the
  # WIT that the author of a module gave; what a guest says at run time never gets here (see names.rs for that).

  # The VM's limit for an atom, in characters.
  @longest 255

  @doc "A name of WIT as it is written in Elixir: `\"first-name\"` is `:first_name`."
  @spec atom(String.t()) :: atom()
  def atom(name), do: name |> Wasmex.WIT.elixir_name() |> identifier()

  @doc "A name that is in Elixir's spelling already, such as `\"add!\"`."
  @spec identifier(String.t()) :: atom()
  def identifier(name), do: name |> check!(name) |> String.to_atom()

  @doc "The module of a name of WIT: `\"http-client\"` within `My` is `My.HttpClient`."
  @spec module(module(), String.t()) :: module()
  def module(base, name) do
    "#{base}.#{camel(name)}" |> check!(name) |> String.to_atom()
  end

  defp camel(name),
    do: name |> String.split(~r/[^a-zA-Z0-9]+/, trim: true) |> Enum.map_join(&capital/1)

  defp capital(<<first::utf8, rest::binary>>), do: String.upcase(<<first::utf8>>) <> rest

  defp check!(text, name) do
    if String.length(text) > @longest do
      raise CompileError,
        description:
          "the name #{String.slice(name, 0, 40)}… of the WIT is too long: it needs an atom of " <>
            "#{String.length(text)} characters, and the VM's limit is #{@longest}"
    end

    text
  end
end
