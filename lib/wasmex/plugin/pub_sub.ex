defmodule Wasmex.Plugin.PubSub do
  @moduledoc """
  Messages between plug-ins and processes, over `:pg`, on all nodes that are connected: host functions, and what
  processes need to take part.

      children = [Wasmex.Plugin.PubSub]

      Wasmex.Plugin.compile("plugin.wasm", functions: {Wasmex.Plugin.PubSub, topics: ["orders.*"]})

      :ok = Wasmex.Plugin.PubSub.subscribe("orders.new")
      receive do
        {:wasmex_plugin, "orders.new", bytes, from} -> ...
      end

  `from` is the name of the plug-in that published. A plug-in hears of messages when somebody calls it with them: a
  process that subscribes and calls is its worker.

  In the namespace `"wasmex:host/pubsub"`:

  | function | type | meaning |
  |---|---|---|
  | `publish` | (i64 topic, i64 bytes) → i32 | sends to all subscribers; how many there were |
  | `subscribers` | (i64 topic) → i32 | how many there are |

  Nothing is granted by default: `topics:` are patterns of what may be published, where `*` stands for any characters.

  ## Example

      iex> start = fn -> Wasmex.Plugin.PubSub.start_link([]) end
      iex> {:ok, _} = with {:error, {:already_started, pid}} <- start.(), do: {:ok, pid}
      iex> :ok = Wasmex.Plugin.PubSub.subscribe("doctest")
      iex> Wasmex.Plugin.PubSub.publish("doctest", "hello", :me)
      1
      iex> assert_received {:wasmex_plugin, "doctest", "hello", :me}
  """

  @behaviour Wasmex.Plugin.Functions

  alias Wasmex.Options

  @options Options.table(
             [
               topics: [
                 type: {:list, :string},
                 default: [],
                 doc: "patterns of what may be published"
               ]
             ],
             "Wasmex.Plugin.PubSub"
           )

  @namespace "wasmex:host/pubsub"

  @doc false
  def child_spec(_opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [[]]}}

  @doc "Starts the scope of `:pg` that the topics are in."
  @spec start_link(keyword()) :: {:ok, pid()} | {:error, term()}
  def start_link(_opts), do: :pg.start_link(__MODULE__)

  @doc "This process gets what is published from now on, until it ends or unsubscribes."
  @spec subscribe(String.t()) :: :ok
  def subscribe(topic) when is_binary(topic), do: :pg.join(__MODULE__, topic, self())

  @doc "Ends that."
  @spec unsubscribe(String.t()) :: :ok | :not_joined
  def unsubscribe(topic) when is_binary(topic), do: :pg.leave(__MODULE__, topic, self())

  @doc "Sends bytes to all subscribers of a topic; how many there were."
  @spec publish(String.t(), binary(), term()) :: non_neg_integer()
  def publish(topic, bytes, from) when is_binary(topic) and is_binary(bytes) do
    members = :pg.get_members(__MODULE__, topic)
    for pid <- members, do: send(pid, {:wasmex_plugin, topic, bytes, from})
    length(members)
  end

  @impl true
  def functions(opts) do
    patterns = Enum.map(Options.new!(opts, @options).topics, &pattern!/1)

    %{
      @namespace => %{
        "publish" =>
          {:fn, [:string, :bytes], [:i32],
           fn context, topic, bytes ->
             if Enum.any?(patterns, &(topic =~ &1)),
               do: publish(topic, bytes, context.plugin.name),
               else: {:error, "publishing to #{topic} is not allowed"}
           end},
        "subscribers" =>
          {:fn, [:string], [:i32],
           fn _context, topic -> length(:pg.get_members(__MODULE__, topic)) end}
      }
    }
  end

  defp pattern!(pattern) when is_binary(pattern) do
    source = pattern |> String.split("*") |> Enum.map_join(".*", &Regex.escape/1)
    Regex.compile!("\\A#{source}\\z", "us")
  end
end
