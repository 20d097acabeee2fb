defmodule Wasmex.Options.Row do
  @moduledoc false
  # One option.
  #
  # - `:type`: see `Wasmex.Options.Type`
  # - `:default`: the value of one that is not given, `nil` if the row says nothing
  # - `:doc`: what it does, in Markdown, without the default; `false` for one that is accepted and not documented
  # - `:example`: a value in Elixir's syntax; it stands in the docs, in error texts and is tried by a test
  # - `:required`: `true` where there is no default
  # - `:internal`: `true` for a field of the struct that is no option
  # - `:default_doc`: what the docs say in place of the default's code
  # - `:flag`: its flag in Mix tasks: `:stats` is `--stats`, `{:timeout, "2s"}` is `--timeout 2s`, and
  #   `{:output, "FILE", :o}` is `-o, --output FILE`; the text says how a value looks
  # - `:flag_doc`: the flag's doc, where it differs from `:doc`
  # - `:group`: what it belongs to, where the docs and the help of a task have a part for each group

  alias Wasmex.Options.Type

  @enforce_keys [:name, :type, :doc]
  defstruct [
    :name,
    :type,
    :doc,
    :default,
    :example,
    :default_doc,
    :flag,
    :flag_doc,
    :group,
    required: false,
    internal: false
  ]

  @type t :: %__MODULE__{
          name: atom(),
          type: Type.t(),
          doc: String.t() | false,
          default: term(),
          example: String.t() | nil,
          default_doc: String.t() | nil,
          flag: atom() | {atom(), String.t()} | {atom(), String.t(), atom()},
          flag_doc: String.t() | nil,
          group: atom(),
          required: boolean(),
          internal: boolean()
        }

  @doc "A row of its keys."
  @spec new(atom(), keyword()) :: t()
  def new(name, row), do: struct!(__MODULE__, [{:name, name} | row])

  @doc "A value in Elixir's syntax that the option accepts."
  @spec example(t()) :: String.t()
  def example(%{example: nil, type: type}), do: Type.example(type)
  def example(%{example: example}), do: example

  @doc "The default as the docs show it."
  @spec default(t()) :: String.t()
  def default(%{required: true}), do: "needed"
  def default(%{default_doc: text}) when is_binary(text), do: text
  def default(%{default: default, type: type}), do: Type.show(type, default)
end
