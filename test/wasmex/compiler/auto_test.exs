defmodule Wasmex.Compiler.AutoTest do
  # Each in a VM of its own, whose helper can be taken away.
  use ExUnit.Case, async: true

  alias Wasmex.ChildVM

  # Large, but sound.
  @large ~s|{:ok, large} = Wasmex.Wat.to_wasm("(module " <> String.duplicate("(func)", 3_000) <> ")")\n|
  @without ~s|System.put_env("WASMEX_COMPILER_PATH", "/nowhere")\n|

  test "code that takes long to compile is stopped in the helper" do
    code = """
    engine = Wasmex.HostileBytes.engine_without_limits()
    bomb = Wasmex.HostileBytes.endless_compile()
    {:error, text} = Wasmex.Module.compile(engine, bomb, compile_timeout: 300)
    IO.puts(text)
    """

    assert {"the compile was stopped after 300 ms" <> _, 0} = ChildVM.run(code)
  end

  test "quick code needs no helper, and also gets an artefact" do
    code =
      @without <>
        """
        {:ok, module} = Wasmex.Module.compile(Wasmex.Engine.default(), ~s|(module (func (export "f")))|)
        IO.inspect(Wasmex.Module.exports(module))
        {:ok, artefact} = Wasmex.Engine.precompile_module(Wasmex.Engine.default(), "(module)")
        IO.inspect(is_binary(artefact))
        {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), "(component)")
        IO.inspect(Wasmex.Components.Component.exports(component))
        """

    assert ChildVM.run(code) == {~s|%{"f" => {:fn, [], []}}\ntrue\n%{}\n|, 0}
  end

  test "without a helper, larger code is compiled in the VM, and the log says so once" do
    code =
      @without <>
        @large <>
        """
        for _ <- 1..2, do: {:ok, _} = Wasmex.Module.compile(Wasmex.Engine.default(), large)
        {:ok, artefact} = Wasmex.Engine.precompile_module(Wasmex.Engine.default(), large)
        IO.inspect(is_binary(artefact))
        Logger.flush()
        """

    assert {output, 0} = ChildVM.run(code)
    assert output =~ "true"
    assert [_, _] = String.split(output, "large modules are compiled in the VM")
    assert output =~ "there is no helper at /nowhere"
  end

  test "the same error comes from the helper as from the VM" do
    code =
      @large <>
        """
        engine = Wasmex.Engine.resource(nil)
        bad = large <> <<11, 1, 1>>
        places = for where <- [:auto, :in_process], do: Wasmex.Compiler.Options.new!(compile: where)
        [{:error, one}, {:error, other}] = for place <- places, do: Wasmex.Module.make(engine, bad, place)
        IO.inspect(one == other and one.reason == :compile)
        """

    assert ChildVM.run(code) == {"true\n", 0}
  end
end
