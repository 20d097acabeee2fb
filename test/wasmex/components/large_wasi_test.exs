defmodule Wasmex.Components.LargeWasiTest do
  # Large values that a component passes to a function of WASI in one call, or asks for. See test/guests/component_large.
  use ExUnit.Case, async: true

  alias Wasmex.{ComponentGuests, Error, Trap}

  @mib 1024 * 1024
  @large ComponentGuests.path("large")

  defp run(args, opts \\ []),
    do: Wasmex.run(@large, Enum.map(args, &to_string/1), opts)

  defp printed(args, opts \\ []) do
    assert {:ok, %{status: 0, stdout: stdout}} = run(args, opts)
    String.trim_trailing(stdout)
  end

  defp filled(bytes),
    do: for(index <- 0..(bytes - 1), into: "", do: <<rem(div(index, 7), 256)>>)

  describe "a file" do
    @describetag :tmp_dir

    test "takes 5 MiB in one call, also from wasi-libc", %{tmp_dir: dir} do
      bytes = 5 * @mib
      content = filled(bytes)

      for {function, result} <- [{"write", "Ok(#{bytes})"}, {"pwrite", "#{bytes}"}] do
        assert printed([function, "/d/#{function}", bytes], dirs: %{"/d" => dir}) == result
        assert File.read!(Path.join(dir, function)) == content
      end
    end

    test "takes what Rust's standard library writes at once, in several calls", %{tmp_dir: dir} do
      assert "Some(" <> count = printed(["std", "/d/f", 5 * @mib], dirs: %{"/d" => dir})
      count = count |> String.trim_trailing(")") |> String.to_integer()
      assert count in 1..(5 * @mib)
      assert File.read!(Path.join(dir, "f")) == filled(count)
    end

    test "takes nothing, and pieces that end exactly", %{tmp_dir: dir} do
      for bytes <- [0, 1, @mib, @mib + 1, 2 * @mib] do
        assert printed(["write", "/d/#{bytes}", bytes], dirs: %{"/d" => dir}) == "Ok(#{bytes})"
        assert File.stat!(Path.join(dir, "#{bytes}")).size == bytes
      end
    end

    test "that cannot be written is an error, not a trap" do
      assert printed(["write", "/dev/full", 5 * @mib], dirs: %{"/dev" => "/dev"}) =~
               "insufficient-space"
    end

    test "is read in parts", %{tmp_dir: dir} do
      File.write!(Path.join(dir, "f"), filled(3 * @mib))
      assert "Ok((" <> _ = printed(["read", "/d/f", 0xFFFF_FFFF_FFFF_FFFF], dirs: %{"/d" => dir})
    end

    test "with a path that is too long is an error or names the limit", %{tmp_dir: dir} do
      assert printed(["open", @mib], dirs: %{"/d" => dir}) =~ "Err("
      assert {:error, trap} = run(["open", 2 * @mib], dirs: %{"/d" => dir})
      assert Exception.message(trap) =~ "hostcall_fuel"
    end
  end

  test "random bytes are as many as fit the guest's memory" do
    for function <- ["random", "insecure"], bytes <- [0, 1, 4_096, 4_097, @mib, 5 * @mib] do
      assert [count, different] = [function, bytes] |> printed() |> String.split()
      assert count == "#{bytes}"
      if bytes > 4_096, do: assert(different == "256")
    end

    assert {:error, _} = run(["random", 200 * @mib], max_memory: 16 * @mib)
    assert {:error, _} = run(["random", 0xFFFF_FFFF_FFFF_FFFF])
  end

  test "what is read of a response is bounded, and all of it arrives" do
    response = fn request ->
      {:ok, %{status: 200, body: [request.body, :binary.copy("x", 4 * @mib)]}}
    end

    opts = [http: response, allow_http: true]

    assert printed(["post", "any.where", 3 * @mib, 0xFFFF_FFFF_FFFF_FFFF], opts) ==
             "#{@mib} #{7 * @mib}"
  end

  test "the bytes of a request are those that the guest wrote" do
    me = self()

    response = fn request ->
      send(me, {:body, request.body})
      {:ok, %{status: 200}}
    end

    for bytes <- [0, 1, 64, 65, 100_000, 8 * @mib] do
      assert printed(["post", "any.where", bytes, 1], http: response, allow_http: true) == "0 0"
      assert_received {:body, body}
      assert byte_size(body) == bytes
    end

    assert {:ok, %{status: 0}} = run(["post", "any.where", 100, 1], http: response)
    assert_received {:body, body}
    assert body == filled(100)
  end

  test "a function whose response has too many fields fails the request" do
    for headers <- [
          for(n <- 1..101, do: {"x-#{n}", "y"}),
          [{"x", String.duplicate("y", 70_000)}]
        ] do
      response = fn _ -> {:ok, %{status: 200, headers: headers}} end
      assert {:error, trap} = run(["post", "any.where", 0, 1], http: response)
      assert trap.run.stderr =~ "HttpResponseHeaderSectionSize"
    end
  end

  test "a datagram that is too large is an error for the guest" do
    options = [:binary, active: false, ip: {127, 0, 0, 1}, buffer: 65_536]
    {:ok, socket} = :gen_udp.open(0, options)
    {:ok, port} = :inet.port(socket)
    address = "127.0.0.1:#{port}"
    assert printed(["udp", address, 60_000], udp: [address]) == "Ok(1)"
    assert {:ok, {_, _, datagram}} = :gen_udp.recv(socket, 0, 5_000)
    assert datagram == filled(60_000)

    for bytes <- [65_536, 3 * @mib] do
      assert printed(["udp", address, bytes], udp: [address]) =~ "datagram-too-large"
    end
  end

  test "a limit that ends a guest is named" do
    for {args, limit} <- [
          {["stream", 2 * @mib], "hostcall_fuel"},
          {["fields", 2 * @mib], "hostcall_fuel"},
          {["fields", 200_000], "128 KiB"},
          {["poll", @mib], "hostcall_fuel"}
        ] do
      assert {:error, %kind{} = error} = run(args)
      assert kind in [Error, Trap]
      assert Exception.message(error) =~ limit
    end
  end
end
