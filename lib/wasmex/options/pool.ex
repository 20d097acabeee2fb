defmodule Wasmex.Options.Pool do
  @moduledoc false
  # The options of pools.

  @doc "Of `Wasmex.Pool.start_link/1`, besides what workers are made of."
  @spec rows() :: keyword(keyword())
  def rows do
    [
      size: [
        type: {:or, [nil], {:integer, 1..100_000}},
        default_doc: "twice the schedulers",
        doc: "how many may be used at once"
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
          "how many may wait. When more than half of them do, those who came last are served first: they can still be in time"
      ],
      warm: [
        type: :natural,
        default: 0,
        doc: "how many workers are made when the pool starts, before anybody asks for one"
      ],
      idle: [
        type: :timeout,
        default: 60_000,
        doc: "ms after which a worker that nobody used is closed"
      ],
      per_key: [
        type: {:or, [nil], :keyword},
        default_doc: "no limits",
        doc: "what each key of callers may use, see below",
        example: "[places: 2, calls: 100]"
      ],
      name: [type: :any, doc: "registers the process"]
    ]
  end

  @doc "Of `Wasmex.Pool.run/3` and its like."
  @spec checkout() :: keyword(keyword())
  def checkout do
    [
      timeout: [type: :timeout, default: 5_000, doc: "ms that may be waited in the queue"],
      key: [type: :any, doc: "for whom it is, for the limits of `per_key:`; nil for nobody"]
    ]
  end
end
