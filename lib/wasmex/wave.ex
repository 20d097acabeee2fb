defmodule Wasmex.Wave do
  @moduledoc """
  The text form of component values: [WAVE](https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave), the
  WebAssembly Value Encoding.

  Types are as in `Wasmex.Components.Component.exports/1`, values as `Wasmex.Components.Instance.call/4` takes and returns
  them. `mix wasmex.run --invoke` reads its arguments and prints its results in this form.

  | type | WAVE |
  |---|---|
  | numbers, `bool`, `char`, `string` | `-1`, `2.5`, `nan`, `inf`, `true`, `'a'`, `"text\\n"` |
  | `list`, `tuple` | `[1, 2]`, `(1, "a")` |
  | `record` | `{street-name: "Main", number: 1}`; fields of type `option` may be omitted |
  | `variant`, `enum` | `circle(1.5)`, `red` |
  | `option` | `some(1)`, `none`, or the value alone |
  | `result` | `ok(1)`, `err("no")`, or the value alone |
  | `flags` | `{read, write}` |
  | `map` | a list of pairs: `[("a", 1)]` |

  Resources have no text form.

  ## Example

      iex> Wasmex.Wave.parse("{x: 1, y: some(-2)}", {:record, [{"x", :u8}, {"y", {:option, :s8}}]})
      {:ok, %{"x" => 1, "y" => {:some, -2}}}
      iex> Wasmex.Wave.print([{:ok, 1}, {:error, "no"}], {:list, {:result, :u8, :string}})
      {:ok, ~s|[ok(1), err("no")]|}

  ## Errors

  `{:error, %Wasmex.Error{reason: :wave}}`, whose `:message` says what was expected and at which character.
  """

  alias Wasmex.{Error, Native, Utils}

  @type type :: atom() | tuple()

  @doc "Parses a value of a type."
  @spec parse(String.t(), type()) :: {:ok, term()} | {:error, Error.t()}
  def parse(text, type) when is_binary(text),
    do: with(:ok <- utf8(text), do: text |> Native.wave_parse(type) |> result())

  @doc """
  Parses the arguments of a call, in parentheses: `"(1, \\"a\\")"`. Trailing arguments of type `option` may be omitted.

      iex> Wasmex.Wave.parse_params("(1)", [:u32, {:option, :string}])
      {:ok, [1, :none]}
  """
  @spec parse_params(String.t(), [type()]) :: {:ok, [term()]} | {:error, Error.t()}
  def parse_params(text, types) when is_binary(text) and is_list(types),
    do: with(:ok <- utf8(text), do: text |> Native.wave_parse_params(types) |> result())

  @doc "Formats a value of a type."
  @spec print(term(), type()) :: {:ok, String.t()} | {:error, Error.t()}
  def print(value, type), do: value |> Native.wave_print(type) |> result()

  @doc """
  Formats a type in WIT syntax.

      iex> Wasmex.Wave.type({:list, {:option, :u8}})
      {:ok, "list<option<u8>>"}
  """
  @spec type(type()) :: {:ok, String.t()} | {:error, Error.t()}
  def type(type), do: type |> Native.wave_type() |> result()

  defp utf8(text) do
    if Utils.utf8?(text),
      do: :ok,
      else: {:error, %Error{reason: :wave, details: %{message: "the text is not UTF-8"}}}
  end

  defp result({:ok, value}), do: {:ok, value}
  defp result({:error, error}), do: {:error, Error.from_native(error)}
end
