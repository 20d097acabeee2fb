defmodule Wasmex.Options.Call do
  @moduledoc false
  # The options of a call, and of functions that start a process around an instance.

  alias Wasmex.Options
  alias Wasmex.Options.{Row, Type}

  @doc "Limits of a call: time and fuel. `timeout` is the default of `:timeout`."
  @spec limits(timeout()) :: keyword(keyword())
  def limits(timeout \\ :infinity) do
    [
      timeout: [
        type: :timeout,
        default: timeout,
        doc:
          "after which the guest is stopped. It includes waiting for the store and the time of imported Elixir functions, though these are not interrupted"
      ],
      fuel: [
        type: {:or, [nil], :natural},
        doc: "a budget for this call alone, separate from the store's; needs `consume_fuel: true`"
      ]
    ]
  end

  @doc "Further options of `Wasmex.Instance.call/4`."
  @spec core() :: keyword(keyword())
  def core do
    [
      floats: [
        type: {:one_of, [:values, :bits]},
        default: :values,
        doc: "`:bits` returns floats as `{:bits, n}`, which preserves the payload of a NaN"
      ],
      allocator: [
        type: {:or, [nil], :name},
        default_doc: "the first export among `malloc`, `cabi_realloc`, `allocate`, `alloc`",
        doc: "the exported function that allocates memory for bytes as arguments"
      ],
      deallocator: [
        type: {:or, [nil], :name},
        default_doc: "the first export among `free`, `deallocate`, `dealloc`",
        doc: "the exported function that frees it after the call"
      ],
      memory: [
        type: {:or, [nil], :name},
        default_doc: "`memory`, otherwise the first exported memory",
        doc: "the exported memory that bytes are written to and read from"
      ],
      returns: [
        type: {:or, [nil], {:one_of, [:bytes, :string, :json]}},
        default_doc: "the list of results",
        doc:
          "read the bytes, string or JSON that the function returns a pointer to. The result is then `{:ok, value}`"
      ],
      free_result: [
        type: :boolean,
        default: false,
        doc: "whether to free the memory that `:returns` was read from"
      ]
    ]
  end

  @doc "How values of components are represented in Elixir."
  @spec value_format() :: keyword(keyword())
  def value_format do
    [
      bytes: [
        type: {:or, [nil], {:one_of, [:binary, :list]}},
        default_doc: "`:binary`",
        doc: "the representation of `list<u8>`"
      ],
      lists: [
        type: {:one_of, [:list, :binary]},
        default: :list,
        doc:
          "the representation of lists of numbers: `:binary` is `{:u32, binary}` with the type's name, little-endian, without a cell for each number"
      ],
      # `:compat` is for the API of Wasmex 0.15, `:resource` is the same but rejects extra arguments.
      value_format: [type: {:one_of, [:direct, :compat, :resource]}, default: :direct, doc: false]
    ]
  end

  @doc "Options for starting a process around an instance, except for its code and its store."
  @spec process(String.t()) :: keyword(keyword())
  def process(start_code) do
    [
      imports: [type: Type.Imports, default: %{}, doc: "Elixir functions that the guest may call"],
      engine: [
        type: {:or, [nil], {:struct, Wasmex.Engine}},
        default_doc: "the default engine",
        doc: "for the new store"
      ],
      store_limits: [
        type: {:or, [nil], {:options, Wasmex.StoreLimits}},
        default_doc: "none",
        doc: "for the new store"
      ],
      tags: Row.tags(),
      start_timeout: [type: :timeout, default: :infinity, doc: "for the #{start_code}"]
    ] ++ genserver()
  end

  # Options of `GenServer.start_link/3`.
  @genserver [:name, :timeout, :hibernate_after, :debug, :spawn_opt]

  defp genserver do
    [
      name: [
        type: :any,
        doc:
          "the name of the process; this and the following options are those of `GenServer.start_link/3`"
      ],
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "`:infinity`",
        doc: "the time limit for starting the process"
      ],
      hibernate_after: [
        type: {:or, [nil], :timeout},
        default_doc: "`:infinity`",
        doc: "the idle time after which the process hibernates"
      ],
      debug: [type: {:or, [nil], :list}, default_doc: "none", doc: "debug options of `:sys`"],
      spawn_opt: [
        type: {:or, [nil], :list},
        default_doc: "none",
        doc: "options of `:erlang.spawn_opt/2`"
      ]
    ]
  end

  @doc """
  Splits options, a list or a map, into those of the table and those of `GenServer.start_link/3`.

  An option that is nil counts as absent, except `:imports`: nil there is most likely a mistake.
  """
  @spec start!(keyword() | map(), Options.t()) :: {%{atom() => term()}, keyword()}
  def start!(opts, table) do
    {genserver, options} =
      opts
      |> Options.listed()
      |> Options.pairs!(table)
      |> Enum.reject(fn {name, value} ->
        value == nil and name != :imports and name in table.names
      end)
      |> Options.explicit!(table)
      |> Map.split(@genserver)

    {options, Map.to_list(genserver)}
  end
end
