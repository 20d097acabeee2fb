defmodule Wasmex.Cluster.Names do
  @moduledoc false
  # The deployed names of a node, as a value with a version. Heartbeats carry the version only. The names that have
  # changed are sent once; a node that missed a change asks for all of them.

  defstruct version: 0, names: %{}

  @typedoc "Version numbers of the code by name."
  @type names :: %{term() => pos_integer()}

  @typedoc "The new version number of each changed name; nil if it was removed."
  @type changes :: %{term() => pos_integer() | nil}
  @type t :: %__MODULE__{version: non_neg_integer(), names: names()}

  @doc "The names of a node at its start. Version 0 has none, so other nodes need not ask for it."
  @spec new(names()) :: t()
  def new(names) when names == %{}, do: %__MODULE__{}
  def new(names), do: %__MODULE__{version: 1, names: names}

  @doc "Applies changes of this node; the real ones are left."
  @spec change(t(), changes()) :: {t(), changes()}
  def change(%__MODULE__{names: names, version: version} = own, changes) do
    changes = Map.filter(changes, fn {name, number} -> Map.get(names, name) != number end)

    if changes == %{},
      do: {own, changes},
      else: {%{own | version: version + 1, names: applied(names, changes)}, changes}
  end

  @doc """
  Applies what another node has sent: the changes since a version, or all names (since nil). `:missed` if the changes
  since that version are not known here, `:old` if they are already.
  """
  @spec merge(t(), non_neg_integer() | nil, pos_integer(), changes()) ::
          {:ok, t(), changes()} | :missed | :old
  def merge(%__MODULE__{version: known}, _since, version, _changes) when version <= known,
    do: :old

  def merge(%__MODULE__{names: known} = names, nil, version, all) do
    removed = for {name, _} <- known, not is_map_key(all, name), into: %{}, do: {name, nil}
    changed = for {name, number} <- all, known[name] != number, into: removed, do: {name, number}
    {:ok, %{names | version: version, names: all}, changed}
  end

  def merge(%__MODULE__{version: since, names: known} = names, since, version, changes),
    do: {:ok, %{names | version: version, names: applied(known, changes)}, changes}

  def merge(_names, _since, _version, _changes), do: :missed

  defp applied(names, changes) do
    Enum.reduce(changes, names, fn
      {name, nil}, names -> Map.delete(names, name)
      {name, number}, names -> Map.put(names, name, number)
    end)
  end
end
