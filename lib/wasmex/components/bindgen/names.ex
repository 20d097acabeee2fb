defmodule Wasmex.Components.Bindgen.Names do
  @moduledoc false
  # The only place that makes atoms of names. It is for macros, which name functions, types and modules after the
  # WIT that the author of a module gave; what a guest says at run time never gets here (see names.rs for that). A
  # WIT may be somebody else's all the same: it can't fill the table of atoms, which would end the VM.

  # The VM's limit for an atom, in characters.
  @longest 255

  @doc "A name of WIT as it is written in Elixir: `\"first-name\"` is `:first_name`."
  @spec atom(String.t()) :: atom()
  def atom(name), do: name |> Wasmex.WIT.elixir_name() |> identifier()

  @doc "A name that is in Elixir's spelling already, such as `\"add!\"`."
  @spec identifier(String.t()) :: atom()
  def identifier(name), do: make(name, name)

  # As types Elixir has them itself, and lets nobody define them.
  @types ~w(as_boolean charlist keyword nonempty_charlist struct)

  @doc "The name of a type: `:point`, and `:node_t` for `node`, which is a type of Elixir's own."
  @spec type(String.t()) :: atom()
  def type(name) do
    atom = atom(name)

    if :erl_internal.is_type(atom, 0) or name in @types,
      do: identifier(Wasmex.WIT.elixir_name(name) <> "_t"),
      else: atom
  end

  @doc "The name of a function, in Elixir's spelling; with an underscore where it is `taken`, or can't be one."
  @spec function(String.t(), [String.t()]) :: String.t()
  def function(name, taken), do: if(name in ["when" | taken], do: name <> "_", else: name)

  @doc "The module of a name of WIT: `\"http-client\"` within `My` is `My.HttpClient`."
  @spec module(module(), String.t()) :: module()
  def module(base, name), do: make("#{base}.#{camel(name)}", name)

  @doc "As modules are spelt."
  def camel(name),
    do: name |> String.split(~r/[^a-zA-Z0-9]+/, trim: true) |> Enum.map_join(&capital/1)

  defp capital(<<first::utf8, rest::binary>>), do: String.upcase(<<first::utf8>>) <> rest

  defp make(text, name) do
    if String.length(text) > @longest,
      do:
        fail(
          "the name #{String.slice(name, 0, 40)}… of the WIT is too long: it needs an atom of " <>
            "#{String.length(text)} characters, and the VM's limit is #{@longest}"
        )

    String.to_existing_atom(text)
  rescue
    ArgumentError -> new(text)
  end

  defp new(text) do
    count = :erlang.system_info(:atom_count)

    if count * 2 > :erlang.system_info(:atom_limit),
      do:
        fail(
          "no atom is made for the name #{text} of the WIT: half of those that the VM can have are " <>
            "there (#{count}), and they are never freed; start it with a larger +t"
        )

    String.to_atom(text)
  end

  @doc false
  @spec fail(String.t()) :: no_return()
  def fail(text), do: raise(CompileError, description: text)
end
