defmodule Wasmex.Hostile.Interfaces do
  @moduledoc "Components and modules by what others see of them: names, types of imports and exports, built-ins."

  import Wasmex.HostileBytes

  @kinds ~w(exported nameless externs builtins)a

  @doc "All kinds of input."
  def kinds, do: @kinds

  @doc "The input of this kind, after `:rand` was seeded."
  # A large type is written once, and what has it is exported or imported often.
  def make(:exported) do
    times = size(99_000)

    {:wasm,
     one([
       fn -> core_exports(times, size(1_000), one([<<0x7F>>, <<0x6F>>, <<0x63, 0x70>>])) end,
       fn -> core_imports(times, size(1_000), one([<<0x7F>>, <<0x6F>>])) end,
       fn -> function_exports(times, size(20)) end,
       fn -> instance_exports(times, size(10_000), size(10)) end
     ]).()}
  end

  # Types without names, which are written out wherever they are used.
  def make(:nameless) do
    pairs = pairs(one([:tuple, :result, :option]), size(20))
    last = length(pairs)
    used = fn kind -> kind <> sleb(last) end
    wrapped = [used.(<<0x70>>), used.(<<0x6B>>)]
    result = one([<<1, 0>>, <<0>> <> sleb(last)])
    function = <<0x40, 1>> <> name("x") <> sleb(last) <> result
    declared = for type <- [<<0x70, 0x7D>>] ++ pairs ++ wrapped ++ [function], do: <<1>> <> type
    at = length(declared) - 1

    functions =
      for number <- 1..size(2_000), do: <<4, 0>> <> name("f#{number}") <> <<1>> <> uleb(at)

    instance = <<0x42>> <> vec(declared ++ functions)
    imports = for number <- 1..size(20), do: <<0>> <> name("a:b/i#{number}") <> <<5, 0>>
    {:wasm, component([section(7, vec([instance])), section(10, vec(imports))])}
  end

  # Names of each form that there is, and some that there is not.
  def make(:externs) do
    long = String.duplicate("n", size(60_000))
    giant = String.duplicate("9", size(1_000))
    name = one(names(long, giant))

    {first, kind} =
      one([{<<0x40, 0, 1, 0>>, 1}, {<<0x42, 0>>, 5}, {<<0x41, 0>>, 4}, {<<0x3F, 0x7F, 0>>, 3}])

    # A few megabytes in all.
    count = min(size(50_000), div(4_000_000, byte_size(name.(0)) + 10) + 1)
    external = if kind == 3, do: <<3, 1>>, else: <<kind, 0>>

    named =
      for number <- 1..count, do: one([<<0>>, <<0>>, <<1>>]) <> name(name.(number)) <> external

    declared = for bytes <- named, do: <<3>> <> bytes

    {:wasm,
     one([
       component([section(7, vec([first])), section(10, vec(named))]),
       component([section(7, vec([<<0x41>> <> vec([<<1>> <> first | declared])]))])
     ])}
  end

  # What is for asynchronous functions and threads: no engine takes them, but readers of WIT do.
  def make(:builtins) do
    depth = size(30)

    element =
      String.duplicate("(#{one(~w(stream future list option))} ", depth) <>
        "u8" <> String.duplicate(")", depth)

    types =
      "(type $s (stream #{element})) (type $f (future #{element})) (type $r (resource (rep i32)))"

    memory =
      "(core module $m (memory (export \"m\") 1) (func (export \"r\") (param i32 i32 i32 i32) (result i32) unreachable)) (core instance $i (instantiate $m)) (alias core export $i \"m\" (core memory $m)) (alias core export $i \"r\" (core func $r))"

    builtins = String.duplicate("(core func (canon #{one(builtins())}))\n", size(40_000))

    function =
      "(type $t (func async (param \"a\" $s) (result $f))) (import \"f\" (func $f (type $t)))"

    {:wat,
     one([
       "(component #{types} #{memory} #{builtins})",
       "(component #{types} #{memory} #{function} (core func (canon lower (func $f) async (memory $m) (realloc $r))))",
       "(component #{types} #{String.duplicate("(type (stream #{element}))", size(20_000))})",
       "(component #{types} #{function} #{String.duplicate("(export \"e\" (func $f))", size(10))})"
     ])}
  end

  defp builtins do
    [
      "backpressure.inc",
      "backpressure.dec",
      "task.return",
      "task.return (result #{one(~w(u8 string))}) (memory $m)",
      "task.cancel",
      "context.get i32 0",
      "context.set i32 0",
      "subtask.drop",
      "subtask.cancel async",
      "stream.new $s",
      "stream.read $s async (memory $m) (realloc $r)",
      "stream.write $s (memory $m) (realloc $r)",
      "stream.cancel-read $s",
      "stream.drop-readable $s",
      "future.new $f",
      "future.read $f (memory $m) (realloc $r)",
      "future.drop-writable $f",
      "error-context.new (memory $m)",
      "error-context.debug-message (memory $m) (realloc $r)",
      "waitable-set.new",
      "waitable-set.wait cancellable (memory $m)",
      "waitable-set.drop",
      "waitable.join",
      "thread.index",
      "thread.available_parallelism",
      "thread.yield cancellable",
      "resource.new $r",
      "resource.drop $r",
      "resource.drop $r async"
    ]
  end

  defp names(long, giant) do
    version =
      one(["1.0.0", "0.0.#{giant}", "#{giant}.0.0", "1.0.0-#{long}", "1.0.0+#{long}", "1"])

    [
      &"f#{&1}",
      &"[method]r.f#{&1}",
      &"[static]r.f#{&1}",
      &"[constructor]r#{&1}",
      &"[async]f#{&1}",
      &"[async method]r.f#{&1}",
      &"[method]#{long}.f#{&1}",
      &"[method]r.f#{&1}.g",
      &"[implements=<a:b/c#{&1}@#{version}>]d#{&1}",
      &"a:b/c#{&1}@#{version}",
      &"a:b/c@#{&1}.#{giant}.0",
      &"a:b:c#{&1}/d/e/f",
      &"a:#{long}#{&1}/b",
      &"url=<https://a/#{long}#{&1}>",
      &"url=<a#{&1}>,integrity=<sha256-#{long}>",
      &"integrity=<sha256-#{&1} sha512-#{long}>",
      &"unlocked-dep=<a:b#{&1}@{>=#{version} <#{version}}>",
      &"unlocked-dep=<a:b#{&1}>",
      &"locked-dep=<a:b@#{version}>,integrity=<sha256-#{&1}>",
      &"A#{&1}-b-C",
      &"a-#{&1}-#{long}",
      &"#{&1}",
      &"é#{&1}",
      fn _ ->
        one(["", "a", "[", "[]", "[method]", "[method].", "url=<", "a:b/", "@", "\u202E", long])
      end
    ]
  end

  defp core_exports(times, width, value) do
    type = <<0x60>> <> vec(List.duplicate(value, width)) <> <<0>>
    exports = for number <- 1..times, do: name("#{number}") <> <<0, 0>>
    sections = [section(1, vec([type])), section(3, vec([<<0>>])), section(7, vec(exports))]
    module(sections ++ [section(10, vec([<<2, 0, 0x0B>>]))])
  end

  defp core_imports(times, width, value) do
    type = <<0x60>> <> vec(List.duplicate(value, width)) <> <<0>>
    imports = for number <- 1..times, do: name("a") <> name("#{number}") <> <<0, 0>>
    module([section(1, vec([type])), section(2, vec(imports))])
  end

  # A function whose type has 2^depth parts.
  defp function_exports(times, depth) do
    pairs = pairs(:tuple, depth)
    function = <<0x40, 1>> <> name("x") <> sleb(length(pairs)) <> <<1, 0>>
    types = [<<0x70, 0x7D>>] ++ pairs ++ [function]
    import = <<0>> <> name("f") <> <<1>> <> uleb(length(types) - 1)
    exports = for number <- 1..times, do: <<0>> <> name("e#{number}") <> <<1, 0, 0>>
    component([section(7, vec(types)), section(10, vec([import])), section(11, vec(exports))])
  end

  defp instance_exports(times, functions, depth) do
    pairs = pairs(:tuple, depth)
    types = [<<0x70, 0x7D>>] ++ pairs
    function = <<0x40, 1>> <> name("x") <> sleb(length(pairs)) <> <<1, 0>>
    declared = for type <- types ++ [function], do: <<1>> <> type
    index = uleb(length(types))
    exports = for number <- 1..functions, do: <<4, 0>> <> name("f#{number}") <> <<1>> <> index
    instance = <<0x42>> <> vec(declared ++ exports)
    import = <<0>> <> name("i") <> <<5, 0>>
    exports = for number <- 1..times, do: <<0>> <> name("e#{number}") <> <<5, 0, 0>>

    component([section(7, vec([instance])), section(10, vec([import])), section(11, vec(exports))])
  end

  # Each of the one before, twice where that is possible; the first has index 1.
  defp pairs(kind, depth) do
    for level <- 0..(depth - 1) do
      case kind do
        :tuple -> <<0x6F, 2>> <> sleb(level) <> sleb(level)
        :result -> <<0x6A, 1>> <> sleb(level) <> <<1>> <> sleb(level)
        :option -> <<0x6B>> <> sleb(level)
      end
    end
  end

  # Small and large alike.
  defp size(most), do: max(1, round(:math.pow(most, :rand.uniform())))
  defp one(list), do: Enum.random(list)
end
