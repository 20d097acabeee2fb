defmodule Wasmex.LiveDashboardTest do
  # The page without Phoenix.LiveDashboard, which cannot be fetched where these tests run: all but its HTML.
  use ExUnit.Case, async: true

  alias Wasmex.{Call, Guest, Instance, LiveDashboard}
  alias Wasmex.LiveDashboard.Overview

  @wat ~s|(module (memory (export "memory") 2) (func (export "f")) (func (export "spin") (loop br 0)))|

  defp guest(pid), do: Enum.find(Overview.guests(), &(&1.pid == pid))

  defp eventually(pid, state, tries \\ 400) do
    case guest(pid) do
      %{state: ^state} = guest -> guest
      _ when tries > 0 -> Process.sleep(5) && eventually(pid, state, tries - 1)
    end
  end

  test "a process around a module: its tags and memory, and whether it runs" do
    pid = start_supervised!({Wasmex, %{bytes: @wat, tags: %{tenant: "a"}}})

    assert %{kind: "module", state: "idle", tags: %{tenant: "a"}, memory: 131_072} = guest(pid)

    task = Task.async(fn -> catch_exit(Wasmex.call_function(pid, "spin", [], 60_000)) end)
    assert %{memory: nil} = eventually(pid, "running")
    Task.shutdown(task, :brutal_kill)
    assert %{memory: 131_072} = eventually(pid, "idle")
  end

  test "a process that calls a guest itself, and the slices the guest uses" do
    {_store, instance} = Guest.start(@wat)
    before = Call.Slices.total()
    task = Task.async(fn -> Instance.call(instance, "spin", [], timeout: :infinity) end)
    assert %{kind: "call", tags: %{}, memory: nil} = eventually(task.pid, "running")
    Task.shutdown(task, :brutal_kill)
    assert Call.Slices.total() > before
    assert guest(self()) == nil
  end

  test "pools, with their places" do
    name = :"#{__MODULE__}.#{System.unique_integer([:positive])}"
    start_supervised!({Wasmex.Pool, name: name, source: {:bytes, @wat}, size: 3})
    {:ok, lease} = Wasmex.Pool.checkout(name)
    find = fn -> Enum.find(Overview.pools(), &(&1.name == inspect(name))) end
    assert %{size: 3, in_use: 1, waiting: 0} = find.()
    Wasmex.Pool.checkin(lease)
    assert %{in_use: 0} = find.()
    assert %{objects: objects, slices: _} = Overview.totals()
    assert objects[:store] >= 0
  end

  test "rows are searched, sorted and limited" do
    guest = fn more ->
      Map.merge(
        %{pid: self(), name: "", kind: "call", state: "idle", tags: %{}, memory: nil, queue: 0},
        Map.put_new(more, :reductions, 0)
      )
    end

    guests = [
      guest.(%{reductions: 1, memory: 65_536}),
      guest.(%{reductions: 3, tags: %{tenant: "Acme"}}),
      guest.(%{reductions: 2, memory: 131_072, name: "MyApp.Rules"})
    ]

    params = %{search: nil, sort_by: :reductions, sort_dir: :desc, limit: 2}
    assert {[%{reductions: 3}, %{reductions: 2}], 3} = LiveDashboard.rows(guests, params)
    params = %{params | sort_by: :bytes}

    assert {[%{bytes: "131.1 kB"}, %{bytes: "65.5 kB"}], 3} = LiveDashboard.rows(guests, params)

    assert {[%{tagged: ~s|tenant: "Acme"|}], 1} =
             LiveDashboard.rows(guests, %{params | search: "acme"})

    assert {[%{process: process}], 1} = LiveDashboard.rows(guests, %{params | search: "rules"})
    assert process =~ "MyApp.Rules"
  end

  test "the link is disabled for nodes without this application" do
    assert {:ok, session, [process: supervisor]} = LiveDashboard.init([])
    assert is_pid(Process.whereis(supervisor))
    assert {:ok, "Wasmex"} = LiveDashboard.menu_link(session, %{processes: [supervisor]})
    assert {:disabled, "Wasmex"} = LiveDashboard.menu_link(session, %{processes: []})
  end
end
