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

  @doc """
  Functions and units whose names are looked for in one another, in a circle: `:self`, `:pair` of one unit, or `:units`.
  """
  def circle(kind, functions \\ 100) do
    form = if kind == :units, do: 0x10, else: 0x13
    origin = {2, 0x2E, [@low_pc, @high_pc, <<0x31, form>>]}
    abbrev = table([{1, 0x11, [@low_pc, @high_pc]}, origin], <<0>>)

    # An entry has 13 bytes. The first is at byte 20 of its unit, which has 34 bytes if it is the only one.
    entry = fn target -> [<<2>>, @everywhere, <<target::little-32>>] end

    info =
      case kind do
        :self -> unit([<<1>>, @everywhere, List.duplicate(entry.(20), functions), <<0>>])
        :pair -> unit([<<1>>, @everywhere, entry.(33), List.duplicate(entry.(20), functions), 0])
        :units -> for target <- [54, 20], do: unit([<<1>>, @everywhere, entry.(target), <<0>>])
      end

    debugged([{".debug_abbrev", abbrev}, {".debug_info", info}])
  end

  @doc "Anything, from `:rand`: entries of any kinds in one another, references to any place, lengths that may be wrong."
  def random do
    version = Enum.random(2..5)
    abbreviations = for code <- 1..size(20), do: abbreviation(code, version)

    abbrev =
      for {code, tag, children, attributes} <- abbreviations,
          do: [uleb(code), uleb(tag), children, names(attributes), <<0, 0>>]

    units = for _ <- 1..size(30), do: random_unit(version, abbreviations)
    text = for _ <- 1..size(50), do: [:binary.copy("n", size(20_000)), 0]

    sections = [
      {".debug_abbrev", [abbrev, 0]},
      {".debug_info", units},
      {".debug_line", for(_ <- 1..size(5), do: random_lines())},
      {".debug_str", text},
      {".debug_line_str", text},
      {".debug_str_offsets", [<<0::64>>, for(_ <- 1..size(100), do: offset())]},
      {".debug_addr", [<<0::64>>, for(_ <- 1..size(100), do: offset())]},
      {".debug_ranges", for(_ <- 1..size(2_000), do: [offset(), offset()])},
      {".debug_loc", :rand.bytes(size(2_000))},
      {".debug_rnglists", random_lists()},
      {".debug_loclists", random_lists()},
      {".debug_aranges", :rand.bytes(size(200))},
      {".debug_types", :rand.bytes(size(200))}
    ]

    debugged(for {name, content} <- sections, :rand.uniform(8) > 1, do: {name, content})
  end

  # Compile units, functions, functions inlined, blocks, variables, types, partial units, and what there is not.
  @tags [0x11, 0x2E, 0x2E, 0x1D, 0x1D, 0x0B, 0x34, 0x24, 0x13, 0x39, 0x3C, 0x4109, 0x7FFF]

  # Attributes, each with forms that it may have.
  @attributes %{
    # sibling, location, name, stmt_list, low_pc, high_pc
    0x01 => [0x11, 0x13, 0x15],
    0x02 => [0x18, 0x17, 0x22, 0x0A],
    0x03 => [0x08, 0x0E, 0x1F, 0x1A, 0x25],
    0x10 => [0x17, 0x06],
    0x11 => [0x01, 0x1B, 0x29],
    0x12 => [0x01, 0x06, 0x0F],
    # comp_dir, inline, abstract_origin, call_file, call_line, declaration, frame_base, specification, type
    0x1B => [0x08, 0x0E, 0x1F],
    0x20 => [0x0B],
    0x31 => [0x11, 0x12, 0x13, 0x14, 0x15, 0x10, 0x20],
    0x58 => [0x0B, 0x0F, 0x21],
    0x59 => [0x0B, 0x0D, 0x16],
    0x3C => [0x19, 0x0C],
    0x40 => [0x18, 0x17],
    0x47 => [0x13, 0x10],
    0x49 => [0x13, 0x10],
    # ranges, linkage_name, and the bases of DWARF 5
    0x55 => [0x17, 0x23],
    0x6E => [0x0E, 0x1A],
    0x72 => [0x17],
    0x73 => [0x17],
    0x74 => [0x17],
    0x8C => [0x17]
  }

  defp abbreviation(code, _version) do
    attributes =
      for _ <- 1..size(if(:rand.uniform(20) == 1, do: 2_000, else: 8)) do
        {name, forms} = Enum.random(@attributes)
        {name, if(:rand.uniform(30) == 1, do: :rand.uniform(0x30), else: Enum.random(forms))}
      end

    tag = if code == 1, do: 0x11, else: Enum.random(@tags)
    {code, tag, Enum.random([<<0>>, <<1>>]), attributes}
  end

  defp names(attributes) do
    for {name, form} <- attributes,
        do: [uleb(name), uleb(form), if(form == 0x21, do: sleb(size(1_000)), else: [])]
  end

  defp random_unit(version, abbreviations) do
    entries = [entry(hd(abbreviations)) | tree(abbreviations, size(200), size(400))]

    head =
      if version == 5,
        do: [<<5::little-16, Enum.random([1, 1, 1, 2, 3, 4])>>, 4, <<0::32>>],
        else: [<<version::little-16, 0::32, 4>>]

    body = IO.iodata_to_binary([head, entries, ends(size(30))])

    case :rand.uniform(20) do
      1 -> [<<byte_size(body) + size(1_000)::little-32>>, body]
      2 -> [<<max(byte_size(body) - size(50), 0)::little-32>>, body]
      3 -> [<<0xFFFF_FFFF::32, byte_size(body)::little-64>>, body]
      4 -> [<<0xFFFF_FFFF::32, 0xFFFF_FFFF_FFFF_FFFF::64>>, body]
      _ -> [<<byte_size(body)::little-32>>, body]
    end
  end

  defp tree(_abbreviations, _depth, 0), do: []

  defp tree(abbreviations, depth, left) do
    {_, _, children, _} = kind = Enum.random(abbreviations)
    # What ends is up to chance, so that entries nest.
    closes = if children == <<1>> and (depth == 0 or :rand.uniform(3) == 1), do: <<0>>, else: []
    deeper = if children == <<1>> and closes == [], do: max(depth - 1, 0), else: depth
    [entry(kind), closes | tree(abbreviations, deeper, left - 1)]
  end

  defp entry({code, _tag, _children, attributes}),
    do: [uleb(code) | for({_name, form} <- attributes, do: value(form))]

  defp value(form) do
    case form do
      0x08 -> [:binary.copy("s", size(100)), 0]
      form when form in [0x01, 0x06, 0x0E, 0x10, 0x13, 0x17, 0x1F] -> offset()
      form when form in [0x0B, 0x0C, 0x11, 0x25, 0x29] -> <<:rand.uniform(256) - 1>>
      form when form in [0x05, 0x12, 0x26, 0x2A] -> <<:rand.uniform(300)::little-16>>
      form when form in [0x07, 0x14, 0x20] -> [offset(), <<0::32>>]
      form when form in [0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23] -> uleb(size(5_000))
      0x0A -> name(:rand.bytes(size(20)))
      form when form in [0x09, 0x18] -> name(:rand.bytes(size(20)))
      0x16 -> [<<Enum.random([0x0B, 0x0F, 0x13, 0x16, 0x08])>>, 1, 0]
      _ -> []
    end
  end

  defp offset do
    case :rand.uniform(12) do
      1 -> <<0xFFFF_FFFF::32>>
      2 -> <<size(100_000)::little-32>>
      3 -> <<size(1_000)::little-32>>
      _ -> <<:rand.uniform(40) - 1::little-32>>
    end
  end

  defp random_lists do
    items = for _ <- 1..size(1_000), do: [<<Enum.random(0..8)>>, uleb(size(100)), uleb(size(100))]
    [<<:rand.uniform(10_000)::little-32, 5::little-16, 4, 0, 1::little-32, 4::little-32>>, items]
  end

  # Any opcodes with operands, of which some advance as far as they can.
  defp random_lines do
    program =
      for _ <- 1..size(3_000) do
        case :rand.uniform(8) do
          1 -> [2, uleb(size(0xFFFF_FFFF))]
          2 -> [3, sleb(size(0xFFFF_FFFF))]
          3 -> <<9, 0xFFFF::16>>
          4 -> [0, name(<<Enum.random([1, 2, 3, 4, 0x80])>> <> :rand.bytes(size(8)))]
          _ -> :rand.bytes(1)
        end
      end

    directories = for _ <- 1..size(20), do: :binary.copy("d", size(3_000))
    files = for _ <- 1..size(50), do: {:binary.copy("f", size(500)), size(30)}
    lines(directories, files, program)
  end

  # Most are small, so that there are many.
  defp size(most), do: max(1, round(:math.pow(most, :math.pow(:rand.uniform(), 3))))

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
