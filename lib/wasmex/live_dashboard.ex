defmodule Wasmex.LiveDashboard do
  @moduledoc """
  A page for `Phoenix.LiveDashboard`: native objects, pools, and the processes that run guests, by the work they do.

  In the router of a project that has `:phoenix_live_dashboard` 0.8 or newer:

      live_dashboard "/dashboard", additional_pages: [wasmex: Wasmex.LiveDashboard]

  The page shows the node that is selected in the dashboard:

    * stores, instances, running calls, and other native objects (`Wasmex.live_objects/0`)
    * the time slices that guests have used; a call that ends in its first slice is not counted
    * the places of each `Wasmex.Pool`, and the processes that wait for one
    * processes around a guest, and processes that run one at this moment: tags, memory, messages, and reductions, which
      include those of the guest. The memory is the peak of the store, and unknown while a call runs.

  For charts of durations and rates see "Metrics" in `Wasmex.Telemetry`.

  `:phoenix_live_dashboard` is an optional dependency.
  """

  # The callbacks of Phoenix.LiveDashboard.PageBuilder. It is not used here, so that this module does not depend on which of
  # both is compiled first.
  @compile {:no_warn_undefined, Phoenix.LiveDashboard.PageBuilder}

  import Wasmex.Utils, only: [escape: 1]

  alias Phoenix.LiveDashboard.PageBuilder
  alias Wasmex.Quantity
  alias Wasmex.LiveDashboard.Overview

  # Where it is alive, the application is started.
  @supervisor Wasmex.Application.Supervisor
  # For a node that does not answer, in ms.
  @patience 5_000

  @doc false
  @spec __page_live__(atom()) :: boolean()
  def __page_live__(:refresher?), do: true

  @doc false
  @spec init(term()) :: {:ok, term(), keyword()}
  def init(opts), do: {:ok, opts, process: @supervisor}

  @doc false
  @spec menu_link(term(), map()) :: {:ok | :disabled, String.t()}
  def menu_link(_session, %{processes: processes}),
    do: {if(@supervisor in processes, do: :ok, else: :disabled), "Wasmex"}

  @doc false
  @spec render(map()) :: struct()
  def render(%{page: page}) do
    totals = ask(page.node, :totals, [])
    pools = ask(page.node, :pools, [])
    guests = ask(page.node, :guests, [])
    rendered([cards(totals, guests), table(pools), PageBuilder.live_table(guests(page, guests))])
  end

  # What `~H` makes of a template with these dynamic parts. Text must be escaped.
  defp rendered(parts) do
    static = ["<div>"] ++ List.duplicate("", length(parts) - 1) ++ ["</div>"]

    struct!(Phoenix.LiveView.Rendered,
      static: static,
      dynamic: fn _track_changes? -> parts end,
      fingerprint: :erlang.phash2({__MODULE__, static}),
      root: true
    )
  end

  defp ask(node, function, args) do
    :erpc.call(node, Overview, function, args, @patience)
  catch
    # Another version, or gone: the dashboard notices that by itself.
    _, _ -> if function == :totals, do: %{objects: [], slices: 0}, else: []
  end

  @objects [
    store: "Stores",
    instance: "Instances",
    component_instance: "Component instances",
    execution: "Calls running",
    memory: "Memory handles",
    pipe: "Pipes",
    socket: "Sockets",
    connection: "HTTP connections",
    module: "Modules",
    component: "Components"
  ]

  defp cards(%{objects: objects, slices: slices}, guests) do
    memory = for %{memory: bytes} when bytes != nil <- guests, reduce: 0, do: (sum -> sum + bytes)

    values =
      for({kind, title} <- @objects, do: {title, to_string(objects[kind] || 0)}) ++
        [{"Slices used", to_string(slices)}, {"Memory of idle guests", Quantity.bytes(memory)}]

    ~s|<h5 class="card-title">Guests</h5><div id="wasmex-totals" class="row">#{Enum.map(values, &card/1)}</div>|
  end

  defp card({title, value}) do
    """
    <div class="col-6 col-md-4 col-lg-3 mb-3"><div class="banner-card">
    <h6 class="banner-card-title">#{escape(title)}</h6><div class="banner-card-value">#{escape(value)}</div>
    </div></div>
    """
  end

  @pools [name: "Pool", size: "Places", in_use: "In use", idle: "Idle", waiting: "Waiting"]

  defp table([]), do: ""

  defp table(pools) do
    head = for {field, title} <- @pools, do: ~s|<th#{align(field)}>#{title}</th>|

    rows =
      for pool <- pools do
        cells =
          for {field, _title} <- @pools,
              do: ~s|<td#{align(field)}>#{pool[field] |> to_string() |> escape()}</td>|

        ["<tr>", cells, "</tr>"]
      end

    """
    <h5 class="card-title">Pools</h5>
    <div id="wasmex-pools" class="card tabular-card mb-4"><div class="card-body p-0"><div class="dash-table-wrapper">
    <table class="table table-hover mt-0 dash-table"><thead><tr>#{head}</tr></thead><tbody>#{rows}</tbody></table>
    </div></div></div>
    """
  end

  defp align(:name), do: ""
  defp align(_number), do: ~s| class="text-right"|

  # The assigns of live_table.
  defp guests(page, guests) do
    %{
      __changed__: nil,
      id: "wasmex-guests",
      dom_id: "wasmex-guests",
      page: page,
      title: "Processes",
      rows_name: "processes",
      row_fetcher: fn params, _node -> rows(guests, params) end,
      row_attrs: &attributes/1,
      col: [
        column(:process, "Process", []),
        column(:kind, "Guest", sortable: :asc),
        column(:state, "State", sortable: :asc),
        column(:tagged, "Tags", []),
        column(:bytes, "Memory", sortable: :desc, text_align: "right"),
        column(:queue, "Messages", sortable: :desc, text_align: "right"),
        column(:reductions, "Reductions", sortable: :desc, text_align: "right")
      ],
      default_sort_by: :reductions
    }
  end

  defp column(field, header, more),
    do: Map.new([__slot__: :col, inner_block: nil, field: field, header: header] ++ more)

  defp attributes(%{pid: pid}) do
    [
      {"phx-click", "show_info"},
      {"phx-value-info", PageBuilder.encode_pid(pid)},
      {"phx-page-loading", true}
    ]
  end

  @doc false
  # The rows of the table, with text for each column, and their number before the limit.
  @spec rows([Overview.guest()], map()) :: {[map()], non_neg_integer()}
  def rows(guests, %{search: search, sort_by: field, sort_dir: direction, limit: limit}) do
    found = for guest <- guests, row = row(guest), matches?(row, search), do: row
    key = if field == :bytes, do: &(&1.memory || -1), else: & &1[field]
    {found |> Enum.sort_by(key, direction) |> Enum.take(limit), length(found)}
  end

  defp row(guest) do
    Map.merge(guest, %{
      process: String.trim("#{inspect(guest.pid)} #{guest.name}"),
      tagged: Enum.map_join(guest.tags, ", ", fn {key, value} -> "#{key}: #{inspect(value)}" end),
      bytes: if(guest.memory, do: Quantity.bytes(guest.memory), else: "")
    })
  end

  defp matches?(_row, none) when none in [nil, ""], do: true

  defp matches?(row, search) do
    Enum.any?(
      [row.process, row.kind, row.state, row.tagged],
      &String.contains?(String.downcase(&1), String.downcase(search))
    )
  end
end
