defmodule Wasmex.HTTP.Reuse do
  @moduledoc false
  # Instances that serve more than one request (`reuse:`), in a `Wasmex.Pool` of their function. A request takes a place
  # there if one is free, without asking a process, otherwise it gets a new instance.

  alias Wasmex.HTTP.{Function, Worker}
  alias Wasmex.Pool
  alias Wasmex.Pool.{Handles, Lease}
  alias Wasmex.Program.Source

  @doc "Starts the function's pool, which ends with the owner. Without the application no instances are kept."
  @spec start(Function.t(), pid()) :: Function.t()
  def start(%Function{reuse: 0} = function, _owner), do: function

  def start(%Function{} = function, owner) do
    child = %{
      id: Pool,
      start: {Pool, :start_link, [[owner: owner] ++ options(function)]},
      restart: :temporary
    }

    {:ok, pool} = DynamicSupervisor.start_child(Wasmex.HTTP.Processes, child)
    %{function | pool: Handles.fetch!(pool)}
  catch
    :exit, {:noproc, _} -> function
  end

  @doc "The options of a function's pool, for `Wasmex.Pool.start_link/1`."
  @spec options(Function.t()) :: keyword()
  def options(function),
    do: [worker: {Worker, function}, size: function.reuse, policy: {:reuse, :infinity}]

  @doc "A place for one request, if the function keeps instances and one is free."
  @spec borrow(Function.t()) :: Lease.t() | nil
  def borrow(%Function{pool: nil}), do: nil

  def borrow(%Function{pool: pool}) do
    with {:ok, lease} <- Lease.attempt(pool), do: lease, else: (_ -> nil)
  end

  @doc "The source for a request with this lease."
  @spec source(Function.t(), Lease.t() | nil) :: Source.t()
  def source(function, nil), do: function.source

  def source(function, %Lease{worker: {_function, instance}}),
    do: %{function.source | instance: instance, keep?: true}

  @doc "Ends a request, with the instance to reuse, or nil."
  @spec give_back(Lease.t() | nil, Source.instance() | nil) :: :ok
  def give_back(nil, _kept), do: :ok
  def give_back(lease, nil), do: Lease.give_back(lease, :replace)

  def give_back(%Lease{worker: {function, _before}} = lease, kept),
    do: Lease.give_back(lease, {:keep, {function, kept}})
end
