defmodule Wasmex.Deploy do
  alias Wasmex.Options

  @own [
    functions: [
      type: {:or, [nil], {:list, :string}},
      default_doc: "all exports",
      doc: "the functions that may be called",
      example: ~s|["add"]|
    ],
    timeout: [
      type: :timeout,
      default: 5_000,
      doc: "maximum timeout of a call in ms, including the wait for a place"
    ],
    canary: [
      type: {:or, [nil], {:integer, 1..99}},
      default_doc: "all calls",
      doc: "percentage of calls that go to this version, until `promote/1` or `rollback/1`"
    ],
    rollback: [
      type: {:or, [false], :keyword},
      default: [errors: 0.5, calls: 20],
      doc:
        "automatic rollback: when at least `calls:` calls were made and this fraction of them failed, within `within:` ms (a minute by default) of the deploy",
      example: "[errors: 0.1, calls: 100, within: 600_000]"
    ],
    state: [
      type: {:or, [nil], :keyword},
      default_doc: "none",
      doc: "the functions that hand over the state of guests with a key, see `Wasmex.Cluster`",
      example: ~s|[save: "save", restore: "restore"]|
    ],
    drain: [
      type: :timeout,
      default: 30_000,
      doc: "ms for running calls of an old version before they are ended"
    ],
    owner: [
      type: {:or, [nil], :pid},
      default_doc: "none",
      doc: "a process; when it ends, the name is undeployed"
    ]
  ]
  @pooled Wasmex.Pool.Source.rows() ++ Options.Pool.rows()
  @options Options.table(
             @own ++ Keyword.drop(@pooled, [:source, :engine, :name]),
             "Wasmex.Deploy.deploy/3"
           )

  @moduledoc """
  Code under a name that changes while it is called: a new version runs beside the old one and gets the new calls;
  running calls finish with the old version.

  ## Example

      iex> v1 = Wasmex.Code.new!({:bytes, ~s|(module (func (export "v") (result i32) i32.const 1))|})
      iex> v2 = Wasmex.Code.new!({:bytes, ~s|(module (func (export "v") (result i32) i32.const 2))|})
      iex> {:ok, 1} = Wasmex.Deploy.deploy("doc", v1)
      iex> Wasmex.Deploy.call("doc", "v", [])
      {:ok, [1]}
      iex> {:ok, 2} = Wasmex.Deploy.deploy("doc", v2)
      iex> Wasmex.Deploy.call("doc", "v", [])
      {:ok, [2]}
      iex> {:ok, 3} = Wasmex.Deploy.rollback("doc")
      iex> Wasmex.Deploy.call("doc", "v", [])
      {:ok, [1]}
      iex> Wasmex.Deploy.undeploy("doc")
      :ok

  ## Versions

  Each deploy starts a `Wasmex.Pool` of the code, with the options of pools. The version gets calls once its first
  worker has started; if it cannot start, nothing changes. With `canary: 10` it gets a tenth of the calls, until
  `promote/1`.

  A version whose calls fail is rolled back automatically: see `:rollback`. Traps, exits with a status other than 0,
  timeouts, and errors of plug-ins and imports count as failures; mistakes of callers (an unknown function, an argument
  of the wrong type) and full pools do not.

  ## Errors

  `%Wasmex.Error{reason: :not_deployed}`, `:not_allowed` for a function that is not one of `functions:`, and those of the
  pool and of the call.

  ## Lifetime

  A name exists until `undeploy/2`, or until the application stops. Its process survives the process that deployed it,
  and restarts the pool of a version if it fails.
  """

  alias Wasmex.{Code, Error, Pool}
  alias Wasmex.Call.Timeout
  alias Wasmex.Deploy.{Routes, Server}
  alias Wasmex.HTTP.Response

  @type name :: term()
  @type event :: %{
          version: pos_integer(),
          code: Code.t(),
          what: :deployed | :canary | :promoted | :rolled_back,
          why: String.t() | nil,
          at: DateTime.t()
        }

  @doc """
  Deploys a version of the code under the name, which may be any term. Returns the version's number.

  #{Options.Docs.table(@options)}

  Compiles it and starts a first worker before it returns.
  """
  @spec deploy(name(), Code.t(), keyword()) :: {:ok, pos_integer()} | {:error, Exception.t()}
  def deploy(name, code, opts \\ [])

  def deploy(name, %Code{} = code, given) do
    opts = checked!(given)

    # Compiled here, so that the name's process can serve others.
    with {:ok, worker} <- Server.worker(code, opts),
         do: Server.deploy(name, code, Map.merge(opts, %{worker: worker, replace?: true}))
  end

  def deploy(_name, other, _opts), do: Options.misuse!("a %Wasmex.Code{}", other)

  @doc false
  # Unless the name has exactly this code, or, without `replace?`, any code. `worker` is the code compiled already.
  @spec deploy_absent(name(), Code.t(), keyword(), boolean(), {module(), term()} | nil) ::
          {:ok, :deployed | :present} | {:error, Exception.t()}
  def deploy_absent(name, code, given, replace?, worker \\ nil) do
    opts = checked!(given)

    with false <- present?(name, code, given, replace?),
         {:ok, worker} <- if(worker, do: {:ok, worker}, else: Server.worker(code, opts)),
         opts = Map.merge(opts, %{worker: worker, replace?: replace?}),
         {:ok, _version} <- Server.deploy(name, code, opts) do
      {:ok, :deployed}
    else
      true -> {:ok, :present}
      error -> error
    end
  end

  defp present?(name, code, given, replace?) do
    case deployed(name) do
      {:ok, %{hash: hash}, opts} ->
        not replace? or (hash == code.hash and opts == Keyword.drop(given, [:canary, :owner]))

      {:error, _} ->
        false
    end
  end

  defp checked!(given) do
    opts = given |> Options.new!(@options) |> Map.put(:given, given)
    rollback!(opts.rollback)
    state!(opts.state)
    opts
  end

  @doc false
  # The options that folders of functions pass on, validated.
  @spec folder!(keyword()) :: keyword()
  def folder!(given) do
    case Keyword.keys(given) -- [:canary, :rollback, :drain] do
      [] -> given |> Options.new!(@options) |> Map.fetch!(:rollback) |> rollback!()
      _ -> Options.misuse!("canary:, rollback: or drain: in deploy", given)
    end

    given
  end

  defp state!(nil), do: :ok

  defp state!(functions) do
    if Enum.sort(Keyword.keys(functions)) != [:restore, :save],
      do: Options.misuse!("state: [save: function, restore: function]", functions)
  end

  defp rollback!(false), do: :ok

  defp rollback!(opts) do
    with [] <- Keyword.keys(opts) -- [:errors, :calls, :within],
         rate when is_number(rate) and rate > 0 and rate <= 1 <- Keyword.get(opts, :errors, 0.5),
         calls when is_integer(calls) and calls > 0 <- Keyword.get(opts, :calls, 20),
         ms when is_integer(ms) and ms > 0 <- Keyword.get(opts, :within, 60_000) do
      :ok
    else
      _ ->
        Options.misuse!(
          "rollback: errors: a part from 0 to 1, calls: and within: above 0",
          opts
        )
    end
  end

  @doc """
  Calls a function of the name's current version, like `Wasmex.Pool.call/4`, in this process. The timeout of the deploy
  is the maximum.
  """
  @spec call(name(), term(), term(), keyword()) :: {:ok, term()} | {:error, Exception.t()}
  def call(name, function, params, opts \\ []) do
    case Routes.fetch(name) do
      {:ok, route} -> routed(route, name, function, params, opts, 3)
      :error -> {:error, not_deployed(name)}
    end
  end

  defp routed(route, name, function, params, opts, tries) do
    with :ok <- allowed(route, name, function) do
      {_threshold, _number, pool, counts, _function} = Routes.pick(route)

      case pooled(pool, function, params, limited(route, opts)) do
        # This version was just replaced by another one.
        {:error, %Error{reason: :closed, details: %{pool: ^pool}}} when tries > 0 ->
          again(name, function, params, opts, tries)

        result ->
          Routes.count(route.server, counts, failed?(result))
          result
      end
    end
  end

  # It failed and is being restarted.
  defp pooled(nil, _function, _params, _opts) do
    message = "its pool has ended and can't be restarted at the moment"
    {:error, %Error{reason: :closed, details: %{pool: nil, message: message}}}
  end

  defp pooled(pool, function, params, opts) do
    Pool.call(pool, function, params, opts)
  catch
    :exit, {_reason, {Wasmex.Pool, :checkout, _}} ->
      {:error, %Error{reason: :closed, details: %{pool: pool, message: "the pool has ended"}}}
  end

  defp again(name, function, params, opts, tries) do
    case Routes.fetch(name) do
      {:ok, route} -> routed(route, name, function, params, opts, tries - 1)
      :error -> {:error, not_deployed(name)}
    end
  end

  @doc false
  @spec allowed(Routes.t(), name(), term()) :: :ok | {:error, Exception.t()}
  def allowed(%{functions: nil}, _name, _function), do: :ok

  def allowed(%{functions: functions}, name, function) do
    if function in functions do
      :ok
    else
      message =
        "#{inspect(function)} may not be called: #{inspect(name)} has #{inspect(functions)}"

      {:error, %Error{reason: :not_allowed, details: %{name: name, message: message}}}
    end
  end

  defp limited(%{timeout: most}, opts) do
    timeout = opts |> Keyword.get(:timeout, most) |> Timeout.check!() |> min(most)
    wait = opts |> Keyword.get(:checkout_timeout, timeout) |> min(timeout)
    Keyword.merge(opts, timeout: timeout, checkout_timeout: wait)
  end

  # Errors of callers, or of those that call too often.
  @callers [:unknown_export, :unknown_path, :value, :arity, :params, :conversion, :overloaded] ++
             [:rate_limited, :closed, :cancelled]

  defp failed?({:ok, %{status: status, stdout: _}}) when status != 0, do: true
  defp failed?({:ok, %Response{status: status}}), do: status >= 500
  defp failed?({:ok, %{error: %{__exception__: true}}}), do: true
  defp failed?({:ok, _}), do: false
  defp failed?({:error, %Error{reason: reason}}), do: reason not in @callers
  defp failed?({:error, _}), do: true

  defp not_deployed(name) do
    known = for name <- Routes.names(), is_binary(name) or is_atom(name), do: name

    message =
      "nothing is deployed as #{inspect(name)}#{Error.suggestion(name, Enum.map(known, &to_string/1))}"

    %Error{reason: :not_deployed, details: %{name: name, message: message}}
  end

  @doc "Promotes the canary: it gets all calls, and the previous version ends."
  @spec promote(name()) :: {:ok, pos_integer()} | {:error, Exception.t()}
  def promote(name), do: ask(name, :promote)

  @doc "Rolls back: ends the canary, or deploys the previous version again under a new number."
  @spec rollback(name()) :: {:ok, pos_integer()} | {:error, Exception.t()}
  def rollback(name), do: ask(name, {:rollback, nil})

  @doc "The last 100 events, newest first."
  @spec history(name()) :: {:ok, [event()]} | {:error, Exception.t()}
  def history(name), do: ask(name, :history)

  @doc """
  The versions that get calls, newest first: `:version`, `:code`, `:percent` of the calls, `:calls` and `:errors` so
  far, and the `:pool`.
  """
  @spec versions(name()) :: {:ok, [map()]} | {:error, Exception.t()}
  def versions(name), do: ask(name, :versions)

  @doc false
  # The versions of a name, with the options as passed: for nodes that follow.
  @spec deployed(name()) :: {:ok, Code.t(), keyword()} | {:error, Exception.t()}
  def deployed(name), do: ask(name, :deployed)

  @doc false
  # A worker of the name's stable version, outside of its pool: `{:ok, module, worker, state functions, version}`.
  @spec make(name()) ::
          {:ok, module(), term(), keyword() | nil, pos_integer()} | {:error, Exception.t()}
  def make(name) do
    with {:ok, %{versions: versions, state: state}} <- Routes.fetch(name),
         {_threshold, number, pool, _counts, _function} when pool != nil <- List.last(versions) do
      slots = Pool.Handles.fetch!(pool)
      {_generation, argument} = Pool.Slots.argument(slots)

      with {:ok, worker} <- slots.module.make(argument),
           do: {:ok, slots.module, worker, state, number}
    else
      _ -> {:error, not_deployed(name)}
    end
  end

  @doc "The names."
  @spec names() :: [name()]
  def names, do: Routes.names()

  @doc "Undeploys the name, waiting this many ms for running calls."
  @spec undeploy(name(), timeout()) :: :ok | {:error, Exception.t()}
  def undeploy(name, drain \\ 5_000) do
    with {:ok, pools} <- ask(name, :undeploy) do
      for pool <- pools, do: Server.end_pool(pool, drain)
      :ok
    end
  end

  defp ask(name, request) do
    case Routes.fetch(name) do
      {:ok, %{server: server}} -> GenServer.call(server, request, :infinity)
      :error -> {:error, not_deployed(name)}
    end
  catch
    # It ended just now.
    :exit, {reason, _} when reason in [:noproc, :normal, :shutdown, :killed] ->
      {:error, not_deployed(name)}
  end
end
