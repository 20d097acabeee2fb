defmodule Wasmex.HostileDwarf do
  @moduledoc "Debug information that nobody's compiler makes: small, and much for its parser."

  import Wasmex.HostileBytes

  # Attributes and forms.
  @low_pc <<0x11, 0x01>>
  @high_pc <<0x12, 0x06>>
  @everywhere <<0::little-32, 0x7FFF_FFFF::little-32>>
  @name_strp <<0x03, 0x0E>>
  @flag_present <<0x3F, 0x19>>

  @doc "A module whose function `f` traps, with these sections of debug information."
  def debugged(sections) do
    customs = for {name, content} <- sections, do: custom(name, IO.iodata_to_binary(content))

    module([
      section(1, vec([<<0x60, 0, 0>>])),
      section(3, vec([<<0>>])),
      section(7, vec([name("f") <> <<0, 0>>])),
      section(10, vec([<<3, 0, 0, 0x0B>>])) | customs
    ])
  end

  @doc "Functions inlined in one another."
  def deep(depth) do
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, {2, 0x2E, [@low_pc, @high_pc]}, inlined()])

    entries = [
      <<1>>,
      @everywhere,
      <<2>>,
      @everywhere,
      List.duplicate([<<3>>, @everywhere], depth)
    ]

    debugged([{".debug_abbrev", abbrev}, {".debug_info", unit([entries, ends(depth + 2)])}])
  end

  @doc "The same, with a name in each."
  def named(depth, size) do
    inlined = {3, 0x1D, [@low_pc, @high_pc, @name_strp]}
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, {2, 0x2E, [@low_pc, @high_pc]}, inlined])
    nested = List.duplicate([<<3>>, @everywhere, <<0::32>>], depth)
    info = unit([<<1>>, @everywhere, <<2>>, @everywhere, nested, ends(depth + 2)])
    text = [:binary.copy("x", size), 0]
    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}, {".debug_str", text}])
  end

  @doc "Units that share one line program of so many rows."
  def units(count, rows) do
    abbrev = table([{1, 0x11, [@low_pc, @high_pc, <<0x10, 0x17>>]}])
    unit = unit([<<1>>, @everywhere, <<0::32>>, <<0>>])
    lines = lines(["d"], [{"a.c", 1}], :binary.copy(<<0x4B>>, rows))
    info = :binary.copy(IO.iodata_to_binary(unit), count)
    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}, {".debug_line", lines}])
  end

  @doc "Files in a directory with a long name, each of whose paths is written out."
  def paths(files, size) do
    abbrev = table([{1, 0x11, [@low_pc, @high_pc, <<0x10, 0x17>>]}])
    unit = unit([<<1>>, @everywhere, <<0::32>>, <<0>>])
    lines = lines([:binary.copy("d", size)], List.duplicate({"a", 1}, files), <<0x4B>>)
    debugged([{".debug_abbrev", abbrev}, {".debug_info", unit}, {".debug_line", lines}])
  end

  @doc "Entries of a byte, with so many attributes that take none."
  def wide(entries, attributes) do
    wide = {2, 0x34, List.duplicate(@flag_present, attributes)}
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, wide], <<0>>)
    info = unit([<<1>>, @everywhere, :binary.copy(<<2>>, entries), <<0>>])
    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}])
  end

  @doc "Functions whose name is looked for in the same wide entries."
  def origins(functions, attributes) do
    origin = {2, 0x2E, [<<0x31, 0x13>> | List.duplicate(@flag_present, attributes)]}
    function = {3, 0x2E, [@low_pc, @high_pc, <<0x31, 0x13>>]}
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, origin, function], <<0>>)
    # The second entry is its own origin, at byte 20 of the unit.
    itself = <<2, 20::little-32>>
    functions = :binary.copy(<<3>> <> @everywhere <> <<20::little-32>>, functions)
    info = unit([<<1>>, @everywhere, itself, functions, <<0>>])
    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}])
  end

  @doc "Functions that share a list of ranges."
  def ranges(functions, ranges) do
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, {2, 0x2E, [<<0x55, 0x17>>]}], <<0>>)
    info = unit([<<1>>, @everywhere, :binary.copy(<<2, 0::32>>, functions), <<0>>])
    list = for at <- 1..ranges, do: <<at::little-32, at + 1::little-32>>

    debugged([
      {".debug_abbrev", abbrev},
      {".debug_info", info},
      {".debug_ranges", [list, <<0::64>>]}
    ])
  end

  @doc "Units that share a large table of abbreviations."
  def abbreviations(units, abbreviations) do
    others = for code <- 2..abbreviations, do: {code, 0x34, [@flag_present]}
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]} | others], <<0>>)
    info = :binary.copy(IO.iodata_to_binary(unit([<<1>>, @everywhere, <<0>>])), units)
    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}])
  end

  @doc "A line program of DWARF 5 with more files than there are atoms in the universe."
  def counts(count \\ 0xFFFF_FFFF_FFFF_FFF) do
    abbrev = table([{1, 0x11, [@low_pc, @high_pc, <<0x10, 0x17>>]}])
    unit = unit([<<1>>, @everywhere, <<0::32>>, <<0>>])
    # The path of a file as a byte.
    formats = <<1, 1, 0x0B>>
    tables = [formats, <<1, 0>>, formats, uleb(count), :binary.copy(<<0>>, 1_000_000)]
    header = IO.iodata_to_binary([<<1, 1, 1, 251, 14, 1>>, tables])
    body = [<<5::little-16, 4, 0, byte_size(header)::little-32>>, header, 0x4B]
    lines = sized(body)
    debugged([{".debug_abbrev", abbrev}, {".debug_info", unit}, {".debug_line", lines}])
  end

  defp inlined, do: {3, 0x1D, [@low_pc, @high_pc]}

  # A table of abbreviations: code, tag, attributes. The first has entries in it, the others too unless told otherwise.
  defp table(abbreviations, children \\ <<1>>) do
    rows =
      for {code, tag, attributes} <- abbreviations do
        children = if code == 1, do: <<1>>, else: children
        [uleb(code), uleb(tag), children, attributes, <<0, 0>>]
      end

    [rows, 0]
  end

  # DWARF 4.
  defp unit(entries), do: sized([<<4::little-16, 0::little-32, 4>>, entries])

  defp sized(body) do
    body = IO.iodata_to_binary(body)
    [<<byte_size(body)::little-32>>, body]
  end

  defp ends(count), do: :binary.copy(<<0>>, count)

  defp lines(directories, files, program) do
    directories = for directory <- directories, do: [directory, 0]
    files = for {file, directory} <- files, do: [file, 0, uleb(directory), 0, 0]

    header =
      IO.iodata_to_binary(
        [<<1, 1, 1, 251, 14, 13>>, <<0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1>>] ++
          [directories, 0, files, 0]
      )

    # The first row is at address 0.
    program = [<<0, 5, 2, 0::32, 1>>, program, <<0, 1, 1>>]
    sized([<<4::little-16, byte_size(header)::little-32>>, header, program])
  end
end
