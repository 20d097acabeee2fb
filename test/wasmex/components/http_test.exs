defmodule Wasmex.Components.HTTPTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Wasmex.ComponentGuests, as: Guests
  alias Wasmex.Components.{HTTP, Instance, Store}
  alias Wasmex.HTTP.{Request, Server}
  alias Wasmex.Pool
  alias Wasmex.Wasi.WasiP2Options

  defp request(method, path, body \\ ""),
    do: %{Request.new(method, path, [{"host", "h.example"}, {"x-a", "1"}]) | body: body}

  # Whose time counts in a test says so itself.
  defp function(settings \\ []) do
    settings = Keyword.put_new(settings, :timeout, 60_000)
    {:ok, function} = Wasmex.HTTP.load(Guests.path("http"), settings)
    function
  end

  describe "a request to a component" do
    test "is handed over with method, path, headers and body" do
      function = function()

      assert %{status: 200, body: "hello from a component"} =
               Wasmex.HTTP.call(function, request("GET", "/hello"))

      body = Wasmex.HTTP.call(function, request("POST", "/about?a=1&b=2")).body
      assert body =~ "method=POST\nauthority=h.example\nquery=a=1&b=2\n"
      assert body =~ "x-a: 1\n"
      response = Wasmex.HTTP.call(function, request("GET", "/hello"))

      assert Enum.filter(response.headers, &match?({"x-twice", _}, &1)) == [
               {"x-twice", "1"},
               {"x-twice", "2"}
             ]

      assert Wasmex.HTTP.call(function, request("GET", "/status?404")).status == 404
    end

    test "streams bodies both ways" do
      function = function()

      for size <- [0, 1, 70_000, 1_000_000] do
        body = :crypto.strong_rand_bytes(size)
        assert Wasmex.HTTP.call(function, request("POST", "/echo", body)).body == body
      end

      stream = Stream.map(1..2_000, fn n -> "#{n}\n" end)

      assert Wasmex.HTTP.call(function, request("POST", "/echo", stream)).body ==
               Enum.join(stream)

      assert byte_size(Wasmex.HTTP.call(function, request("GET", "/long?3000000")).body) ==
               3_000_000
    end

    test "that fails has an answer that tells nothing, and an error that does" do
      function = function()
      short = function(timeout: 300, max_output: 1_000_000_000_000)

      capture_log(fn ->
        for {function, path, status, text} <- [
              {function, "/trap", 500, "unreachable"},
              {function, "/forget", 500, "dropped its response-outparam"},
              {function, "/fail", 500, "LoopDetected"},
              {short, "/spin", 504, "timeout"},
              {short, "/endless", 504, "timeout"},
              {function, "/fetch?GET+x.example+/", 502, nil}
            ] do
          response = Wasmex.HTTP.call(function, request("GET", path))
          assert {path, response.status} == {path, status}
          if text, do: assert(Exception.message(response.error) =~ text)
        end

        # Half an answer is none.
        assert %{error: %Wasmex.Trap{}, body: ""} =
                 Wasmex.HTTP.call(function, request("GET", "/broken"))
      end)
    end

    defp counts(function, times),
      do: for(_ <- 1..times, do: Wasmex.HTTP.call(function, request("GET", "/count")).body)

    test "is used again where that is asked for, until it fails" do
      assert counts(function(), 3) == ~w(1 1 1)

      again = function(reuse: 1)
      assert counts(again, 3) == ~w(1 2 3)

      capture_log(fn ->
        for path <- ["/trap", "/forget", "/fail"] do
          assert Wasmex.HTTP.call(again, request("GET", path)).status == 500
          assert counts(again, 2) == ~w(1 2)
        end
      end)

      # An answer that is none is a failure too, when all else went well.
      short = function(reuse: 1, max_output: 300)
      assert counts(short, 1) == ["1"]
      assert Wasmex.HTTP.call(short, request("GET", "/long?400")).status == 502
      assert counts(short, 2) == ~w(1 2)

      # Of another function of the same component, it is another.
      assert counts(function(reuse: 1), 1) == ["1"]
    end

    test "is one request's alone while that lasts, and as many wait as were asked for" do
      function = function(reuse: 2)
      me = self()

      waiting = fn n ->
        Stream.resource(
          fn -> :ask end,
          fn
            :ask ->
              send(me, {:asked, n, self()})
              receive do: (:go -> {["body #{n}"], :end})

            :end ->
              {:halt, nil}
          end,
          fn _ -> :ok end
        )
      end

      tasks =
        for n <- 1..4 do
          Task.async(fn ->
            Wasmex.HTTP.call(function, request("POST", "/echo", waiting.(n))).body
          end)
        end

      # All of them are in the middle of their requests.
      for n <- 1..4, do: assert_receive({:asked, ^n, _pid}, 60_000)
      for task <- tasks, do: send(task.pid, :go)
      assert Task.await_many(tasks, :infinity) == Enum.map(1..4, &"body #{&1}")

      assert Pool.stats(function.pool.server) == %{in_use: 0, idle: 2, waiting: 0}
    end

    test "waits for a request only so long" do
      # One place: with several, a process takes that of the scheduler it is on.
      function = function(reuse: 1)
      assert counts(function, 2) == ~w(1 2)
      {:ok, lease} = Pool.checkout(function.pool.server)
      {_function, {store, _, _}} = lease.worker
      Pool.checkin(lease)
      assert {:ok, _bytes} = Wasmex.Store.memory_peak(store)
      Pool.replace(function.pool.server, function)
      assert %{idle: 0} = Pool.stats(function.pool.server)
      assert_closed(store)
      assert counts(function, 2) == ~w(1 2)
    end

    # By another process, which may take its time.
    defp assert_closed(store) do
      case Wasmex.Store.memory_peak(store) do
        {:error, %{reason: :closed}} -> :ok
        {:ok, _} -> Process.sleep(5) && assert_closed(store)
      end
    end

    test "ends with the process that loaded it, and requests go on without" do
      me = self()

      loader =
        spawn(fn ->
          send(me, {:function, function(reuse: 1)})
          Process.sleep(:infinity)
        end)

      assert_receive {:function, function}, 60_000
      assert counts(function, 2) == ~w(1 2)
      monitor = Process.monitor(function.pool.server)
      Process.exit(loader, :kill)
      assert_receive {:DOWN, ^monitor, :process, _pid, :normal}
      assert counts(function, 2) == ~w(1 1)
    end

    test "of a function whose pool is killed in the middle of a request does no harm" do
      function = function(reuse: 1)
      me = self()

      body =
        Stream.map(1..2, fn n ->
          send(me, {:asked, n, self()})
          receive do: (:go -> "body")
        end)

      task = Task.async(fn -> Wasmex.HTTP.call(function, request("POST", "/echo", body)) end)
      assert_receive {:asked, 1, _pid}, 60_000
      monitor = Process.monitor(function.pool.server)
      Process.exit(function.pool.server, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}, 60_000
      for _ <- 1..2, do: send(task.pid, :go)
      assert %{status: 200, body: "bodybody", error: nil} = Task.await(task, :infinity)
      assert counts(function, 2) == ~w(1 1)
    end

    test "may print so much for each request, used again or not" do
      for reuse <- [0, 1] do
        function = function(reuse: reuse, max_output: 1_100)

        for _ <- 1..3 do
          assert %{status: 200, body: body} =
                   Wasmex.HTTP.call(function, request("GET", "/long?1000"))

          assert byte_size(body) == 1_000
        end

        assert %{status: 502, error: %{reason: :output_limit}, body: "502 Bad Gateway\n"} =
                 Wasmex.HTTP.call(function, request("GET", "/long?1101"))
      end
    end

    test "that does not read its body does no harm to the one that asks" do
      body = String.duplicate("x", 5_000_000)
      assert Wasmex.HTTP.call(function(), request("POST", "/hello", body)).status == 200
      {:ok, store} = Store.new()
      {:ok, instance} = Instance.instantiate(store, Guests.component("http"), %{})
      raising = Stream.map(1..3, fn _ -> raise "of the stream" end)

      for body <- [body, Stream.repeatedly(fn -> "x" end), raising],
          do: assert(HTTP.handle(instance, request("POST", "/hello", body)).status == 200)

      assert_raise RuntimeError, "of the stream", fn ->
        HTTP.handle(instance, request("POST", "/echo", raising))
      end
    end

    test "has a fresh instance each time, or one that is given" do
      component = Guests.component("http")
      assert HTTP.handle(component, request("GET", "/hello")).status == 200
      assert HTTP.handle(function(), request("GET", "/hello")).status == 200
      {:ok, store} = Store.new()
      {:ok, instance} = Instance.instantiate(store, component, %{})
      for _ <- 1..3, do: assert(HTTP.handle(instance, request("GET", "/hello")).status == 200)
      body = String.duplicate("x", 300_000)
      assert HTTP.handle(instance, request("POST", "/echo", body)).body == body

      assert HTTP.handle(instance, request("GET", "/long?100000"), max_output: 1_000).error.reason ==
               :output_limit

      assert HTTP.handle(instance, request("GET", "/hello")).error.reason == :spent

      {:ok, store} = Store.new()
      {:ok, instance} = Instance.instantiate(store, component, %{})
      assert %{status: 504} = HTTP.handle(instance, request("GET", "/spin"), timeout: 50)

      assert %{status: 500, error: %{reason: :not_a_program}} =
               HTTP.handle(Guests.component("bench"), request("GET", "/"))
    end

    test "is not asked for what it can't have" do
      component = Guests.component("http")
      get = request("GET", "/hello")
      {:ok, store} = Store.new()
      {:ok, instance} = Instance.instantiate(store, component, %{})

      for {handler, opts, text} <- [
            {component, [reuse: 1], "reuse:"},
            {component, [timeuot: 1], "timeuot"},
            {function(), [timeout: 1], "Wasmex.HTTP.load/2"},
            {instance, [max_output: nil], "max_output"},
            {instance, [timeout: "5"], "timeout"},
            {instance, [max_memory: 5], "max_memory"}
          ] do
        error = assert_raise ArgumentError, fn -> HTTP.handle(handler, get, opts) end
        assert Exception.message(error) =~ text
      end

      assert HTTP.handle(instance, get).status == 200
    end

    @tag :tmp_dir
    @tag :capture_log
    test "comes through the server", %{tmp_dir: dir} do
      File.cp!(Guests.path("http"), Path.join(dir, "handler.wasm"))
      server = start_supervised!({Server, dir: dir, port: 0, ip: {127, 0, 0, 1}})
      {:ok, _} = Application.ensure_all_started(:inets)
      url = ~c"http://127.0.0.1:#{Server.port(server)}/handler/hello"
      assert {:ok, {{_, 200, _}, _, ~c"hello from a component"}} = :httpc.request(url)
    end
  end

  describe "a component's own requests" do
    defp server(answers), do: "127.0.0.1:#{Wasmex.Client.answers(answers)}"

    defp fetch(settings, method, authority, path, body \\ "") do
      query = Enum.join([method, authority, path, body], "+")
      Wasmex.HTTP.call(function(settings), request("GET", "/fetch?" <> query))
    end

    test "reach hosts that are listed" do
      host =
        server([
          "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
          "HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno"
        ])

      assert %{status: 200, body: "hello"} = fetch([allowed_hosts: [host]], "GET", host, "/x?y=1")
      assert_receive {:request, "GET /x?y=1 HTTP/1.1\r\n" <> rest}
      assert rest =~ "x-from: guest\r\n"
      assert %{status: 404, body: "no"} = fetch([allowed_hosts: ["*"]], "POST", host, "/", "text")
      assert_receive {:request, "POST / HTTP/1.1\r\n" <> rest}
      assert rest =~ "text"
    end

    test "reach no others, and follow no redirect" do
      host =
        server([
          "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        ])

      assert fetch([], "GET", host, "/").body =~ "HttpRequestDenied"

      assert fetch([allowed_hosts: ["127.0.0.1:1", "*.example.com"]], "GET", host, "/").body =~
               "HttpRequestDenied"

      assert fetch([allowed_hosts: [host]], "GET", host, "/").status == 302

      assert fetch([allowed_hosts: ["127.0.0.1:1"]], "GET", "127.0.0.1:1", "/").body =~
               "ConnectionRefused"
    end

    defp instance(options) do
      {:ok, store} = Store.new_wasi(struct!(WasiP2Options.nothing(), options))
      {:ok, instance} = Instance.instantiate(store, Guests.component("http"), %{})
      instance
    end

    defp ask(options, query),
      do: HTTP.handle(instance(options), request("GET", "/fetch?" <> query), timeout: 60_000).body

    test "have limits of size and time" do
      host =
        server([
          "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" <> String.duplicate("x", 5000),
          :never
        ])

      assert ask([allow_http: true, http_max_response: 1_000], "GET+#{host}+/") =~
               "HttpResponseBodySize"

      assert ask([allow_http: true, http_timeout: 200], "GET+#{host}+/") =~ "Timeout"
    end

    test "can be performed by a function" do
      me = self()

      function = fn request ->
        send(me, {:asked, request})
        {:ok, %{status: 201, headers: [{"x", "y"}], body: ["made", " up"]}}
      end

      assert ask([http: function], "POST+any.where+/p+body") == "made up"

      assert_receive {:asked,
                      %{method: "POST", url: "http://any.where/p", body: "body", headers: headers}}

      assert {"x-from", "guest"} in headers
      # The list holds for the function too.
      assert ask([http: function, allowed_hosts: ["other"]], "GET+any.where+/") =~
               "HttpRequestDenied"

      for {answer, text} <- [
            {fn _ -> {:error, :timeout} end, "Timeout"},
            {fn _ -> {:error, :dns} end, "DestinationNotFound"},
            {fn _ -> :nonsense end, "InternalError"},
            {fn _ -> {:error, %{db_password: "because"}} end, "the request failed"},
            {fn _ -> {:ok, %{status: 200, body: nil}} end, "InternalError"},
            {fn _ -> {:ok, %{status: 200, headers: :none}} end, "InternalError"},
            {fn _ -> {:ok, %{status: 200, headers: [{:x, :y}], body: "odd"}} end, "odd"}
          ] do
        capture_log(fn ->
          got = ask([http: answer], "GET+x+/")
          assert got =~ text
          refute got =~ "because"
        end)
      end

      log =
        capture_log(fn ->
          assert ask([http: fn _ -> raise "oops" end], "GET+x+/") =~ ~r/Internal|Terminated/
        end)

      assert log =~ "oops"
    end
  end
end
