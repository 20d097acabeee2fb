defmodule Wasmex.Options.Row do
  @moduledoc false
  # One option.
  #
  # - `:type`: see `Wasmex.Options.Type`
  # - `:default`: the value if the option is absent; `nil` by default
  # - `:doc`: its effect, in Markdown, without the default; `false` for an undocumented option
  # - `:example`: a value in Elixir syntax, for docs and error texts; a test checks it
  # - `:required`: `true` for an option without a default
  # - `:internal`: `true` for a field of the struct that is not an option
  # - `:default_doc`: the default in the docs, instead of its code
  # - `:flag`: its flag in Mix tasks: `:stats` is `--stats`, `{:timeout, "2s"}` is `--timeout 2s`, and
  #   `{:output, "FILE", :o}` is `-o, --output FILE`; the text is the placeholder of the value
  # - `:flag_doc`: the doc of the flag, if it differs from `:doc`
  # - `:group`: the section of the docs or of a task's help

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

  @doc "A row from its keys."
  @spec new(atom(), keyword()) :: t()
  def new(name, row), do: struct!(__MODULE__, [{:name, name} | row])

  @doc "The row for the tags of telemetry."
  @spec tags() :: keyword()
  def tags do
    [
      type: :map,
      default: %{},
      default_doc: "none",
      doc: "for the metadata of telemetry",
      example: ~s|%{tenant: "a"}|
    ]
  end

  @doc "A value in Elixir's syntax that the option accepts."
  @spec example(t()) :: String.t()
  def example(%{example: nil, type: type}), do: Type.example(type)
  def example(%{example: example}), do: example

  @doc "The default for the docs."
  @spec default(t()) :: String.t()
  def default(%{required: true}), do: "required"
  def default(%{default_doc: text}) when is_binary(text), do: text
  def default(%{default: default, type: type}), do: Type.show(type, default)
end
