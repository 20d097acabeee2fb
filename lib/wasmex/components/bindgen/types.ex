defmodule Wasmex.Components.Bindgen.Types do
  @moduledoc false
  # Generates types, and structs for records.

  import Wasmex.Components.Bindgen.Context

  alias Wasmex.Components.Bindgen.{Names, Spec}

  @doc "The quoted types of an interface, or of the world (`owner` is nil)."
  @spec types([{String.t(), map()}], Wasmex.Components.Bindgen.Context.t(), String.t() | nil) :: [
          Macro.t()
        ]
  def types(types, context, owner) do
    for {name, %{type: type, docs: docs}} <- types do
      # Records of the world stay maps.
      quoted =
        if owner != nil and struct?(type, context),
          do: quote(do: unquote(struct_module(owner, name, context)).t()),
          else: Spec.type(type, &place(&1, &2, context))

      quote do
        @typedoc unquote(docs || "`#{name}` of WIT.")
        @type unquote({Names.type(name), [], []}) :: unquote(quoted)
      end
    end
  end

  @doc "The quoted struct modules of records."
  @spec structs([{String.t(), map()}], String.t() | nil, Wasmex.Components.Bindgen.Context.t()) ::
          [Macro.t()]
  def structs(types, owner, %{structs?: true} = context) do
    for {name, %{type: {:record, fields}, docs: docs}} <- types do
      keys = Enum.map(fields, fn {field, _, _} -> Names.atom(field) end)

      quote do
        defmodule unquote(struct_module(owner, name, context)) do
          @moduledoc unquote(docs || "The record `#{name}`.")
          @enforce_keys unquote(keys)
          defstruct unquote(keys)

          @type t :: %__MODULE__{
                  unquote_splicing(
                    for {field, type, _} <- fields,
                        do: {Names.atom(field), Spec.type(type, &place(&1, &2, context))}
                  )
                }
        end
      end
    end
  end

  def structs(_types, _owner, _context), do: []
end
