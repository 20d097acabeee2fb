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
  @types ~w(as_boolean charlist dynamic keyword nonempty_charlist struct var)

  # Keywords, special forms, and macros that define things: a function of that name cannot be called, or breaks the
  # generated module.
  @words ~w(true false nil when and or not in fn do end catch rescue after else alias case cond for import quote receive
            require super try unquote unquote_splicing with def defp defmacro defmacrop defmodule defstruct defexception
            defdelegate defguard defguardp defoverridable defprotocol defimpl use if unless raise reraise destructure
            binding dbg)
  # Functions that generated modules have already.
  @own ~w(module_info behaviour_info child_spec start_link instantiate)

  @doc "The name of a type. Built-in types get a suffix: `node` becomes `:node_t`."
  @spec type(String.t()) :: atom()
  def type(name) do
    name = Wasmex.WIT.elixir_name(name)
    atom = identifier(name)

    if :erl_internal.is_type(atom, 0) or name in @types,
      do: identifier(name <> "_t"),
      else: atom
  end

  @doc "The name of a function, with an underscore if it is in `taken` or reserved."
  @spec function(String.t(), [String.t()]) :: String.t()
  def function(name, taken \\ []),
    do: if(name in taken or name in @words or name in @own, do: name <> "_", else: name)

  @doc "Whether a parameter cannot have this name."
  @spec word?(String.t()) :: boolean()
  def word?(name), do: name in @words

  @doc "The module for a WIT name: `\"http-client\"` in `My` is `My.HttpClient`."
  @spec module(module(), String.t()) :: module()
  def module(base, name), do: make("#{base}.#{camel(name)}", name)

  @doc "The modules for WIT names in `base`. Names that result in the same module, such as `a-b` and `AB`, get a number."
  @spec modules(module(), [String.t()]) :: %{String.t() => module()}
  def modules(base, names) do
    {modules, _numbers} =
      Enum.map_reduce(names, %{}, fn name, numbers ->
        {spelled, numbers} = numbered(name, camel(name), numbers)
        {{name, module(base, spelled)}, numbers}
      end)

    Map.new(modules)
  end

  # `numbers` has the number of each module so far, and the last number that was added to its name. `AB2` may be taken, too.
  defp numbered(name, camel, numbers) when not is_map_key(numbers, camel),
    do: {name, Map.put(numbers, camel, 1)}

  defp numbered(name, camel, numbers) do
    number = numbers[camel] + 1
    numbers = Map.put(numbers, camel, number)
    other = "#{name}-#{number}"

    if is_map_key(numbers, camel(other)),
      do: numbered(name, camel, numbers),
      else: {other, Map.put(numbers, camel(other), 1)}
  end

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
