defmodule Wasmex.WITTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, WIT}
  alias Wasmex.Components.GuestResource.Discovery, as: Guest
  alias Wasmex.Components.HostResource.Discovery, as: Host

  @wit "test/guests/component_resources/wit"

  test "a folder, a text and a component say the same" do
    text = File.read!(Path.join(@wit, "world.wit"))
    {:ok, from_folder} = WIT.world({:path, @wit})
    {:ok, from_text} = WIT.world({:text, "world.wit", text})
    assert from_folder == from_text
    assert from_text.docs == "Resources both ways; without any import of WASI."

    bytes = File.read!("test/guests/component_resources/component_resources.wasm")
    {:ok, from_component} = WIT.world({:component, bytes})
    names = fn world -> for({:interface, name, _} <- world.exports, do: name) |> Enum.sort() end
    assert names.(from_component) == names.(from_text)
    {_, _, counters} = List.keyfind(from_component.exports, "test:resources/counters@1.0.0", 1)
    add = Enum.find(counters.functions, &(&1.name == "[method]counter.add"))

    assert %{kind: :method, resource: "counter", result: :s32, params: [{"self", _}, {"n", :s32}]} =
             add
  end

  test "errors have a line number" do
    assert {:error, %Error{reason: :wit} = error} =
             WIT.world({:text, "mine.wit", "package a:b; world {"})

    assert Exception.message(error) =~ ~r/Failed to parse WIT.*mine.wit/s
    assert {:error, error} = WIT.world({:text, "package a:b; world x {} world y {}"})
    assert Exception.message(error) =~ "Failed to select world"

    assert {:ok, %{name: "y"}} =
             WIT.world({:text, "package a:b; world x {} world y {}"}, world: "y")

    assert {:error, _} = WIT.world({:path, "/no/such/folder"})
    assert {:error, _} = WIT.world({:component, "no component"})
    assert_raise ArgumentError, ~r/UTF-8/, fn -> WIT.world({:text, <<255, 254>>}) end

    assert_raise ArgumentError, ~r/:world in Wasmex.WIT/, fn ->
      WIT.world({:text, ""}, world: :w)
    end
  end

  # Its section claims to have 2 GiB, which the parser would allocate.
  test "a comment without text is one" do
    for text <- [
          "/**/ package a:b; world w { export f: func(); }",
          "package a:b;\n/**/\nworld w { export f: func(); }",
          "package a:b; world w { /**/ export /**/ f: func(); /*/**/*/ //**/ export\n /// x /**/\n}"
        ] do
      assert {:ok, world} = WIT.world({:text, text})
      assert WIT.print(world) =~ "export f: func()"
    end
  end

  @tag :tmp_dir
  test "a core module among the dependencies of a folder is rejected", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "w.wit"), "package a:b; world w { import c:d/e; }")
    File.mkdir_p!(Path.join(dir, "deps"))
    module = <<0, "asm", 1, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x07>>
    File.write!(Path.join(dir, "deps/bomb.wasm"), module)
    assert {:error, %Error{reason: :wit} = error} = WIT.world({:path, dir})
    assert Exception.message(error) =~ "got a core module"
  end

  test "resources of exports and imports" do
    text = File.read!(Path.join(@wit, "world.wit"))
    {:ok, infos} = Guest.from_wit(text)
    assert Enum.map(infos, & &1.name) == ["counter", "fragile"]
    {:ok, counter} = Guest.get_resource_from_wit(text, "counter")
    assert counter.constructor_path == ["test:resources/counters@1.0.0", "counter"]

    assert %{wit_name: "constructor", kind: :constructor, arity: 1, has_return: true} =
             hd(counter.functions)

    assert %{elixir_name: "is_greater", kind: :method, arity: 1} =
             Enum.find(counter.functions, &(&1.wit_name == "is-greater"))

    assert Guest.get_resource_from_wit(text, "bucket") == {:error, :not_found}
    assert {:error, text} = Guest.from_wit("nope", path: "label.wit")
    assert text =~ "Failed to parse WIT" and text =~ "label.wit"

    {:ok, bucket} = Host.get_resource_from_path(@wit, "bucket")
    refute Map.has_key?(bucket, :constructor_path)

    assert Enum.any?(
             bucket.functions,
             &(&1.canonical_name == "[static]bucket.open" and &1.arity == 1)
           )

    two =
      "package a:b; interface i { resource item; } interface j { resource item; } world w { import i; import j; }"

    assert {:error, text} = Host.get_resource_from_wit(two, "item")
    assert text =~ "pass the :interface option"
    assert {:ok, %{interface: "j"}} = Host.get_resource_from_wit(two, "item", interface: "j")
  end
end
