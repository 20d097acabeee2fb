defmodule Wasmex.Cache.Disk do
  @moduledoc false
  # Compiled code in a directory: the configured one, or the option `:cache` of `Wasmex.EngineConfig`. An entry is
  # machine code, which the VM runs. So each carries a digest, and the directory must belong to the user alone: it is
  # refused if others can write to it or replace it. (wasmtime's own cache trusts any content.)

  import Bitwise

  require Logger

  alias Wasmex.{Artefact, Error, Native}

  # Above this size the least recently used entries are removed, until three quarters are left.
  @most 512 * 1024 * 1024

  # Mode bits: writable by the group or by others. Parent directories may be writable by the group, which is common when
  # each user has their own group. The last is the sticky bit of /tmp, where only the owner may rename an entry.
  @shared 0o022
  @shared_above 0o002
  @sticky 0o1000

  @doc """
  The directory of `config :wasmex, cache:` or of `WASMEX_CACHE`; nil if it is off, or if the default one is unusable,
  which is logged once.
  """
  @spec configured() :: String.t() | nil
  def configured do
    case {System.get_env("WASMEX_CACHE"), Application.get_env(:wasmex, :cache)} do
      {"off", _} ->
        nil

      {directory, _} when directory not in [nil, ""] ->
        directory

      {_, false} ->
        nil

      {_, directory} when is_binary(directory) ->
        directory

      {_, default} when default in [nil, true] ->
        default()

      {_, other} ->
        raise ArgumentError,
              "config :wasmex, cache: #{inspect(other)}: expected a directory or false"
    end
  end

  defp default do
    directory = :user_cache |> :filename.basedir("wasmex") |> Path.join("compiled")

    case check(directory) do
      :ok ->
        directory

      {:error, error} ->
        warn_once(error)
        nil
    end
  end

  # No warning for a user without a home, who cannot do anything about it.
  defp warn_once(%{details: %{posix: _}}), do: :ok

  defp warn_once(error) do
    unless :persistent_term.get({__MODULE__, :warned}, false) do
      :persistent_term.put({__MODULE__, :warned}, true)

      Logger.warning(
        "compiled code is not cached: #{Exception.message(error)}. Set `config :wasmex, cache:` to another " <>
          "directory, or to false"
      )
    end
  end

  @doc "The cached artefact of this code for this engine, or a new one from `make`."
  @spec fetch(String.t(), atom(), reference(), binary(), (() -> result)) :: result
        when result: {:ok, binary()} | {:error, Exception.t()}
  def fetch(directory, kind, engine, code, make) do
    with :ok <- check(directory) do
      path = Path.join(directory, name(kind, engine, code))

      with nil <- read(path, engine), {:ok, artefact} <- make.() do
        write(path, Artefact.pack(engine, artefact))
        {:ok, artefact}
      end
    end
  end

  # Everything that an artefact depends on.
  defp name(kind, engine, code) do
    settings = Native.engine_settings(engine)
    build = Native.engine_build()
    inputs = [Atom.to_string(kind), <<0>>, build, <<0, byte_size(settings)::32>>, settings, code]
    Base.encode16(Native.digest_sha256(inputs), case: :lower) <> ".cwasm"
  end

  # A damaged entry is compiled again.
  defp read(path, engine) do
    with {:ok, bytes} <- File.read(path),
         {:ok, artefact} <- Artefact.unpack(engine, bytes, nil) do
      _ = File.touch(path)
      {:ok, artefact}
    else
      _ -> nil
    end
  end

  # A cache that cannot be written is only slower.
  defp write(path, bytes) do
    unique = System.unique_integer([:positive])
    temporary = "#{path}.#{System.pid()}.#{unique}.tmp"

    with :ok <- File.write(temporary, bytes, [:exclusive]),
         :ok <- File.chmod(temporary, 0o600),
         :ok <- File.rename(temporary, path) do
      tidy(Path.dirname(path))
    else
      _ -> File.rm(temporary)
    end
  end

  defp tidy(directory) do
    entries =
      for name <- ls(directory),
          path = Path.join(directory, name),
          {:ok, stat} <- [File.stat(path, time: :posix)],
          stat.type == :regular,
          do: {stat.mtime, stat.size, path}

    size = entries |> Enum.map(&elem(&1, 1)) |> Enum.sum()
    most = Application.get_env(:wasmex, :cache_size, @most)
    if size > most, do: entries |> Enum.sort() |> drop(size, div(most, 4) * 3)
  end

  defp drop([{_mtime, size, path} | entries], left, kept) when left > kept do
    _ = File.rm(path)
    drop(entries, left - size, kept)
  end

  defp drop(_entries, _left, _kept), do: :ok

  defp ls(directory) do
    case File.ls(directory) do
      {:ok, names} -> names
      {:error, _} -> []
    end
  end

  @doc "Creates the directory if needed, and refuses one that other users can write to."
  @spec check(String.t()) :: :ok | {:error, Error.t()}
  def check(directory) do
    directory = Path.expand(directory)

    with :ok <- make(directory), do: own(directory)
  end

  defp make(directory) do
    if File.dir?(directory) do
      :ok
    else
      with :ok <- File.mkdir_p(Path.dirname(directory)),
           :ok <- mkdir(directory) do
        :ok
      else
        {:error, posix} ->
          refuse(directory, "cannot be created: #{:file.format_error(posix)}", %{posix: posix})
      end
    end
  end

  # If another process has created it in the meantime, it is checked like any other.
  defp mkdir(directory) do
    case File.mkdir(directory) do
      :ok -> File.chmod(directory, 0o700)
      {:error, :eexist} -> :ok
      error -> error
    end
  end

  defp own(directory) do
    with :ok <- own(directory, @shared, @shared),
         {:ok, above} <- above(directory) do
      # Anyone who can write to one of them can replace this one.
      Enum.find_value(above, :ok, fn parent ->
        with :ok <- own(parent, @shared_above, 0), do: nil
      end)
    end
  end

  # Limits the number of symbolic links in a path, as systems do.
  @links 40

  # The directories on the way to this one, also those that symbolic links lead through.
  defp above(directory), do: directory |> Path.split() |> above([], "/", @links)

  defp above(_parts, _found, at, 0), do: refuse(at, "leads through too many symbolic links")
  defp above([], [_directory | found], _at, _links), do: {:ok, Enum.uniq(found)}
  defp above([], [], _at, _links), do: {:ok, []}

  # Not `Path.expand/2`: the parent of a link is that of what it leads to, and `~` is a name.
  defp above(["/" | parts], found, _at, links), do: above(parts, ["/" | found], "/", links)

  defp above(["." | parts], found, at, links), do: above(parts, found, at, links)

  defp above([".." | parts], found, at, links),
    do: above([Path.dirname(at) | parts], found, "/", links)

  defp above([part | parts], found, at, links) do
    path = Path.join(at, part)

    case File.read_link(path) do
      {:ok, target} ->
        with :ok <- own_link(path), do: above(Path.split(target) ++ parts, found, at, links - 1)

      _not_a_link ->
        above(parts, [path | found], path, links)
    end
  end

  # In a sticky directory, others may make links.
  defp own_link(path) do
    with {:ok, {user, _owner, _mode}} <- Native.directory_owner("/"),
         {:ok, %{uid: owner}} when owner not in [user, 0] <- File.lstat(path),
         do: refuse(path, "belongs to another user (#{owner})"),
         else: (_ -> :ok)
  end

  # The mode bits that must not be set, and those of them that may be set in a sticky directory.
  defp own(directory, shared, shared_if_sticky) do
    case Native.directory_owner(directory) do
      {:ok, {user, owner, _mode}} when owner not in [user, 0] ->
        refuse(directory, "belongs to another user (#{owner})")

      {:ok, {_user, _owner, mode}} ->
        refused = if (mode &&& @sticky) == 0, do: shared, else: shared_if_sticky

        if (mode &&& refused) == 0,
          do: :ok,
          else:
            refuse(
              directory,
              "is writable by other users (mode #{Integer.to_string(mode, 8)}): run chmod go-w"
            )

      :none ->
        :ok

      :error ->
        refuse(directory, "cannot be inspected")
    end
  end

  defp refuse(directory, why, more \\ %{}) do
    message =
      "cache: #{directory} #{why}; cached code is run as machine code, so other users must not be able to write there"

    details = Map.merge(%{path: directory, message: message}, more)
    {:error, %Error{reason: :cache, details: details}}
  end
end
