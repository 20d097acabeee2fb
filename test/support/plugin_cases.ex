defmodule Wasmex.PluginCases do
  @moduledoc """
  Runs the cases of test/guests/plugins/cases.json, each a new plug-in and calls of it. `expect` is what the reference
  host answers; where this library differs the case says so in `ours`, and `ours/1` here what is expected instead.
  """

  alias Wasmex.{Error, Exit, JSON, Plugin, Trap}

  @doc "The cases of this folder whose module is there."
  def load(dir) do
    {:ok, %{"cases" => cases}} = dir |> Path.join("cases.json") |> File.read!() |> JSON.decode()
    Enum.filter(cases, &File.exists?(Path.join(dir, &1["file"])))
  end

  @doc "`:ok` or a text that says what is not as expected. `port` is that of `Wasmex.PluginHttpd`."
  def run(case, dir, port) do
    tmp = Path.join(System.tmp_dir!(), "wasmex_case_#{System.unique_integer([:positive])}")
    File.mkdir_p!(tmp)
    File.write!(Path.join(tmp, "a.txt"), "from the host")

    places = %{
      "{HTTP}" => "http://127.0.0.1:#{port}",
      "{HTTP_LOCALHOST}" => "http://localhost:#{port}",
      "{TMP}" => tmp,
      "{DIR}" => Path.expand(dir),
      "127.0.0.1:18080" => "127.0.0.1:#{port}"
    }

    try do
      case |> place(places) |> play(dir)
    after
      File.rm_rf!(tmp)
    end
  end

  defp place(text, places) when is_binary(text) do
    Enum.reduce(places, text, fn {name, value}, text -> String.replace(text, name, value) end)
  end

  defp place(%{} = map, places),
    do: Map.new(map, fn {key, value} -> {place(key, places), place(value, places)} end)

  defp place(list, places) when is_list(list), do: Enum.map(list, &place(&1, places))
  defp place(other, _places), do: other

  defp play(case, dir) do
    name = make_ref()
    logged = listen(name)

    opts = [
      wasi: case["wasi"] || false,
      http_response_headers: case["http_response_headers"] || false,
      log_level: String.to_atom(case["log_level"] || "off"),
      name: name,
      http: true,
      functions: functions(case["host_functions"] || [])
    ]

    result = case |> manifest(dir) |> Plugin.new(opts)
    judged = judge(result, ours(case), name)
    :logger.remove_handler(logged)
    judged
  end

  defp manifest(case, dir) do
    case["manifest"]
    |> Kernel.||(%{})
    |> Map.put_new("wasm", [%{"path" => case["file"]}])
    |> Map.update!("wasm", fn wasm ->
      for module <- wasm,
          do: Map.replace(module, "path", module["path"] && Path.join(dir, module["path"]))
    end)
    |> Map.update!("wasm", fn wasm ->
      for module <- wasm, do: if(module["path"], do: module, else: Map.delete(module, "path"))
    end)
  end

  # Where we do better than the reference.
  defp ours(%{"name" => name} = case) do
    cond do
      name =~ "redirect to a host" -> calls(case, [%{"rc" => -1, "cause" => "is not allowed"}])
      name =~ "both _start and" -> calls(case, [%{"output" => "b"}, %{"output" => "b"}])
      name =~ "before 1.0" -> calls(case, [%{"output" => "cba"}, %{"output" => ""}])
      name =~ "from _initialize" -> calls(case, [%{"notes" => ["i", "c"]}, %{"notes" => ["c"]}])
      name =~ "never ends" -> %{case | "expect" => %{"new_error" => "timeout"}}
      name =~ "own host function" -> calls(case, [%{"output" => "x"}])
      true -> case
    end
  end

  defp calls(case, expectations) do
    calls =
      for {call, expect} <- Enum.zip(case["calls"], expectations),
          do: Map.put(call, "expect", expect)

    case |> Map.delete("expect") |> Map.put("calls", calls)
  end

  defp judge({:error, _error}, %{"expect" => %{"new_error" => _}}, _name), do: :ok

  defp judge({:ok, _}, %{"expect" => expect}, _name),
    do: "expected #{inspect(expect)}, but it was made"

  defp judge({:error, error}, _case, _name), do: "not made: #{Exception.message(error)}"

  defp judge({:ok, plugin}, case, name) do
    Enum.find_value(case["calls"], :ok, fn call ->
      result = Plugin.call(plugin, call["function"], input(call), context: self())
      expect = call["expect"]

      cond do
        not result?(result, expect, call) ->
          "#{call["function"]}: expected #{inspect(expect)}, got #{inspect(result, limit: 20)}"

        not notes?(expect) ->
          "#{call["function"]}: other notes than #{inspect(expect["notes"])}"

        not log?(name, expect["log"]) ->
          "#{call["function"]}: another log than #{inspect(expect["log"])}"

        true ->
          nil
      end
    end)
  end

  defp input(%{"input_b64" => text}), do: Base.decode64!(text)
  defp input(%{"input_repeat" => [text, count]}), do: String.duplicate(text, count)
  defp input(%{"input" => text}), do: text

  defp result?({:ok, output}, %{"output" => text}, _call), do: output == text
  defp result?({:ok, output}, %{"output_b64" => text}, _call), do: output == Base.decode64!(text)

  defp result?({:ok, output}, %{"output_u64" => list}, _),
    do: output == for(n <- list, into: "", do: <<n::little-64>>)

  defp result?({:ok, output}, %{"output_f64" => list}, _),
    do: output == for(n <- list, into: "", do: <<n::little-float>>)

  defp result?({:ok, output}, %{"output_sha256" => hash, "output_bytes" => size}, _) do
    byte_size(output) == size and
      Base.encode16(:crypto.hash(:sha256, output), case: :lower) == hash
  end

  defp result?({:ok, output}, %{"output_json" => expected}, _) do
    {:ok, found} = JSON.decode(output)
    subset?(found, expected)
  end

  # Only notes are expected.
  defp result?({:ok, _}, %{"notes" => _} = expect, _), do: map_size(expect) == 1

  defp result?(
         {:error, %Plugin.Error{code: rc, message: text}},
         %{"rc" => rc, "error" => text},
         _
       ),
       do: true

  defp result?({:error, error}, %{"rc" => rc, "cause" => cause}, _) do
    case error do
      %Error{reason: :timeout} -> cause == "timeout" and rc == 134
      %Error{reason: :oom} -> cause == "oom"
      %Trap{message: message} -> rc == 134 and message == cause
      %Error{reason: :guest} -> Exception.message(error) =~ cause
      _ -> false
    end
  end

  defp result?({:error, %Exit{status: rc}}, %{"rc" => rc}, _), do: true

  defp result?({:error, %Error{reason: reason}}, %{"rc" => -1} = expect, _) do
    case expect["message_of_c_api"] do
      "Function not found" <> _ -> reason == :unknown_export
      _ -> reason == :signature
    end
  end

  defp result?({:error, %Plugin.Error{code: rc}}, %{"rc" => rc} = expect, _),
    do: map_size(Map.delete(expect, "log")) == 1

  defp result?(_result, _expect, _call), do: false

  defp subset?(found, %{} = expected) do
    Enum.all?(expected, fn
      {"body_json", inner} ->
        {:ok, body} = JSON.decode(found["body"])
        subset?(body, inner)

      {key, value} ->
        is_map(found) and Map.has_key?(found, key) and subset?(found[key], value)
    end)
  end

  defp subset?(found, expected), do: found == expected

  defp functions(list) do
    Enum.reduce(list, %{}, fn function, all ->
      namespace = function["namespace"] || "extism:host/user"
      {params, results} = types(function)
      definition = {:fn, params, results, does(function["does"])}

      Map.update(
        all,
        namespace,
        %{function["name"] => definition},
        &Map.put(&1, function["name"], definition)
      )
    end)
  end

  # An i64 is an offset, but for sums.
  defp types(%{"params" => params, "results" => results, "does" => does}) do
    type = fn
      "i64" when does != "add_all" -> :bytes
      type -> String.to_atom(type)
    end

    {Enum.map(params, type), Enum.map(results, type)}
  end

  defp does("add_all"), do: fn _context, a, b, c, d -> a + b + c + d end
  defp does("upper"), do: fn _context, text -> String.upcase(text) end
  defp does("const:" <> text), do: fn _context, _bytes -> text end

  # To the process that runs it.
  defp does("note"), do: fn _context, text -> send(self(), {:note, text}) end

  defp does("calls inner" <> _),
    do: fn context, bytes -> Plugin.call!(context.plugin, "inner", bytes) end

  defp notes?(expect) do
    Enum.all?(expect["notes"] || [], fn text ->
      receive do
        {:note, found} -> found == text
      after
        0 -> false
      end
    end)
  end

  defp log?(_name, nil), do: true

  defp log?(name, expected) do
    found =
      Stream.repeatedly(fn ->
        receive(do: ({:logged, ^name, event} -> event), after: (0 -> nil))
      end)
      |> Enum.take_while(& &1)

    # Logger has no trace, and its warn is warning.
    expected =
      for [level, text] <- expected,
          do:
            {Map.get(%{"trace" => :debug, "warn" => :warning}, level, String.to_atom(level)),
             text}

    found == expected
  end

  defp listen(name) do
    id = :"plugin_case_#{System.unique_integer([:positive])}"
    :ok = :logger.add_handler(id, __MODULE__, %{config: %{pid: self(), name: name}})
    id
  end

  @doc false
  def log(%{level: level, msg: {:string, text}, meta: %{plugin: name}}, %{
        config: %{pid: pid, name: name}
      }),
      do: send(pid, {:logged, name, {level, IO.chardata_to_string(text)}})

  def log(_event, _config), do: :ok
end
