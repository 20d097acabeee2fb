defmodule Wasmex.Wat do
  @moduledoc """
  The text format of WebAssembly (core specification, chapter 6).

  ## Example

      iex> {:ok, wasm} = Wasmex.Wat.to_wasm("(module)")
      iex> wasm
      <<0, 97, 115, 109, 1, 0, 0, 0>>
  """

  alias Wasmex.{Bytes, Error, Limits, Native, Options, Printable}

  @magic <<0, "asm">>

  @options Options.table(
             [
               limits: [
                 type: {:options, Limits},
                 default: struct(Limits),
                 default_doc: "`%Wasmex.Limits{}`",
                 doc: "limits for the text, of which `text_size` and `text_work` count"
               ]
             ],
             "Wasmex.Wat.to_wasm/2"
           )

  @doc """
  Converts the text of a module or component to wasm bytes.

  #{Options.Docs.table(@options)}
  """
  @spec to_wasm(binary(), keyword()) :: {:ok, binary()} | {:error, String.t()}
  def to_wasm(text, opts \\ []) when is_binary(text) do
    %{limits: limits} = Options.new!(opts, @options)

    case Native.wat_to_wasm(text, Limits.native(limits)) do
      {:ok, wasm} ->
        {:ok, wasm}

      # The message quotes the text.
      {:error, {:parse, %{message: message}}} ->
        {:error, Printable.message("Failed to parse WAT: #{message}#{Bytes.hint(text)}")}

      {:error, native} ->
        {:error, native |> Error.from_native() |> Exception.message()}
    end
  end

  @doc false
  # Converts input that does not start with the wasm magic number, within the limits of an engine, or these.
  @spec parse(binary(), reference() | Limits.t()) :: {:ok, binary()} | {:error, Exception.t()}
  def parse(text, limits) do
    limits = if is_reference(limits), do: limits, else: Limits.native(limits)

    with {:ok, text} <- check(text),
         {:error, native} <- Native.wat_to_wasm(text, limits),
         do: {:error, native |> Error.from_native() |> hinted(text)}
  end

  @doc false
  # Adds what the bytes look like to a parser's error about text.
  @spec hinted(Error.t(), binary()) :: Error.t()
  def hinted(%Error{} = error, @magic <> _), do: error

  def hinted(%Error{reason: :parse, details: %{message: message}} = error, text),
    do: put_in(error.details.message, message <> Bytes.hint(text))

  def hinted(error, _text), do: error

  @doc false
  # Whether the input may be text.
  @spec check(binary()) :: {:ok, binary()} | {:error, Exception.t()}
  def check(text) do
    if Wasmex.Utils.utf8?(text) do
      {:ok, text}
    else
      message =
        "neither wasm (no \\0asm at the start) nor text (invalid UTF-8)" <> Bytes.hint(text)

      {:error, %Error{reason: :parse, details: %{message: message}}}
    end
  end

  @doc false
  # The bytes of a core module, from bytes or text.
  @spec module(binary(), reference() | Limits.t()) :: {:ok, binary()} | {:error, Exception.t()}
  def module(bytes_or_text, limits)
  def module(@magic <> <<1::little-32, _::binary>> = wasm, _limits), do: {:ok, wasm}

  def module(@magic <> <<_version::16, layer::little-16, _::binary>>, _limits) when layer != 0,
    do: {:error, not_a_module()}

  def module(@magic <> <<rest::binary>>, _limits) when byte_size(rest) < 4,
    do: error(:compile, "failed to parse WebAssembly module: the bytes end within the header")

  def module(@magic <> _ = wasm, _limits), do: {:ok, wasm}

  def module(text, limits),
    do: with({:ok, wasm} <- parse(text, limits), do: module(wasm, limits))

  @doc false
  # The error for a component where a module is expected.
  @spec not_a_module() :: Error.t()
  def not_a_module do
    message = "expected a core module, got a component (see Wasmex.Components)"

    %Error{reason: :component, details: %{message: message}}
  end

  defp error(reason, message), do: {:error, %Error{reason: reason, details: %{message: message}}}
end
