defmodule Wasmex.Options.Call do
  @moduledoc false
  # The options of a call, and of what starts the processes around instances.

  alias Wasmex.Options
  alias Wasmex.Options.Type

  @doc "How long a call may take and what it may burn; `what` is the default of the first."
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

  @doc "The options of `Wasmex.Instance.call/4` besides."
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
        doc: "the exported function that gives memory for arguments that are bytes"
      ],
      deallocator: [
        type: {:or, [nil], :name},
        default_doc: "the first export among `free`, `deallocate`, `dealloc`",
        doc: "the one that takes it back after the call"
      ],
      memory: [
        type: {:or, [nil], :name},
        default_doc: "`memory`, else the first that is exported",
        doc: "the exported memory that bytes are written to and read from"
      ],
      returns: [
        type: {:or, [nil], {:one_of, [:bytes, :string, :json]}},
        default_doc: "the list of results",
        doc:
          "the bytes, the string or the JSON that the function returns the place of. The result is then `{:ok, value}`"
      ],
      free_result: [
        type: :boolean,
        default: false,
        doc: "whether the memory that `:returns` was read from is given to the deallocator"
      ]
    ]
  end

  @doc "How values of components look."
  @spec style() :: keyword(keyword())
  def style do
    [
      bytes: [
        type: {:or, [nil], {:one_of, [:binary, :list]}},
        default_doc: "`:binary`",
        doc: "what values of type `list<u8>` are"
      ],
      lists: [
        type: {:one_of, [:list, :binary]},
        default: :list,
        doc:
          "what lists of numbers are: `:binary` is `{:u32, binary}` with the type's name, little-endian, without a cell for each number"
      ],
      # Of the drop-in calls: `:contract`, and `:resource`, which refuses too many arguments.
      style: [type: {:one_of, [:direct, :contract, :resource]}, default: :direct, doc: false]
    ]
  end

  @doc "What starts a process around an instance takes besides its code and its store."
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
      start_timeout: [type: :timeout, default: :infinity, doc: "for the #{start_code}"]
    ] ++ genserver()
  end

  # As `GenServer.start_link/3` takes them.
  @genserver [:name, :timeout, :hibernate_after, :debug, :spawn_opt]

  defp genserver do
    [
      name: [
        type: :any,
        doc: "the process's name; this and the rest as for `GenServer.start_link/3`"
      ],
      timeout: [
        type: {:or, [nil], :timeout},
        default_doc: "`:infinity`",
        doc: "for the start of the process"
      ],
      hibernate_after: [
        type: {:or, [nil], :timeout},
        default_doc: "`:infinity`",
        doc: "idle time after which it hibernates"
      ],
      debug: [type: {:or, [nil], :list}, default_doc: "none", doc: "what `:sys` traces"],
      spawn_opt: [
        type: {:or, [nil], :list},
        default_doc: "none",
        doc: "options of `:erlang.spawn_opt/2`"
      ]
    ]
  end

  @doc """
  The options given of what starts a process, a list or a map, and those of them that are `GenServer.start_link/3`'s.

  nil is as good as absent, but for imports: whoever has them from somewhere else wants to know that there are none.
  """
  @spec start!(keyword() | map(), Options.t()) :: {%{atom() => term()}, keyword()}
  def start!(opts, table) do
    {genserver, given} =
      opts
      |> Options.listed()
      |> Options.pairs!(table)
      |> Enum.reject(fn {name, value} ->
        value == nil and name != :imports and name in table.names
      end)
      |> Options.given!(table)
      |> Map.split(@genserver)

    {given, Map.to_list(genserver)}
  end
end
