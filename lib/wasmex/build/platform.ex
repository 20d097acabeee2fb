defmodule Wasmex.Build.Platform do
  @moduledoc false
  # The platform that the native library is for: a processor and a system, as in the names of the archives.
  #
  # It is this VM's own, unless the project is built for another machine: then it is cargo's `CARGO_BUILD_TARGET`, or
  # what Nerves and rustler_precompiled read from `TARGET_ARCH`, `TARGET_OS` and `TARGET_ABI`.

  @type environment :: (String.t() -> String.t() | nil)

  @doc "The platform of this build, or why there can be no archive for it."
  @spec target(environment()) :: {:ok, String.t()} | {:none, String.t()}
  def target(environment \\ &System.get_env/1) do
    case {present(environment, "CARGO_BUILD_TARGET"), present(environment, "TARGET_ARCH")} do
      {nil, nil} -> host()
      {triple, _} when triple != nil -> parse(triple)
      {nil, processor} -> parse("#{processor}-#{os(environment)}-#{abi(environment)}")
    end
  end

  @doc "The platform of this VM."
  @spec host() :: {:ok, String.t()} | {:none, String.t()}
  def host do
    # Erlang on Windows reports "win32" on all processors, and 32-bit VMs run on 64-bit systems.
    if :erlang.system_info({:wordsize, :external}) == 8,
      do: parse(of_libc(architecture(), maps())),
      else: {:none, "there is no archive for 32-bit VMs"}
  end

  @doc "The platform for a name of Erlang or of Rust."
  @spec parse(String.t()) :: {:ok, String.t()} | {:none, String.t()}
  def parse(text) do
    with processor when processor != nil <- processor(text),
         system when system != nil <- system(text) do
      {:ok, "#{processor}-#{system}"}
    else
      nil -> {:none, "there is no archive for #{text}"}
    end
  end

  @doc """
  The architecture with the libc that the VM is linked to, according to its memory mappings.

  Erlang reports the system it was compiled on. VMs linked to musl that were built elsewhere, or by a script that names
  only `linux`, report another one, or none.
  """
  @spec of_libc(String.t(), String.t()) :: String.t()
  def of_libc(architecture, maps) do
    cond do
      not String.contains?(architecture, "linux") -> architecture
      maps =~ ~r"/(ld-musl-|libc\.musl-)" -> libc(architecture, "musl")
      maps =~ ~r"/(ld-linux|libc\.so\.6|libc-2\.)" -> libc(architecture, "gnu")
      true -> architecture
    end
  end

  defp libc(architecture, libc), do: String.replace(architecture, ~r/linux.*$/, "linux-#{libc}")

  defp processor(text) do
    case hd(String.split(text, "-")) do
      name when name in ["x86_64", "amd64", "win32"] -> "x86_64"
      name when name in ["aarch64", "arm64"] -> "aarch64"
      _ -> nil
    end
  end

  defp system(text) do
    cond do
      text =~ "linux" and text =~ "musl" -> "linux-musl"
      # Not gnux32, which has 32-bit pointers.
      text =~ ~r/linux-gnu$/ -> "linux-gnu"
      text =~ "darwin" -> "macos"
      text == "win32" or text =~ ~r/^(x86_64|amd64)-.*windows/ -> "windows-gnu"
      true -> nil
    end
  end

  defp os(environment), do: present(environment, "TARGET_OS") || "linux"
  defp abi(environment), do: present(environment, "TARGET_ABI") || "gnu"

  defp architecture, do: to_string(:erlang.system_info(:system_architecture))

  defp maps do
    case File.read("/proc/self/maps") do
      {:ok, maps} -> maps
      {:error, _} -> ""
    end
  end

  defp present(environment, name) do
    case environment.(name) do
      "" -> nil
      value -> value
    end
  end
end
