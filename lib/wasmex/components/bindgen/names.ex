defmodule Wasmex.Components.Bindgen.Names do
  @moduledoc false
  # The only place that creates atoms from names. Only macros use it, to name functions, types and modules after a WIT.
  # Names from a guest at run time never get here (see names.rs for those). The WIT may come from a third party, so the
  # number of atoms is limited: a full atom table would end the VM.

  # The VM's limit for the length of an atom, in characters.
  @longest 255

  @doc "The atom for a WIT name: `\"first-name\"` is `:first_name`."
  @spec atom(String.t()) :: atom()
  def atom(name), do: name |> Wasmex.WIT.elixir_name() |> identifier()

  @doc "The atom for a name in Elixir spelling, such as `\"add!\"`."
  @spec identifier(String.t()) :: atom()
  def identifier(name), do: make(name, name)

  # Built-in types of Elixir, which cannot be redefined.
  @types ~w(as_boolean charlist keyword nonempty_charlist struct)

  @doc "The name of a type. Built-in types get a suffix: `node` becomes `:node_t`."
  @spec type(String.t()) :: atom()
  def type(name) do
    atom = atom(name)

    if :erl_internal.is_type(atom, 0) or name in @types,
      do: identifier(Wasmex.WIT.elixir_name(name) <> "_t"),
      else: atom
  end

  @doc "The name of a function, with an underscore if it is in `taken` or reserved."
  @spec function(String.t(), [String.t()]) :: String.t()
  def function(name, taken), do: if(name in ["when" | taken], do: name <> "_", else: name)

  @doc "The module for a WIT name: `\"http-client\"` in `My` is `My.HttpClient`."
  @spec module(module(), String.t()) :: module()
  def module(base, name), do: make("#{base}.#{camel(name)}", name)

  @doc "A name in the spelling of modules."
  @spec camel(String.t()) :: String.t()
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
          "too many atoms (#{count}) to create one for the name #{text} of the WIT: half of the VM's limit is " <>
            "used, and atoms are never freed; start the VM with a larger +t"
        )

    String.to_atom(text)
  end

  @doc false
  @spec fail(String.t()) :: no_return()
  def fail(text), do: raise(CompileError, description: text)
end
