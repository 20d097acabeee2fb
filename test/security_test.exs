defmodule Wasmex.SecurityTest do
  # A test for each sentence of guides/security.md, by its name there.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Wasmex.HostileBytes, only: [endless_compile: 0, engine_without_limits: 0, table_bomb: 1]

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.{ChildVM, Compiler, Components, Engine, EngineConfig, Error, Fetcher, Guest}
  alias Wasmex.{Instance, Module, Options, Origin, Store, StoreLimits, Trap}
  alias Wasmex.Wasi.{WasiOptions, WasiP2Options}

  @command "test/guests/component_command/component_command.wasm"
  @preview1 "test/guests/programs/rust/program.wasm"

  defp run(args, opts \\ []), do: Wasmex.run!(@command, args, opts)

  defp instance(wat, opts \\ []) do
    {:ok, store} = Store.new(opts[:limits])
    {:ok, module} = Module.compile(store, wat)
    {:ok, instance} = Instance.new(store, module, opts[:imports] || %{})
    instance
  end

  describe "the guide" do
    @guide File.read!("guides/security.md")

    test "has a test for each sentence in italics" do
      [_, body] = String.split(@guide, "## By default", parts: 2)
      body = body |> String.split("## Limits and their defaults") |> hd()

      sentences =
        for [_, sentence] <- Regex.scan(~r/(?:^|\s)\*([A-Z][^*]+?)\*/, body),
            do: sentence |> String.replace(~r/\s+/, " ") |> String.trim_trailing(".")

      tests =
        for %{name: name} <- __MODULE__.__ex_unit__().tests,
            do: name |> Atom.to_string() |> String.trim_trailing(".")

      assert length(sentences) > 30

      for sentence <- sentences,
          do: assert(Enum.any?(tests, &String.ends_with?(&1, sentence)), "no test: #{sentence}")
    end

    test "has the defaults of the code" do
      http = Map.new(Options.HTTP.service() ++ Options.HTTP.function())
      requests = Map.new(Options.WASI.component())
      plugin = Map.new(Options.Plugin.new())
      network = Map.new(Options.WASI.network())
      mib = 1024 * 1024

      for {row, text, options, key, value} <- [
            {"requests to the built-in HTTP server", "| 64; 256", http, :concurrency, 64},
            {"requests to the built-in HTTP server", "| 64; 256", http, :queue, 256},
            {"time of a call", "5 s for", http, :timeout, 5_000},
            {"memory of a store:", "128 MiB for HTTP", http, :max_memory, 128 * mib},
            {"output of a program", "16 MiB for HTTP", http, :max_output, 16 * mib},
            {"body of a request to a component", "| 8 MiB", http, :max_body, 8 * mib},
            {"bodies of a component's own", "8 MiB each", requests, :http_max_request, 8 * mib},
            {"bodies of a component's own", "8 MiB each", requests, :http_max_response, 8 * mib},
            {"bodies of a component's own", "none for all", requests, :http_max_total, :infinity},
            {"time of such a request", "| 30 s", requests, :http_timeout, 30_000},
            {"concurrent requests of a store", "| 64", requests, :http_max_exchanges, 64},
            {"memory of a plug-in", "| 1 GiB", plugin, :max_memory, 1024 * mib},
            {"key-value store for plug-ins", "| 64 MiB", Map.new(Options.Plugin.key_value()),
             :max_bytes, 64 * mib},
            {"processes waiting for a pool", "| 1,000", Map.new(Options.Pool.rows()), :max_queue,
             1_000},
            {"stack of a guest", "| 512 KiB", Map.new(Options.Engine.rows()), :max_wasm_stack,
             512 * 1024},
            {"redirects that a component's", "| none", requests, :http_redirects, 0},
            {"sockets of a module", "| 1,000; 1 MiB; 30 s", network, :max_sockets, 1_000},
            {"sockets of a module", "| 1,000; 1 MiB; 30 s", network, :socket_buffer, mib},
            {"sockets of a module", "| 1,000; 1 MiB; 30 s", network, :dial_timeout, 30_000},
            {"time that an unused worker", "| 60 s", Map.new(Options.Pool.rows()), :idle, 60_000}
          ] do
        assert options[key][:default] == value
        assert line(row) =~ text
      end

      memory = Wasmex.Plugin.Manifest.__struct__().memory
      assert memory.max_var_bytes == mib and memory.max_http_response_bytes == 50 * mib
      assert line("variables of a plug-in") =~ "1 MiB, 50 MiB"

      {_module, {_table, _names, limits}} = Components.KeyValue.ETS.new([])

      assert limits == %{max_keys: 100_000, max_bytes: 64 * mib, max_key: 1024, max_value: mib}
      assert line("keys, bytes, longest key") =~ "100,000, 64 MiB, 1 KiB, 1 MiB"
    end

    defp line(row) do
      lines = @guide |> String.split("\n") |> Enum.filter(&String.starts_with?(&1, "| " <> row))
      assert [line] = lines
      line
    end
  end

  describe "by default" do
    test "It cannot read or write files." do
      assert %{status: 1, stdout: ""} = run(["read", "/etc/passwd"])
      assert %{status: 1} = run(["write", "/tmp/x", "text"])
      assert %{status: 1} = run(["ls", "/"])
      assert %{status: status} = Wasmex.run!(@preview1, ["ls", "/"])
      assert status != 0
    end

    test "It cannot see environment variables or arguments of the VM." do
      assert System.get_env("PATH") != nil
      assert run(["env"]).stdout == ""
      assert run(["args"]).stdout == ""
    end

    test "It cannot connect, send, listen or look up names." do
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(listener)
      assert %{status: 1} = run(["tcp", "127.0.0.1:#{port}", "x"])
      assert %{status: 1} = run(["udp", "127.0.0.1:#{port}", "x"])
      assert %{status: 1} = run(["lookup", "localhost"])
    end

    test "Its output is discarded." do
      # In a VM of its own, whose very descriptors are looked at.
      code = """
      {:ok, store} = Wasmex.Store.new_wasi(%Wasmex.Wasi.WasiOptions{args: ["program", "stderr", "oh"]})
      {:ok, module} = Wasmex.Module.compile(store, File.read!(#{inspect(Path.expand(@preview1))}))
      {:ok, instance} = Wasmex.Instance.new(store, module, %{})
      IO.inspect(Wasmex.Instance.call(instance, "_start", []))
      """

      assert ChildVM.run(code) == {"{:ok, []}\n", 0}

      assert ChildVM.run(String.replace(code, ~s|"stderr", "oh"|, ~s|"hello"|)) ==
               {"{:ok, []}\n", 0}
    end

    test "It can only call the Elixir functions that it imports." do
      wat = ~s|(module (import "Elixir.System" "halt" (func)))|
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, wat)
      assert {:error, %Error{reason: :missing_import}} = Instance.instantiate(store, module, %{})
    end
  end

  describe "grants" do
    @tag :tmp_dir
    test "A read-only directory cannot be written to, and no directory can be left, neither through `..` nor through a link.",
         %{tmp_dir: dir} do
      inside = Path.join(dir, "inside")
      File.mkdir_p!(inside)
      File.write!(Path.join(dir, "secret"), "secret")
      File.ln_s!("../secret", Path.join(inside, "link"))
      File.ln_s!("/etc/passwd", Path.join(inside, "absolute"))
      read_only = [dirs: %{"/d" => {inside, :ro}}]
      assert %{status: 1} = run(["write", "/d/new", "x"], read_only)
      refute File.exists?(Path.join(inside, "new"))

      for opts <- [read_only, [dirs: %{"/d" => inside}]],
          path <- ["/d/../secret", "/d/link", "/d/absolute", "/d/./../../etc/passwd"] do
        assert %{status: 1, stdout: ""} = run(["read", path], opts)
      end
    end

    test "An address that is not listed cannot be reached, not even by another name or notation." do
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(listener)

      for address <- ["127.0.0.1:#{port}", "localhost:#{port}", "[::ffff:127.0.0.1]:#{port}"] do
        assert %{status: 1} =
                 run(["tcp", address, "x"], tcp: ["127.0.0.2:#{port}", "127.0.0.1:1"])
      end
    end

    test "A name only allows public addresses, unless others are listed as well." do
      rules = Enum.map(["*", "a.test", "*.test"], &Wasmex.Options.Type.Address.native/1)
      leads? = &Wasmex.Native.address_allowed(&1, "a.test", &2, 443)
      assert leads?.(rules, "1.1.1.1")

      for address <- [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "169.254.169.254",
            "::ffff:127.0.0.1",
            "0.0.0.0"
          ] do
        refute leads?.(rules, address), address
        assert leads?.([Wasmex.Options.Type.Address.native(address) | rules], address), address
      end

      # And at run time: `test/stress/network_test.exs`, where names can be made.
    end

    test "Requests only go to listed hosts, and do not follow redirects to others." do
      options = %WasiP2Options{allowed_hosts: ["api.example.com", "*.example.org:8443"]}
      allowed? = &Components.HTTP.allowed?(options, &1)
      assert allowed?.("https://api.example.com/") and allowed?.("https://API.example.com./")
      assert allowed?.("https://a.example.org:8443/")

      for url <- [
            "https://example.com/",
            "https://api.example.com.evil.net/",
            "https://evil.net/?api.example.com",
            "https://evil.net#api.example.com",
            "https://api.example.com@evil.net/",
            "https://a.example.org/",
            "https://example.org:8443/",
            "file://api.example.com/etc/passwd",
            "ftp://api.example.com/"
          ] do
        refute allowed?.(url), url
      end
    end
  end

  describe "a request" do
    test "Requests contain nothing of the application, and stores do not share connections." do
      {:ok, _} = Application.ensure_all_started(:inets)
      counter = :counters.new(1, [])
      answer = Origin.response("", "200 OK", "set-cookie: id=secret\r\n")
      test = self()

      port =
        Origin.start(fn connection ->
          :counters.add(counter, 1, 1)
          Origin.answer_all(connection, answer, test)
        end)

      profile = :security_test
      {:ok, _} = :inets.start(:httpc, profile: profile)
      :httpc.set_options([cookies: :enabled], profile)
      url = ~c"http://127.0.0.1:#{port}/"
      {:ok, _} = :httpc.request(:get, {url, []}, [], [], profile)
      [one, two] = for _ <- 1..2, do: Fetcher.instance()
      for guest <- [one, two, one, two], do: assert({:ok, _} = Fetcher.fetch(guest, port))
      :inets.stop(:httpc, profile)
      assert :counters.get(counter, 1) == 3

      requests =
        for _ <- 1..5 do
          assert_receive {:request, request}
          request
        end

      assert Enum.count(requests, &(&1 =~ ~r/cookie|secret/i)) == 0
    end

    test "Server certificates are verified by webpki." do
      {server, ca} = Origin.certificates()
      {_, other} = Origin.certificates(root: 4)
      port = Origin.answer(Origin.response(""), tls: [log_level: :none] ++ server)
      get = &Fetcher.fetch(Fetcher.instance(http_cacerts: &1), port, scheme: "https")
      assert {:ok, _} = get.(ca)
      assert {:error, "ErrorCode::TlsCertificateError"} = get.(other)
      assert {:error, "ErrorCode::TlsCertificateError"} = get.(nil)
    end

    test "Errors reveal nothing about the host to a guest." do
      function = fn _ -> {:error, %{db_password: "x"}} end

      assert Fetcher.fetch(Fetcher.instance(allowed_hosts: nil, http: function), "a.test") ==
               {:error, "ErrorCode::InternalError(Some(\"the request failed\"))"}
    end
  end

  describe "the VM" do
    test "Heads and bodies of HTTP responses to a guest are limited." do
      head = "HTTP/1.1 404 Not Found\r\n"
      large = String.duplicate("x", 10_000_000)

      for answer <- [
            head <> "x: " <> large <> "\r\n\r\n",
            head <> "content-length: 500000000\r\n\r\n" <> large,
            head <> "transfer-encoding: chunked\r\n\r\n989680\r\n" <> large
          ] do
        assert {:error, code} = Fetcher.fetch(Fetcher.instance(), Origin.answer(answer))
        assert code =~ ~r/HttpResponse(HeaderSection|Body)Size/
      end
    end

    test "Abandoned requests hold no file descriptors." do
      code = """
      files = fn -> length(File.ls!("/proc/self/fd")) end
      port = Wasmex.Origin.start(fn connection -> Wasmex.Origin.read_all(connection) end)
      # The library's own are open from the first request on.
      {:error, _} = Wasmex.Fetcher.fetch(Wasmex.Fetcher.instance(), 1)
      before = files.()

      for _ <- 1..6 do
        guest = Wasmex.Fetcher.instance()
        # The first gives up; the others are dropped in whatever state they are.
        request = Wasmex.Fetcher.request(port, first_byte_timeout: {:some, 200_000_000})
        {:ok, {:error, _}} = Wasmex.Components.Instance.call(guest, "hold", [request, 900])
      end

      wait = fn wait, tries ->
        if tries == 0, do: raise("\#{files.()} files are open, of \#{before}")
        unless files.() <= before, do: Process.sleep(20) && wait.(wait, tries - 1)
      end

      wait.(wait, 500)
      IO.puts("as many as before")
      """

      {output, status} = ChildVM.run(code, "ulimit -n 4000")
      assert {status, output} == {0, "as many as before\n"}
    end

    @opens """
    (module
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "file")
      (func (export "open") (result i32)
        (local $errno i32)
        (loop $again
          (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
          (br_if $again (i32.eqz (local.get $errno))))
        (local.get $errno)))
    """

    @tag :tmp_dir
    test "Guests leave the VM a quarter of the files that it may open.", %{tmp_dir: dir} do
      File.write!(Path.join(dir, "file"), "x")

      code = """
      alias Wasmex.{Instance, Module, Store}
      {:ok, module} = Module.compile(Wasmex.Engine.default(), #{inspect(@opens)})
      preopen = %Wasmex.Wasi.PreopenOptions{path: #{inspect(dir)}, alias: "d"}

      # The second finds no file left, whatever the first has.
      guests =
        for errno <- [41, 41] do
          {:ok, store} = Store.new_wasi(%Wasmex.Wasi.WasiOptions{preopen: [preopen]})
          {:ok, instance} = Instance.new(store, module, %{})
          {:ok, [^errno]} = Instance.call(instance, "open", [])
          store
        end

      files = for _ <- 1..50, do: File.open!(#{inspect(Path.join(dir, "file"))})
      Enum.each(guests, &Store.close/1)
      IO.puts("\#{length(files)} files are left")
      """

      assert {"50 files are left\n", 0} = ChildVM.run(code, "ulimit -n 400")
    end

    test "A request ends with its guest, and an unfinished body is aborted." do
      test = self()
      port = Origin.start(&send(test, {:got, Origin.read_all(&1)}))

      half = [
        method: "POST",
        body: {:some, String.duplicate("x", 4_096)},
        times: 50,
        ending: :trap
      ]

      request = Fetcher.request(port, half)

      assert {:error, %Wasmex.Trap{}} =
               Components.Instance.call(Fetcher.instance(), "fetch", [request])

      assert_receive {:got, "POST / HTTP/1.1\r\n" <> got}
      assert got =~ "xxx"
      refute got =~ "\r\n0\r\n"
    end

    test "An endless loop is stopped by its timeout and does not block other processes." do
      instance = instance(~s|(module (func (export "spin") (loop br 0)))|)

      spins =
        for _ <- 1..(System.schedulers_online() * 2),
            do: instance(~s|(module (func (export "spin") (loop br 0)))|)

      pids = for i <- spins, do: Guest.busy(i, "spin")
      assert {:error, %Error{reason: :timeout}} = Instance.call(instance, "spin", [], timeout: 50)
      # This very process ran meanwhile, and others do.
      assert Task.await(Task.async(fn -> Enum.sum(1..1000) end)) == 500_500
      for pid <- pids, do: Guest.kill(pid)
    end

    @tag :tmp_dir
    test "A guest whose output is not read waits without blocking others.", %{tmp_dir: dir} do
      # Standard output is a pipe that stays full; what is said comes by standard error.
      code = """
      {:ok, component} = Wasmex.Components.Component.compile(Wasmex.Engine.default(), File.read!(#{inspect(Path.expand(@command))}))

      print = fn args, timeout ->
        options = %Wasmex.Wasi.WasiP2Options{args: ["command" | args]}
        {:ok, store} = Wasmex.Components.Store.new_wasi(options)
        {:ok, instance} = Wasmex.Components.Instance.instantiate(store, component, %{})
        run = Enum.find(Map.keys(Wasmex.Components.Component.exports(component)), &(&1 =~ "wasi:cli/run"))
        Wasmex.Components.Instance.call(instance, {run, "run"}, [], timeout: timeout)
      end

      {:ok, _} = print.(["hello"], 60_000)
      tasks = for _ <- 1..20, do: Task.async(fn -> print.(["flood"], 500) end)
      results = Task.await_many(tasks, :infinity)
      true = Enum.all?(results, &match?({:error, %Wasmex.Error{reason: :timeout}}, &1))
      IO.puts(:stderr, "survived")
      System.halt(0)
      """

      fifo = Path.expand(Path.join(dir, "fifo"))

      assert ChildVM.run(code, "mkfifo '#{fifo}'; exec 3<>'#{fifo}'; exec >'#{fifo}'") ==
               {"survived\n", 0}
    end

    test "A guest cannot exceed the memory limit of its store." do
      wat =
        ~s|(module (memory (export "memory") 1) (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))|

      instance = instance(wat, limits: %StoreLimits{memory_size: 1_000_000})
      assert Instance.call(instance, "grow", [1_000]) == {:ok, [-1]}
      assert Instance.call(instance, "grow", [1]) == {:ok, [1]}

      # A program that has no room at all is not even instantiated.
      assert {:error, %Error{} = error} = Wasmex.run(@command, ["hello"], max_memory: 1_000)
      assert Exception.message(error) =~ "memory"
    end

    test "A guest cannot print more than its limit." do
      assert {:error, %Error{reason: :output_limit} = error} =
               Wasmex.run(@command, ["flood"], max_output: 10_000)

      assert byte_size(error.run.stdout) <= 10_000
    end

    test "HTTP requests share no state." do
      ask = fn function ->
        Wasmex.HTTP.call(function, Wasmex.HTTP.Request.new("GET", "/count")).body
      end

      {:ok, function} = Wasmex.HTTP.load(Guests.path("http"))
      assert for(_ <- 1..3, do: ask.(function)) == ~w(1 1 1)
      {:ok, function} = Wasmex.HTTP.load(Guests.path("http"), reuse: 1)
      assert for(_ <- 1..3, do: ask.(function)) == ~w(1 2 3)
    end

    test "A trap, a stack overflow or an access out of bounds only ends the call." do
      wat = """
      (module (memory 1)
        (func (export "trap") unreachable)
        (func $deep (export "deep") call $deep)
        (func (export "beyond") (result i32) (i32.load (i32.const 0x7fffffff)))
        (func (export "one") (result i32) i32.const 1))
      """

      instance = instance(wat)

      for {name, code} <- [
            {"trap", :unreachable},
            {"deep", :stack_overflow},
            {"beyond", :memory_out_of_bounds}
          ] do
        assert {:error, %Trap{code: ^code}} = Instance.call(instance, name, [])
        assert Instance.call(instance, "one", []) == {:ok, [1]}
      end
    end

    test "A guest cannot create atoms." do
      name = "never-an-atom-#{System.unique_integer([:positive])}"

      wat =
        ~s|(module (import "#{name}-a" "#{name}-b" (func)) (func (export "#{name}-c")) (global (export "#{name}-d") i32 (i32.const 1)))|

      component =
        ~s|(component (import "#{name}-e" (func (param "#{name}-f" u8))) (type $t (enum "#{name}-g")) (export "#{name}-h" (type $t)))|

      engine = Wasmex.Engine.default()
      {:ok, _} = Module.compile(engine, "(module)")

      touch = fn ->
        {:ok, module} = Module.compile(engine, wat)
        Module.exports(module)
        Module.imports(module)
        {:ok, store} = Store.new()
        {:error, error} = Instance.instantiate(store, module, %{})
        Exception.message(error)
        {:ok, wasm} = Wasmex.Wat.to_wasm(wat)
        {:ok, _} = Wasmex.Inspection.from_bytes(wasm)
        {:ok, component} = Components.Component.compile(engine, component)
        Components.Component.imports(component)
        {:ok, store} = Components.Store.new()
        {:error, error} = Components.Instance.instantiate(store, component, %{})
        Exception.message(error)
      end

      touch.()

      for suffix <- ~w(a b c d e f g h) do
        assert_raise ArgumentError, fn -> String.to_existing_atom("#{name}-#{suffix}") end
      end
    end

    test "Atoms are created from names in one place, which only macros use." do
      makes = ~r/\b(to_atom|binary_to_atom|list_to_atom|Module\.concat|Module\.safe_concat)\b/

      places = for file <- Path.wildcard("lib/**/*.ex"), File.read!(file) =~ makes, do: file
      assert places == ["lib/wasmex/components/bindgen/names.ex"]
    end

    @tag :tmp_dir
    test "A guest's input is not logged.", %{tmp_dir: dir} do
      Process.flag(:trap_exit, true)
      secret = "secret-#{System.unique_integer([:positive])}"
      env = %{"TOKEN" => secret}

      log =
        capture_log(fn ->
          wasi = %WasiP2Options{WasiP2Options.nothing() | env: env}

          opts = [
            bytes: File.read!(Guests.path("types")),
            imports: Guests.types_imports(),
            wasi: wasi
          ]

          {:ok, pid} = Components.start_link(opts)
          {:error, _} = Components.call_function(pid, "panic", [secret])
          GenServer.stop(pid, :crash)

          {:ok, pid} =
            Wasmex.start_link(%{bytes: File.read!(@preview1), wasi: %WasiOptions{env: env}})

          GenServer.stop(pid, :crash)

          File.cp!(Guests.path("http"), Path.join(dir, "handler.wasm"))

          server =
            start_supervised!({Wasmex.HTTP.Server, dir: dir, port: 0, defaults: [env: env]})

          port = Wasmex.HTTP.Server.port(server)
          {500, _, body} = Wasmex.Client.get(port, "/handler/trap?#{secret}", [{"X", secret}])
          refute body =~ secret

          {:error, error} = Wasmex.run(@command, ["panic"], env: env)
          refute Exception.message(error) =~ secret
        end)

      assert log =~ "terminating" and log =~ "function handler: "
      refute log =~ secret
    end

    @tag :tmp_dir
    test "A guest cannot fill the disk.", %{tmp_dir: dir} do
      assert %{status: 1} = run(["write", "/big", "x"])
      assert %{status: 1} = run(["write", "/d/big", "x"], dirs: %{"/d" => {dir, :ro}})
      assert File.ls!(dir) == []
      # Where it may write, it may.
      assert %{status: 0} = run(["write", "/d/big", "x"], dirs: %{"/d" => dir})
    end

    test "Bytes that exceed a limit are rejected before they are compiled." do
      {:ok, store} = Store.new()

      for {bytes, limit} <- [
            {Wasmex.HostileBytes.table_bomb(100), :table_elements},
            {Wasmex.HostileBytes.nested_loops(500, 500), :function_work},
            {Wasmex.HostileBytes.globals_in_blocks(1600), :function_work},
            {"(module #{String.duplicate("(memory 1)", 1001)})", :memories}
          ] do
        assert {:error, text} = Module.compile(store, bytes)
        assert text =~ "raise `#{limit}`"
      end

      assert {:error, %Error{reason: :nested_too_deep}} =
               Wasmex.WIT.world({:component, Wasmex.HostileBytes.nested_types(2000)})
    end

    test "Function names cannot stop the VM or control a terminal." do
      {:ok, store} = Store.new()
      name = "\e[2J" <> String.duplicate("x", 1000)
      {:ok, module} = Module.compile(store, Wasmex.HostileBytes.named(name))
      {:ok, instance} = Instance.new(store, module, %{})
      assert {:error, %Trap{detail: detail}} = Instance.call(instance, "f", [1])
      assert detail =~ "\\u{1b}[2Jxxx"
      assert detail =~ "xxx…"
      refute detail =~ "\e" or detail =~ String.duplicate("x", 300)
    end

    test "A process that is killed during a call leaks nothing." do
      instance =
        instance(
          ~s|(module (func (export "spin") (loop br 0)) (func (export "one") (result i32) i32.const 1))|
        )

      instance |> Guest.busy("spin") |> Guest.kill()
      assert Instance.call(instance, "one", []) == {:ok, [1]}
    end

    test "Handles of one store are invalid in another." do
      one = instance(~s|(module (memory (export "memory") 1) (func (export "f")))|)
      {:ok, memory} = Instance.export(one, :memory, "memory")
      {:ok, store} = Store.new()
      {:ok, module} = Module.compile(store, ~s|(module (import "e" "memory" (memory 1)))|)

      assert {:error, %Error{reason: :foreign_store}} =
               Instance.instantiate(store, module, %{"e" => %{"memory" => memory}})
    end

    test "Terms that guests keep count with the limit of their store." do
      wat = ~s|(module (table (export "t") 100 externref))|
      instance = instance(wat, limits: %StoreLimits{memory_size: 2_000_000})
      {:ok, table} = Instance.export(instance, :table, "t")
      kept = for at <- 0..99, do: Wasmex.Table.set(table, at, Enum.to_list(1..10_000))
      assert :ok = hd(kept)
      assert {:error, %Error{reason: :limit}} = List.last(kept)
    end

    test "Files that have no end are not read." do
      {:ok, manifest} = Wasmex.Plugin.Manifest.from_json(~s|{"wasm": [{"path": "/dev/zero"}]}|)

      assert {:error, %Error{}} = Wasmex.Plugin.new(manifest, [])
      assert {:error, %Error{reason: :file}} = Wasmex.HTTP.load("/dev/zero")
    end

    test "Handles of another node are invalid, and the error names that node." do
      # As the runtime of Erlang has it: a reference of that node, in the external term format.
      name = "there@example.org"
      atom = <<119, byte_size(name)>> <> name
      foreign = :erlang.binary_to_term(<<131, 90, 2::16>> <> atom <> <<7::32, 1::32, 2::32>>)

      for use <- [
            fn -> Instance.call(%Instance{resource: foreign}, "f", []) end,
            fn -> Store.new(nil, %Wasmex.Engine{resource: foreign}) end,
            fn -> Wasmex.Memory.read(%Wasmex.Memory{resource: foreign}, 0, 1) end
          ] do
        error = assert_raise ArgumentError, use
        assert error.message =~ "belongs to the node there@example.org"
      end
    end

    test "A modified artefact is rejected." do
      {:ok, module} = Module.compile(Wasmex.Engine.default(), ~s|(module (func (export "f")))|)
      {:ok, artefact} = Module.serialize(module)
      assert {:ok, _} = Module.deserialize(artefact)

      for at <- [0, 20, 60, div(byte_size(artefact), 2), byte_size(artefact) - 1] do
        altered = Guest.flip(artefact, 8 * at)
        assert {:error, %Error{reason: :artefact}} = Module.deserialize(altered)
      end

      {:ok, keyed} = Module.serialize(module, key: "mine")
      assert {:error, %Error{}} = Module.deserialize(keyed, nil, key: "yours")
    end
  end

  describe "bytes from anybody" do
    # As those do who take code of others.
    defp isolated(code, opts) do
      options = Compiler.Options.new!(opts, :isolated)
      Module.make(Engine.resource(engine_without_limits()), code, options)
    end

    test "Code that takes too much memory or time to compile returns an error that names the limit." do
      assert {:error, %Error{reason: :compile_timeout} = error} =
               isolated(endless_compile(), compile_timeout: 200)

      assert Exception.message(error) =~ "200 ms (compile_timeout)"

      assert {:error, %Error{reason: :compile_memory} = error} =
               isolated(table_bomb(100), compile_memory: 800 * 1024 * 1024)

      assert Exception.message(error) =~ "838860800 bytes of memory (compile_memory)"
    end

    # In VMs of their own: helpers and the environment are the whole VM's.
    @owner """
    import Wasmex.HostileBytes
    engine = engine_without_limits()
    endless = fn options -> Wasmex.Module.compile(engine, endless_compile(), options) end

    helper = fn helper ->
      case DynamicSupervisor.which_children(Wasmex.Compiler.Helpers) do
        [{_, pid, _, _}] -> Port.info(:sys.get_state(pid).port, :os_pid) |> elem(1)
        [] -> Process.sleep(10) && helper.(helper)
      end
    end
    """

    test "Code that is not quick to compile is compiled by the helper, also without any option." do
      code = """
      pid = spawn(fn -> endless.([]) end)
      helper = helper.(helper)
      program = fn -> File.read!("/proc/\#{helper}/comm") end
      # The port's child begins as another program.
      for _ <- 1..500, program.() != "wasmex-compiler\\n", do: Process.sleep(10)
      IO.inspect(program.())
      Process.exit(pid, :kill)
      """

      assert ChildVM.run(@owner <> code) == {~s|"wasmex-compiler\\n"\n|, 0}
    end

    test "A crash of the helper is an error for its caller and affects nobody else." do
      code = """
      asked = Task.async(fn -> endless.(compile: :isolated) end)
      helper = helper.(helper)
      # By then it has read all of it.
      reads = fn reads ->
        [_, pages | _] = File.read!("/proc/\#{helper}/statm") |> String.split()
        String.to_integer(pages) > 7_000 || (Process.sleep(10) && reads.(reads))
      end
      reads.(reads)
      System.cmd("kill", ["-ABRT", to_string(helper)])
      IO.inspect(Task.await(asked, 60_000))
      IO.inspect(elem(Wasmex.Module.compile(engine, "(module)", compile: :isolated), 0))
      """

      assert {"{:error, \"the compiler helper crashed: signal 6, SIGABRT\"}\n:ok\n", 0} =
               ChildVM.run(@owner <> code)
    end

    test "Killing the caller also ends its compile." do
      code = """
      pid = spawn(fn -> endless.(compile: :isolated) end)
      helper = helper.(helper)
      IO.inspect(File.exists?("/proc/\#{helper}/stat"))
      Process.exit(pid, :kill)
      for _ <- 1..500, File.exists?("/proc/\#{helper}/stat"), do: Process.sleep(10)
      IO.inspect(File.exists?("/proc/\#{helper}/stat"))
      """

      assert ChildVM.run(@owner <> code) == {"true\nfalse\n", 0}
    end

    test "Without a helper, `:isolated` compiles nothing in the VM instead." do
      code = """
      System.put_env("WASMEX_COMPILER_PATH", "/nowhere")
      {:error, text} = Wasmex.Module.compile(Wasmex.Engine.default(), "(module)", compile: :isolated)
      IO.puts(text)
      """

      assert {"there is no helper at /nowhere" <> _, 0} = ChildVM.run(code)
    end

    test "The helper cannot open files and does not inherit the VM's environment." do
      code = """
      System.put_env("SECRET", "secret")
      spawn(fn -> endless.(compile: :isolated) end)
      proc = "/proc/\#{helper.(helper)}/"
      ready = fn ready -> File.read!(proc <> "status") =~ ~r/Seccomp:\\s2/ || (Process.sleep(10) && ready.(ready)) end
      ready.(ready)
      IO.inspect(Enum.sort(File.ls!(proc <> "fd")))
      IO.inspect(File.read!(proc <> "environ") =~ ~r/SECRET|PATH|HOME/)
      IO.inspect(File.read!(proc <> "limits") =~ ~r/Max open files +0 +0/)
      System.halt(0)
      """

      assert ChildVM.run(@owner <> code) == {~s|["0", "1", "2"]\nfalse\ntrue\n|, 0}
    end

    @tag :tmp_dir
    test "A disk cache that other users can write to is refused.", %{tmp_dir: dir} do
      File.chmod!(dir, 0o777)
      assert {:error, text} = Engine.new(%EngineConfig{cache: dir})
      assert text =~ "is writable by other users"
    end
  end
end
