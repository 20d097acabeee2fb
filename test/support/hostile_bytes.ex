defmodule Wasmex.HostileBytes do
  @moduledoc "Wasm that nobody's compiler makes, byte by byte."

  import Bitwise

  @doc "A number in LEB128."
  def uleb(number) when number < 128, do: <<number>>
  def uleb(number), do: <<1::1, band(number, 127)::7>> <> uleb(bsr(number, 7))

  @doc "A signed number in LEB128."
  def sleb(number) when number in -64..63, do: <<0::1, number::signed-7>>
  def sleb(number), do: <<1::1, band(number, 127)::7>> <> sleb(number >>> 7)

  @doc "A name, or any bytes with their size before them."
  def name(bytes), do: uleb(byte_size(bytes)) <> bytes

  @doc "A vector: how many, then each."
  def vec(items), do: uleb(length(items)) <> IO.iodata_to_binary(items)

  def section(id, body), do: <<id>> <> name(IO.iodata_to_binary(body))
  def custom(name, body), do: section(0, name(name) <> body)

  @doc "A module, a component, of these sections."
  def module(sections), do: IO.iodata_to_binary(["\0asm", 1, 0, 0, 0 | sections])
  def component(sections), do: IO.iodata_to_binary(["\0asm", 13, 0, 1, 0 | sections])

  @doc "A module whose function `f` has this name, calls itself so often, then traps."
  def named(name) do
    # if (local.get 0) == 0 unreachable; f(local.get(0) - 1)
    body = <<0x20, 0, 0x45, 0x04, 0x40, 0, 0x0B, 0x20, 0, 0x41, 1, 0x6B, 0x10, 0, 0x0B>>

    module([
      section(1, vec([<<0x60, 1, 0x7F, 0>>])),
      section(3, vec([<<0>>])),
      section(7, vec([name("f") <> <<0, 0>>])),
      section(10, vec([name(<<0>> <> body)])),
      custom("name", section(1, vec([<<0>> <> name(name)])))
    ])
  end

  @doc "A component of so many types, each in the one before: 0x41 of components, 0x42 of instances."
  def nested_types(depth, tag \\ 0x41) do
    levels = :binary.copy(<<tag, 1, 1>>, depth)
    component([section(7, <<1>> <> levels <> <<tag, 0>>)])
  end

  @doc "A module of tables with a million elements, of which each knows its last."
  def table_bomb(tables) do
    segments =
      for table <- 0..(tables - 1), do: [2, uleb(table), 0x41, sleb(999_999), 0x0B, 0, 1, 0]

    module([
      section(1, vec([<<0x60, 0, 0>>])),
      section(3, vec([<<0>>])),
      section(4, vec(List.duplicate(<<0x70, 0>> <> uleb(1_000_000), tables))),
      section(9, vec(segments)),
      section(10, vec([<<2, 0, 0x0B>>]))
    ])
  end

  @doc "A module that takes minutes to compile: a table that more than a million elements are written to, one by one."
  def endless_compile(elements \\ 1_100_000) do
    module([
      section(1, vec([<<0x60, 0, 0>>])),
      section(3, vec([<<0>>])),
      section(4, vec([<<0x70, 0>> <> uleb(elements)])),
      section(9, [<<1, 0, 0x41, 0, 0x0B>>, uleb(elements), :binary.copy(<<0>>, elements)]),
      section(10, vec([<<2, 0, 0x0B>>]))
    ])
  end

  @doc "Loops in one another, and locals that are written in all of them: 500 and 500 take 159 s to compile."
  def nested_loops(depth, locals) do
    sets = for local <- 0..(locals - 1), do: [0x20, uleb(local), 0x45, 0x21, uleb(local)]
    ends = :binary.copy(<<0x20, 0, 0x0D, 0, 0x0B>>, depth)
    body = [1, uleb(locals), 0x7F, :binary.copy(<<3, 0x40>>, depth), sets, ends, 0x0B]
    one_function([], IO.iodata_to_binary(body))
  end

  @doc "Globals, each of which is read and written in a block of its own: 1,600 take 11 s to compile."
  def globals_in_blocks(count) do
    blocks =
      for global <- 0..(count - 1),
          do: [0x23, uleb(global), 4, 0x40, 0x41, 1, 0x24, uleb(global), 0x0B]

    globals = section(6, vec(List.duplicate(<<0x7F, 1, 0x41, 0, 0x0B>>, count)))
    one_function([globals], IO.iodata_to_binary([0, blocks, 0x0B]))
  end

  defp one_function(sections, body) do
    before = [section(1, vec([<<0x60, 0, 0>>])), section(3, vec([<<0>>]))]
    module(before ++ sections ++ [section(10, vec([name(body)]))])
  end

  @doc "An engine whose scan lets everything pass."
  def engine_without_limits do
    limits = %Wasmex.Limits{}
    most = Map.new(Map.from_struct(limits), fn {name, _} -> {name, 0x7FFF_FFFF_FFFF_FFFF} end)
    config = %Wasmex.EngineConfig{cranelift_opt_level: :speed, limits: struct!(limits, most)}
    {:ok, engine} = Wasmex.Engine.new(config)
    engine
  end
end
