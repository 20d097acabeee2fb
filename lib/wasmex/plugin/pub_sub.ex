defmodule Wasmex.Plugin.PubSub do
  @moduledoc """
  Publishes messages from plug-ins to processes on all connected nodes, through `:pg`: host functions, and functions for
  processes.

      children = [Wasmex.Plugin.PubSub]

      Wasmex.Plugin.compile("plugin.wasm", functions: {Wasmex.Plugin.PubSub, topics: ["orders.*"]})

      :ok = Wasmex.Plugin.PubSub.subscribe("orders.new")
      receive do
        {:wasmex_plugin, "orders.new", bytes, from} -> ...
      end

  `from` is the name of the plug-in that published. Plug-ins do not receive messages themselves; a process can subscribe and
  call a plug-in with them.

  The functions are in the namespace `"wasmex:host/pubsub"`:

  | function | type | meaning |
  |---|---|---|
  | `publish` | (i64 topic, i64 bytes) → i32 | sends the bytes to all subscribers; returns their number |
  | `subscribers` | (i64 topic) → i32 | the number of subscribers |

  Nothing is granted by default: `topics:` lists patterns of allowed topics, where `*` matches any characters.

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
                 doc: "patterns of topics that may be published to"
               ]
             ],
             "Wasmex.Plugin.PubSub"
           )

  @namespace "wasmex:host/pubsub"

  @doc false
  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [[]]}}

  @doc "Starts the `:pg` scope of the topics."
  @spec start_link(keyword()) :: {:ok, pid()} | {:error, term()}
  def start_link(_opts), do: :pg.start_link(__MODULE__)

  @doc "Subscribes this process to a topic, until it ends or unsubscribes."
  @spec subscribe(String.t()) :: :ok
  def subscribe(topic) when is_binary(topic), do: :pg.join(__MODULE__, topic, self())

  @doc "Unsubscribes this process from a topic."
  @spec unsubscribe(String.t()) :: :ok | :not_joined
  def unsubscribe(topic) when is_binary(topic), do: :pg.leave(__MODULE__, topic, self())

  @doc "Sends bytes to all subscribers of a topic. Returns their number."
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
