defmodule Wasmex.Plugin.ManifestTest do
  use ExUnit.Case, async: true

  alias Wasmex.{Error, Plugin}
  alias Wasmex.Plugin.Manifest

  @echo "test/guests/plugins/echo.wasm"

  defp refused(manifest, opts \\ []) do
    assert {:error, %Error{reason: :manifest} = error} = Manifest.new(manifest, opts)
    Exception.message(error)
  end

  test "fields have their defaults" do
    assert {:ok, manifest} = Manifest.new(%{wasm: [%{path: "a.wasm"}]})

    assert manifest.memory == %{
             max_pages: nil,
             max_http_response_bytes: 52_428_800,
             max_var_bytes: 1_048_576
           }

    assert {manifest.config, manifest.allowed_hosts, manifest.allowed_paths, manifest.timeout_ms} ==
             {%{}, [], %{}, nil}

    assert {:ok, %{allowed_hosts: []}} = Manifest.new(%{wasm: [%{path: "a"}], allowed_hosts: nil})

    assert {:ok, %{memory: %{max_var_bytes: 0}}} =
             Manifest.new(%{wasm: [%{path: "a"}], memory: %{max_var_bytes: 0}})
  end

  test "errors name the invalid field" do
    one = %{"wasm" => [%{"path" => "a"}]}
    assert refused(%{"wasm" => []}) =~ "at least one module"
    assert refused(%{}) =~ "at least one module"
    assert refused(%{"wasm" => "a"}) =~ "wasm must be a list"

    assert refused(%{"wasm" => [%{"path" => "a", "data" => "b"}]}) =~
             "wasm[0] must have exactly one of path, data and url"

    assert refused(%{"wasm" => [%{"name" => "a"}]}) =~ "wasm[0] must have exactly one of"
    assert refused(%{"wasm" => [%{"data" => "%"}]}) =~ "wasm[0].data is not Base64"
    assert refused(%{"wasm" => [%{"path" => 7}]}) =~ "wasm[0].path must be a string"
    assert refused(Map.put(one, "config", %{"n" => 1})) =~ ~s|config."n" must be a string|
    assert refused(Map.put(one, "config", nil)) =~ "config must be an object"
    assert refused(Map.put(one, "memory", nil)) =~ "memory must be an object"

    assert refused(Map.put(one, "memory", %{"max_pages" => -1})) =~
             "memory.max_pages must be a non-negative integer"

    assert refused(Map.put(one, "timeout_ms", "1")) =~ "timeout_ms must be a non-negative integer"
    assert refused(Map.put(one, "allowed_hosts", "*")) =~ "allowed_hosts must be a list"
    assert refused(Map.put(one, "allowed_paths", [])) =~ "allowed_paths must be an object"
    assert refused([]) =~ "expected a map"
  end

  test "unknown fields are named, on each level, and ignored where that is asked for" do
    assert refused(%{"wasm" => [%{"path" => "a", "hsah" => "x"}]}) =~
             ~s|unknown field "wasm[0].hsah"; did you mean "hash"|

    assert refused(%{"wasm" => [%{"path" => "a"}], "memory" => %{"max" => 1}}) =~
             ~s|unknown field "memory.max"|

    assert refused(%{"wasm" => [%{"path" => "a"}], "a" => 1, "b" => 2}) =~
             ~s|unknown fields "a", "b"|

    assert {:ok, _} =
             Manifest.new(%{"wasm" => [%{"path" => "a", "x" => 1}], "y" => 1}, strict: false)

    assert {:ok, _} = Plugin.compile(%{wasm: [%{path: @echo}], more: 1}, strict: false)
  end

  test "JSON files; paths beside them" do
    dir = Path.join(System.tmp_dir!(), "wasmex_manifest_#{System.unique_integer([:positive])}")
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    file = Path.join(dir, "m.json")
    File.cp!(@echo, Path.join(dir, "near.wasm"))
    File.write!(file, ~s|{"wasm": [{"path": "near.wasm"}], "timeout_ms": 500}|)
    assert {:ok, plugin} = Plugin.new({:manifest, file})
    assert plugin.timeout == 500
    assert Plugin.call(plugin, "echo", "x") == {:ok, "x"}

    for {text, why} <- [
          {"{", "malformed JSON"},
          {"[]", "expected a JSON object"},
          {<<255>>, "malformed JSON"}
        ] do
      File.write!(file, text)
      assert {:error, %Error{reason: :manifest} = error} = Plugin.compile({:manifest, file})
      assert Exception.message(error) =~ why
    end

    assert {:error, %Error{reason: :manifest}} =
             Plugin.compile({:manifest, Path.join(dir, "none.json")})
  end

  test "hashes of files, data and what was compiled before" do
    bytes = File.read!(@echo)
    right = Base.encode16(:crypto.hash(:sha256, bytes))

    for source <- [%{path: @echo}, %{data: Base.encode64(bytes)}, %{data: {:bytes, bytes}}] do
      assert {:ok, _} = Plugin.compile(%{wasm: [Map.put(source, :hash, right)]})

      assert {:error, %Error{reason: :manifest} = error} =
               Plugin.compile(%{wasm: [Map.put(source, :hash, "00")]})

      assert Exception.message(error) =~
               "hash mismatch: found #{String.downcase(right)} but expected 00"
    end
  end

  test "modules by name: the main one, the last one, duplicates, cycles" do
    uses = fn names ->
      imports = for name <- names, do: ~s|(import "#{name}" "f" (func))|
      {:bytes, ~s|(module #{imports} (func (export "f")) (func (export "go")))|}
    end

    modules = fn list ->
      %{wasm: for({name, needs} <- list, do: %{name: name, data: uses.(needs)})}
    end

    assert {:ok, plugin} = Plugin.new(modules.([{"main", ["b"]}, {"a", []}, {"b", ["a"]}]))
    assert Plugin.call(plugin, "go") == {:ok, ""}

    assert {:error, error} = Plugin.compile(modules.([{"a", []}, {"a", []}, {"main", []}]))
    assert Exception.message(error) =~ ~s|duplicate module name "a"|

    assert {:error, error} =
             Plugin.compile(modules.([{"a", ["b"]}, {"b", ["c"]}, {"c", ["a"]}, {"main", ["a"]}]))

    assert Exception.message(error) =~ ~s|cycle: "a" -> "b" -> "c" -> "a"|

    assert {:error, %Error{reason: :missing_import}} =
             Plugin.compile(modules.([{"main", ["none"]}]))
  end

  test "directories: read only, missing, a file" do
    rust = "test/guests/plugins/rust-files.wasm"
    manifest = fn paths -> %{wasm: [%{path: rust}], allowed_paths: paths} end

    assert {:error, %Error{reason: :wasi}} =
             Plugin.new(manifest.(%{"/no/such/dir" => "/data"}), wasi: true)

    assert {:error, %Error{reason: :wasi}} = Plugin.new(manifest.(%{rust => "/data"}), wasi: true)
    # Without WASI they mean nothing.
    assert {:ok, _} =
             Plugin.new(%{wasm: [%{path: @echo}], allowed_paths: %{"/no/such/dir" => "/data"}})
  end

  test "options in the place of fields" do
    assert {:ok, plugin} = Plugin.new("test/guests/plugins/c-kit.wasm", config: %{colour: "red"})
    assert Plugin.call(plugin, "setting", "colour") == {:ok, "red"}

    assert_raise ArgumentError, ~r/:allowed_hosts in Wasmex.Plugin.compile.*a list/, fn ->
      Plugin.compile(@echo, allowed_hosts: 7)
    end
  end
end
