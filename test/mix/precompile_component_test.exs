defmodule Wasmex.PrecompileComponentTest do
  # `use Wasmex.Component` in a project: what `mix compile` leaves, and what a start then does.
  use ExUnit.Case, async: true

  @moduletag :mix
  @moduletag :tmp_dir
  @moduletag timeout: :infinity
  @root Path.expand("../..", __DIR__)

  # Of our own build, without compiling it as a dependency.
  defp mix(dir, args, env) do
    lib = Path.dirname(Application.app_dir(:wasmex))
    env = [{"ERL_LIBS", lib}, {"MIX_ENV", "dev"}, {"MIX_EXS", nil}] ++ env
    System.cmd("mix", args, cd: dir, env: env, stderr_to_stdout: true)
  end

  test "mix compile compiles the component, and a start compiles nothing", %{tmp_dir: dir} do
    File.mkdir_p!(Path.join(dir, "lib"))
    File.mkdir_p!(Path.join(dir, "priv"))
    guest = Path.join(@root, "test/guests/component_types/component_types.wasm")
    File.cp!(guest, Path.join(dir, "priv/types.wasm"))

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Shop.MixProject do
      use Mix.Project
      def project, do: [app: :shop, version: "0.1.0", prune_code_paths: false]
      def application, do: [extra_applications: [:logger, :crypto]]
    end
    """)

    source = fn extra ->
      File.write!(Path.join(dir, "lib/types.ex"), """
      defmodule Types do
        use Wasmex.Component, path: "priv/types.wasm"#{extra}
      end
      """)
    end

    # Nothing is compiled, says telemetry, and the cache stays empty.
    script = """
    parent = self()
    {:ok, _} = Application.ensure_all_started(:wasmex)
    Wasmex.Telemetry.enable([:compile], handler: fn _, _, m -> send(parent, {:compiled, m.size}) end)
    host = for {_, functions} <- Types.__imports__(), {name, _, _} <- functions, do: name
    imports = Wasmex.Components.Component.compile(Wasmex.Engine.default(), File.read!("priv/types.wasm"))
    receive do {:compiled, _} -> :ok end
    receive do {:compiled, _} -> :ok end
    {:ok, component} = Wasmex.Component.compiled(Types, {:own, Types.__path__()}, nil, %Wasmex.Compiler.Options{})
    receive do {:compiled, size} -> IO.puts("compiled \#{size}") after 0 -> IO.puts("nothing compiled") end
    IO.puts("exports \#{map_size(Wasmex.Components.Component.exports(component))}")
    _ = {host, imports}
    """

    for extra <- ["", ", otp_app: :shop"] do
      cache = Path.join(dir, "cache#{extra != ""}")
      source.(extra)
      assert {output, 0} = mix(dir, ["compile"], [{"WASMEX_CACHE", cache}])
      assert output =~ "Compil", output
      assert [artefact] = Path.wildcard(Path.join(dir, "_build/dev/lib/shop/ebin/*.cwasm"))
      # The second module is other code of the same component.
      assert extra != "" or match?([_], File.ls!(cache))
      assert {output, 0} = mix(dir, ["run", "-e", script], [{"WASMEX_CACHE", "off"}])
      assert output =~ "nothing compiled", output
      assert output =~ ~r/exports \d/

      # One that can't be used, of another version of the library say, is no trouble.
      good = File.read!(artefact)
      File.rm!(artefact)
      File.write!(artefact, "of another version")
      assert {output, 0} = mix(dir, ["run", "-e", script], [{"WASMEX_CACHE", "off"}])
      assert output =~ ~r/^compiled \d/m, output
      File.write!(artefact, good)
    end

    # Another component: one file takes the place of the other.
    File.write!(Path.join(dir, "priv/types.wasm"), File.read!(guest) <> <<0, 2, 1, "x">>)
    assert {_, 0} = mix(dir, ["compile"], [{"WASMEX_CACHE", "off"}])
    assert [_] = Path.wildcard(Path.join(dir, "_build/dev/lib/shop/ebin/*.cwasm"))
  end
end
