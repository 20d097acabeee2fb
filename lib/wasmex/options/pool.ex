defmodule Wasmex.Options.Pool do
  @moduledoc false
  # The options of pools.

  @doc "Of `Wasmex.Pool.start_link/1`, except for the code of workers."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      size: [
        type: {:or, [nil], {:integer, 1..100_000}},
        default_doc: "twice the number of schedulers",
        doc: "the number of workers in use at once"
      ],
      policy: [
        type: :any,
        default: :fresh,
        doc: "`:fresh`, `{:reuse, n}` or `:reset`",
        example: "{:reuse, 1_000}"
      ],
      max_queue: [
        type: :natural,
        default: 1_000,
        doc:
          "the maximum number of waiting callers. When more than half of them wait, the newest are served first: they can still meet their deadlines"
      ],
      warm: [
        type: :natural,
        default: 0,
        doc: "the number of workers created when the pool starts"
      ],
      idle: [
        type: :timeout,
        default: 60_000,
        doc: "ms after which an unused worker is closed"
      ],
      per_key: [
        type: {:or, [nil], :keyword},
        default_doc: "no limits",
        doc: "limits for each key, see below",
        example: "[places: 2, calls: 100]"
      ],
      name: [type: :any, doc: "registers the process"]
    ]
  end

  @doc "Of `Wasmex.Pool.run/3` and similar functions."
  @spec checkout() :: keyword(keyword())
  def checkout do
    [
      timeout: [type: :timeout, default: 5_000, doc: "maximum wait in the queue in ms"],
      key: [type: :any, doc: "the tenant, for the limits of `per_key:`; nil for none"]
    ]
  end
end
