defmodule Wasmex.Wasi.RulesTest do
  use ExUnit.Case, async: true

  import Bitwise

  alias Wasmex.Native
  alias Wasmex.Options.Type.Address

  defp rules(list), do: Enum.map(List.wrap(list), &Address.native/1)

  # As an address that the guest wrote down.
  defp literal?(list, address, port \\ 80),
    do: Native.address_allowed(rules(list), nil, address, port)

  # As what a name was found to be.
  defp named?(list, name, address, port \\ 80),
    do: Native.address_allowed(rules(list), name, address, port)

  # {class, addresses}
  @special [
    loopback: ~w(127.0.0.1 127.255.255.254 ::1),
    private:
      ~w(10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255
      fc00::1 fdff::1 fec0::1 64:ff9b:1::1),
    link_local: ~w(169.254.0.1 169.254.255.255 fe80::1 febf::1),
    metadata:
      ~w(169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254),
    unspecified: ~w(0.0.0.0 0.1.2.3 ::),
    reserved:
      ~w(192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 198.18.0.1 224.0.0.1 240.0.0.1
      255.255.255.255 ff02::1 2001::1 2001:db8::1 3fff::1 4000::1 100::1)
  ]
  @public ~w(1.1.1.1 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.1.1 100.63.255.255 100.128.0.0
    126.255.255.255 128.0.0.1 169.253.1.1 198.17.0.1 223.255.255.255 2606:4700::1111 2a00::1)
  # IPv4 addresses in the forms that packets to them may take, with what comes before.
  @forms [{0xFFFF, 96}, {0, 96}, {0xFFFF_0000, 96}, {0x64FF9B <<< 64, 96}, {:six_to_four, 16}]

  defp embed({:six_to_four, _}, ip), do: <<0x2002::16, ip::binary, 1::80>>
  defp embed({prefix, 96}, ip), do: <<prefix::96, ip::binary>>

  defp text(bytes) when is_binary(bytes),
    do: for(<<n::16 <- bytes>>, do: n) |> List.to_tuple() |> :inet.ntoa() |> to_string()

  defp bytes(text) do
    {:ok, ip} = :inet.parse_address(to_charlist(text))
    size = if tuple_size(ip) == 4, do: 8, else: 16
    for n <- Tuple.to_list(ip), into: "", do: <<n::size(size)>>
  end

  defp every_form(address) do
    case bytes(address) do
      <<_::32>> = ip -> [address | for(form <- @forms, do: text(embed(form, ip)))]
      _ -> [address]
    end
  end

  describe "a name" do
    test "leads to public addresses, whatever pattern allows it" do
      for list <- ["a.test", "*.test", "*", ["*", "b.test"]], address <- @public do
        assert named?(list, "a.test", address), "#{inspect(list)} #{address}"
      end
    end

    test "leads to no other address, in whatever form" do
      for {class, addresses} <- @special,
          address <- addresses,
          form <- every_form(address),
          list <- ["a.test", "*.test", "*", ["a.test", "0.0.0.0/0", "::/0"]] do
        refute named?(list, "a.test", form), "#{class} #{form} of #{address} by #{inspect(list)}"
      end
    end

    test "leads to an address that is listed beside it, and that alone" do
      for {_class, addresses} <- @special, address <- addresses do
        assert named?(["a.test", address], "a.test", address), address
        refute named?(["b.test", address], "a.test", address), address
        refute named?(["a.test", "[#{address}]:81"], "a.test", address, 80), address
        assert named?(["a.test", "[#{address}]:81"], "a.test", address, 81), address
      end

      assert named?(["a.test", "10.0.0.0/8"], "a.test", "10.9.8.7")
      refute named?(["a.test", "10.0.0.0/16"], "a.test", "10.1.0.1")
      assert named?(["a.test", "10.0.0.0/8"], "a.test", "::ffff:10.9.8.7")
    end

    test "of this machine leads to it" do
      for name <- ["localhost", "LOCALHOST.", "a.localhost"],
          list <- ["*", String.downcase(name)] do
        list = if name == "LOCALHOST.", do: "localhost", else: list
        assert named?(list, name, "127.0.0.1")
        assert named?(list, name, "::1")
        refute named?(list, name, "10.0.0.1")
        refute named?(list, name, "169.254.169.254")
      end

      refute named?("*", "localhost.evil.test", "127.0.0.1")
      refute named?("evil.test", "localhost", "127.0.0.1")
    end

    test "is compared without case and without the last dot" do
      assert named?("API.Example.com", "api.EXAMPLE.COM.", "1.1.1.1")
      refute named?("api.example.com", "api.example.com.evil.test", "1.1.1.1")
      refute named?("api.example.com", "xapi.example.com", "1.1.1.1")
    end

    test "may have stars, of one character or more" do
      for {pattern, yes, no} <- [
            {"*.a.test", ~w(x.a.test x.y.a.test), ~w(a.test .a.test xa.test x.a.test.evil)},
            {"api-*.a.test", ~w(api-1.a.test api-x.y.a.test), ~w(api-.a.test api.a.test)},
            {"a*b*c.test", ~w(axbxc.test abbbc.test), ~w(abc.test axbc.test)},
            {"*a", ~w(ba aa), ~w(a ab)}
          ] do
        for name <- yes, do: assert(named?(pattern, name, "1.1.1.1"), "#{pattern} #{name}")
        for name <- no, do: refute(named?(pattern, name, "1.1.1.1"), "#{pattern} #{name}")
      end
    end

    test "with many stars is judged at once" do
      pattern = String.duplicate("*a", 100) <> "b"
      refute named?(pattern, String.duplicate("a", 250), "1.1.1.1")
    end
  end

  describe "an address" do
    test "is allowed where it is listed, and in IPv6's clothes" do
      for {_class, addresses} <- @special, address <- addresses do
        assert literal?(address, address), address
        refute literal?("1.2.3.4", address), address
      end

      assert literal?("127.0.0.1", "::ffff:127.0.0.1")
      assert literal?("::ffff:127.0.0.1", "127.0.0.1")
      assert literal?("::ffff:10.0.0.0/104", "10.1.2.3")
      refute literal?("127.0.0.1", "::1")
      refute literal?("a.test", "1.1.1.1")
    end

    test "is allowed by * but where nobody meant it" do
      for address <- @public ++ @special[:loopback] ++ ["10.0.0.1", "192.168.1.1"],
          do: assert(literal?("*", address), address)

      for class <- [:link_local, :metadata, :unspecified],
          address <- @special[class],
          form <- every_form(address),
          list <- ["*", ["0.0.0.0/0", "::/0"]],
          do: refute(literal?(list, form), "#{class} #{form} of #{address}")
    end

    test "is in a network when its first bits are" do
      for {net, yes, no} <- [
            {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
            {"10.1.2.3/8", "10.255.0.1", "11.0.0.0"},
            {"192.168.1.128/25", "192.168.1.129", "192.168.1.127"},
            {"1.2.3.4/32", "1.2.3.4", "1.2.3.5"},
            {"fd00::/8", "fd12::1", "fe00::1"},
            {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
            {"::1/128", "::1", "::2"},
            {"0.0.0.0/0", "1.1.1.1", "2606::1"},
            {"::/0", "2606::1", "1.1.1.1"}
          ] do
        assert literal?(net, yes), "#{net} #{yes}"
        refute literal?(net, no), "#{net} #{no}"
      end
    end

    test "is allowed at the ports that are listed" do
      for {rule, yes, no} <- [
            {"1.1.1.1:80", [80], [79, 81, 0]},
            {"1.1.1.1:80-82", [80, 81, 82], [79, 83]},
            {"*:443", [443], [80]},
            {"1.1.1.1", [0, 1, 65_535], []},
            {"1.1.1.0/24:1-65535", [1, 65_535], [0]}
          ] do
        for port <- yes, do: assert(literal?(rule, "1.1.1.1", port))
        for port <- no, do: refute(literal?(rule, "1.1.1.1", port))
      end
    end
  end

  describe "a URL" do
    defp url?(list, url), do: Native.http_allowed(rules(list), url)

    test "is allowed by its host and port" do
      for {list, url, allowed} <- [
            {"[::1]", "http://[::1]:8080/", true},
            {"::1", "http://[::1]/", true},
            {"[::1]:80", "http://[::1]/", true},
            {"[::1]:81", "http://[::1]/", false},
            {"127.0.0.1", "http://[::ffff:127.0.0.1]/", true},
            {"127.0.0.2", "http://[::ffff:127.0.0.1]/", false},
            {"a.test:443", "https://a.test", true},
            {"a.test:443", "http://a.test", false},
            {"a.test:80-90", "http://a.test:90/x?y#z", true},
            {"*", "http://169.254.169.254/latest/meta-data", false},
            {"*", "http://[fd00:ec2::254]/", false},
            {"*", "http://[::ffff:a9fe:a9fe]/", false},
            {"*", "http://0.0.0.0/", false},
            {"169.254.169.254", "http://169.254.169.254/", true},
            {[], "http://a.test/", false}
          ] do
        assert {list, url, url?(list, url)} == {list, url, allowed}
      end
    end

    test "that is none, or hides its host, is not" do
      for url <- [
            "",
            "a.test",
            "//a.test/",
            "ftp://a.test/",
            "http://",
            "http:///x",
            "http://a.test:0/",
            "http://a.test:99999/",
            "http://user@a.test/",
            "http://a.test:80@b.test/",
            "http://a test/",
            "http://a.test\\@b.test/",
            "http://[::1%25lo]/",
            "http://[::1",
            "http://ä.test/"
          ],
          do: refute(url?("*", url), url)
    end

    test "with another way to write an address is a name, which is looked up and judged" do
      for host <- ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] do
        refute url?("127.0.0.1", "http://#{host}/")
        assert url?("*", "http://#{host}/")
        refute named?("*", host, "127.0.0.1")
      end
    end
  end
end
