defmodule Wasmex.Framing do
  @moduledoc """
  Requests that two servers could take for different ones: the public kinds of request smuggling, and the rules of RFC 9112
  and 9110 that they break.

  A case is `{name, bytes, outcomes}`. The folder that is asked has one function `f`, which answers `/f/echo` with the body
  of the request and `/f/hello` with a greeting. Outcomes are what the server answers, in order: `:hello`, a body, or a
  status; `:closed` at the end where it closes the connection then. What stands where a smuggled request would is
  `GET /f/hello?smuggled`.
  """

  @host "Host: x\r\n"
  @post "POST /f/echo HTTP/1.1\r\n" <> @host
  @get "GET /f/hello HTTP/1.1\r\n" <> @host
  @smuggled "GET /f/hello?smuggled HTTP/1.1\r\n" <> @host <> "\r\n"
  @chunked "Transfer-Encoding: chunked\r\n"

  @hello "hello from a component"

  @doc "The greeting."
  def hello, do: @hello

  @doc "All cases."
  def cases,
    do:
      lengths() ++
        codings() ++ chunks() ++ trailers() ++ lines() ++ fields() ++ targets() ++ connections()

  @doc "The answers in what a server sent: `[{status, body}]`; the last may be cut short."
  def answers(bytes, found \\ [])
  def answers("", found), do: Enum.reverse(found)

  def answers("HTTP/1.1 " <> <<status::binary-3, _::binary>> = bytes, found) do
    status = String.to_integer(status)

    case String.split(bytes, "\r\n\r\n", parts: 2) do
      [head, rest] when status >= 200 ->
        {body, rest} = if status == 204, do: {"", rest}, else: body(String.downcase(head), rest)
        answers(rest, [{status, body} | found])

      [_continue, rest] ->
        answers(rest, found)

      [cut] ->
        Enum.reverse([{status, cut} | found])
    end
  end

  def answers(garbage, found), do: Enum.reverse([{:garbage, garbage} | found])

  defp body(head, rest) do
    case Regex.run(~r/\r\ncontent-length: (\d+)/, head) do
      [_, length] -> split(rest, String.to_integer(length))
      nil -> if head =~ "transfer-encoding: chunked", do: join(rest, ""), else: {rest, ""}
    end
  end

  defp join(chunks, body) do
    with [size, rest] <- String.split(chunks, "\r\n", parts: 2),
         {size, ""} <- Integer.parse(size, 16) do
      case {split(rest, size), size} do
        {{"", "\r\n" <> rest}, 0} -> {body, rest}
        {{chunk, "\r\n" <> rest}, _} -> join(rest, body <> chunk)
        {{chunk, _cut}, _} -> {body <> chunk, ""}
      end
    else
      _ -> {body, ""}
    end
  end

  defp split(bytes, size), do: :erlang.split_binary(bytes, min(size, byte_size(bytes)))

  # A body that is of this length to whoever goes by it, and a request to whoever does not.
  defp post(fields, body \\ @smuggled), do: @post <> fields <> "\r\n" <> body
  defp get(fields), do: @get <> fields <> "\r\n"
  defp whole, do: byte_size(@smuggled)

  defp lengths do
    refused =
      for value <- [
            "",
            "+3",
            "-3",
            "-0",
            "3,3",
            "3, 3",
            "3 3",
            "0x3",
            "3.0",
            "3e0",
            "3;q=1",
            "3abc",
            "\"3\"",
            "٣",
            "99999999999999999999",
            "18446744073709551619",
            "4294967299999999"
          ],
          do:
            {"Content-Length: #{value}", post("Content-Length: #{value}\r\n", "abc" <> @smuggled),
             [400, :closed]}

    refused ++
      [
        {"a length", post("Content-Length: 3\r\n", "abc"), ["abc"]},
        {"a length of nothing", post("Content-Length: 0\r\n", ""), [""]},
        {"a length with zeros before it", post("Content-Length: 003\r\n", "abc"), ["abc"]},
        {"white space around a length", post("Content-Length: \t 3 \t\r\n", "abc"), ["abc"]},
        {"no space before a length", post("Content-Length:3\r\n", "abc"), ["abc"]},
        {"no length", post("", ""), [""]},
        {"a body that looks like a request", post("Content-Length: #{whole()}\r\n"), [@smuggled]},
        {"the same length twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
         ["abc"]},
        {"two lengths, the second shorter",
         post("Content-Length: #{whole()}\r\nContent-Length: 0\r\n"), [400, :closed]},
        {"two lengths, the first shorter",
         post("Content-Length: 0\r\nContent-Length: #{whole()}\r\n"), [400, :closed]},
        {"equal lengths, written differently",
         post("Content-Length: 3\r\nContent-Length: 03\r\n", "abc"), [400, :closed]},
        {"space before the colon of a length", post("Content-Length : #{whole()}\r\n"),
         [400, :closed]},
        {"a tab before the colon of a length", post("Content-Length\t: #{whole()}\r\n"),
         [400, :closed]},
        {"a length with an underscore is none", post("Content_Length: #{whole()}\r\n"),
         ["", :hello]},
        {"a length of a GET", get("Content-Length: 3\r\n") <> "abc", [:hello, :closed]},
        {"Connection does not take a length away",
         post("Connection: Content-Length\r\nContent-Length: #{whole()}\r\n"), [@smuggled]}
      ]
  end

  defp codings do
    refused =
      for {status, value} <- [
            {400, "xchunked"},
            {400, "chunkedx"},
            {400, "\"chunked\""},
            {400, "'chunked'"},
            {400, "chunked;q=1"},
            {400, "chunked;"},
            {400, "chunked x"},
            {400, "chunked,"},
            {400, "chunked, identity"},
            {400, "chunked, chunked"},
            {400, "chunked, gzip"},
            {400, "\vchunked"},
            {400, "\fchunked"},
            {400, "chunked\v"},
            {400, "\0chunked"},
            {400, "chun\0ked"},
            {400, "chunked\x7f"},
            {400, "\u00a0chunked"},
            {501, ""},
            {501, ", chunked"},
            {501, "identity"},
            {501, "identity, chunked"},
            {501, "gzip, chunked"},
            {501, "gzip"},
            # The sign for kelvin is a small k to who takes Unicode's word for it.
            {501, "chun\u212Aed"},
            {501, "chunkéd"}
          ],
          do:
            {"Transfer-Encoding: #{inspect(value)}",
             post("Transfer-Encoding: #{value}\r\n", "0\r\n\r\n" <> @smuggled), [status, :closed]}

    both = fn fields -> post(fields, "0\r\n\r\n" <> @smuggled) end

    refused ++
      [
        {"chunks", post(@chunked, "3\r\nabc\r\n0\r\n\r\n"), ["abc"]},
        {"chunks in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
         ["abc"]},
        {"white space around chunked",
         post("Transfer-Encoding:\t chunked\t \r\n", "3\r\nabc\r\n0\r\n\r\n"), ["abc"]},
        {"CL.TE", both.("Content-Length: #{whole() + 5}\r\n" <> @chunked), [400, :closed]},
        {"TE.CL", both.(@chunked <> "Content-Length: #{whole() + 5}\r\n"), [400, :closed]},
        {"CL.0 and chunked", both.("Content-Length: 0\r\n" <> @chunked), [400, :closed]},
        {"a coding that is none and a length",
         both.("Transfer-Encoding: x\r\nContent-Length: 5\r\n"), [400, :closed]},
        {"TE.TE", both.(@chunked <> "Transfer-Encoding: x\r\n"), [400, :closed]},
        {"TE.TE, the other first", both.("Transfer-Encoding: identity\r\n" <> @chunked),
         [400, :closed]},
        {"chunked twice", both.(@chunked <> @chunked), [400, :closed]},
        {"space before the colon", both.("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n"),
         [400, :closed]},
        {"a NUL before the colon", both.("Transfer-Encoding\0: chunked\r\nContent-Length: 5\r\n"),
         [400, :closed]},
        {"a NUL before the name", both.("\0Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
         [400, :closed]},
        {"a tab in the name", both.("Transfer\tEncoding: chunked\r\nContent-Length: 5\r\n"),
         [400, :closed]},
        {"a space before the name", both.(" Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
         [400, :closed]},
        {"a coding on a folded line",
         both.("Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n"), [400, :closed]},
        {"a coding after a bare LF",
         both.("X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"), [400, :closed]},
        {"a coding after a bare CR",
         both.("X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"), [400, :closed]},
        {"a coding after a NUL",
         both.("X: y\0Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), [400, :closed]},
        {"a coding with an underscore is none",
         post("Transfer_Encoding: chunked\r\nContent-Length: #{whole()}\r\n"), [@smuggled]},
        {"a coding in HTTP/1.0",
         "POST /f/echo HTTP/1.0\r\nConnection: keep-alive\r\n" <>
           @chunked <> "\r\n0\r\n\r\n" <> @smuggled, [400, :closed]},
        {"both in HTTP/1.0",
         "POST /f/echo HTTP/1.0\r\nContent-Length: 5\r\n" <>
           @chunked <> "\r\n0\r\n\r\n" <> @smuggled, [400, :closed]},
        {"Connection does not take a coding away",
         post("Connection: Transfer-Encoding\r\n" <> @chunked, "3\r\nabc\r\n0\r\n\r\n"), ["abc"]}
      ]
  end

  defp chunks do
    refused =
      for body <- [
            "+3\r\nabc\r\n",
            "-0\r\n\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "\t3\r\nabc\r\n",
            "3\t\r\nabc\r\n",
            "0x3\r\nabc\r\n",
            "3h\r\nabc\r\n",
            "3_0\r\nabc\r\n",
            "3,0\r\nabc\r\n",
            "3.\r\nabc\r\n",
            "\r\nabc\r\n",
            ";\r\nabc\r\n",
            "g\r\nabc\r\n",
            "٣\r\nabc\r\n",
            # Sizes that are 3 to who counts in 32, 64 or 128 bits.
            "10000000000000003\r\nabc\r\n",
            "100000000000000000000000000000003\r\nabc\r\n",
            "0000000000000000000003\r\nabc\r\n",
            "FFFFFFFFFFFFFFFF\r\nabc\r\n",
            "8000000000000003\r\nabc\r\n",
            "3\nabc\r\n",
            "3\rabc\r\n",
            "3\r\r\nabc\r\n",
            "3\0\r\nabc\r\n",
            "3;\r\nabc\r\n",
            "3;x\nabc\r\n",
            "3;x\rabc\r\n",
            "3;x\0\r\nabc\r\n",
            "3;x=\r\nabc\r\n",
            "3;x=\"a\r\nabc\r\n",
            "3;x=\"a\nb\"\r\nabc\r\n",
            "3;x y\r\nabc\r\n",
            "3x\r\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nab\r\n",
            "3\r\nabc",
            "3\r\nabc\n",
            "3\r\nabc\r",
            "3\r\nabc\r\r\n",
            "3\r\nabc\r\n\r\n",
            "3\r\nabc3\r\nabc\r\n"
          ],
          do:
            {"chunk #{inspect(body)}", post(@chunked, body <> "0\r\n\r\n" <> @smuggled),
             [400, :closed]}

    refused ++
      [
        {"many chunks", post(@chunked, "1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
         ["abc0123456789"]},
        {"zeros before a size", post(@chunked, "0003\r\nabc\r\n000\r\n\r\n"), ["abc"]},
        {"extensions", post(@chunked, "3;x;y=z;v=\"a;b\"\r\nabc\r\n0;last\r\n\r\n"), ["abc"]},
        {"an extension with a request in quotes",
         post(@chunked, "3;x=\"#{String.replace(@smuggled, "\r\n", " ")}\"\r\nabc\r\n0\r\n\r\n"),
         ["abc"]},
        {"a chunk that looks like a request",
         post(@chunked, Integer.to_string(whole(), 16) <> "\r\n" <> @smuggled <> "\r\n0\r\n\r\n"),
         [@smuggled]},
        {"a long extension",
         post(@chunked, "3;#{String.duplicate("x", 5_000)}\r\nabc\r\n0\r\n\r\n" <> @smuggled),
         [400, :closed]},
        {"chunks of a GET that nobody reads", get(@chunked) <> "3\r\nabc\r\n0\r\n\r\n",
         [:hello, :closed]}
      ]
  end

  defp trailers do
    refused =
      for trailer <- [
            "GET /f/hello HTTP/1.1\r\n",
            " folded: x\r\n",
            "x: a\r\n folded\r\n",
            "x: a\nGET /f/hello: HTTP/1.1\r\n",
            "x: a\rb\r\n",
            "no colon\r\n",
            ": no name\r\n",
            "x : y\r\n",
            "x: a\0b\r\n"
          ],
          do:
            {"trailer #{inspect(trailer)}",
             post(@chunked, "0\r\n" <> trailer <> "\r\n" <> @smuggled), [400, :closed]}

    refused ++
      [
        {"trailers", post(@chunked, "3\r\nabc\r\n0\r\nX: y\r\nZ: \r\n\r\n"), ["abc"]},
        {"a length among trailers is none",
         post(@chunked, "0\r\nContent-Length: #{whole()}\r\n\r\n" <> @smuggled), ["", :hello]},
        {"a coding among trailers is none",
         post(@chunked, "0\r\n" <> @chunked <> "\r\n" <> @smuggled), ["", :hello]},
        {"a LF for the end of trailers", post(@chunked, "0\r\n\n" <> @smuggled), [400, :closed]},
        {"a LF for the end of the last chunk", post(@chunked, "0\n\r\n" <> @smuggled),
         [400, :closed]}
      ]
  end

  defp lines do
    for {status, name, bytes} <- [
          {400, "no version", "GET /f/hello\r\n\r\n"},
          {400, "HTTP/0.9 with fields", "GET /f/hello\r\n" <> @host <> "\r\n"},
          {400, "two spaces", "GET  /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "two spaces before the version", "GET /f/hello  HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "tabs", "GET\t/f/hello\tHTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "a space before the method", " GET /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "a space after the version", "GET /f/hello HTTP/1.1 \r\n" <> @host <> "\r\n"},
          {400, "a version in small letters", "GET /f/hello http/1.1\r\n" <> @host <> "\r\n"},
          {400, "a version of two digits", "GET /f/hello HTTP/1.10\r\n" <> @host <> "\r\n"},
          {400, "a version with a zero before it",
           "GET /f/hello HTTP/01.1\r\n" <> @host <> "\r\n"},
          {400, "a version with a sign", "GET /f/hello HTTP/+1.1\r\n" <> @host <> "\r\n"},
          {400, "a version of another protocol", "GET /f/hello HTTQ/1.1\r\n" <> @host <> "\r\n"},
          {505, "HTTP/2.0", "GET /f/hello HTTP/2.0\r\n" <> @host <> "\r\n"},
          {505, "HTTP/0.9 by name", "GET /f/hello HTTP/0.9\r\n" <> @host <> "\r\n"},
          {505, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
          {501, "a method in small letters", "get /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {501, "a method that is none of ours", "BREW /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "a method that is no token", "GE(T /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "a method with a NUL", "G\0ET /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"},
          {400, "a bare LF after the request line", "GET /f/hello HTTP/1.1\n" <> @host <> "\r\n"},
          {400, "a bare CR after the request line", "GET /f/hello HTTP/1.1\r" <> @host <> "\r\n"},
          {400, "CR CR LF", "GET /f/hello HTTP/1.1\r\r\n" <> @host <> "\r\n"},
          {400, "a LF before the request", "\n" <> @get <> "\r\n"},
          {400, "a bare CR before the request", "\r" <> @get <> "\r\n"},
          {400, "all lines with bare LF", "GET /f/hello HTTP/1.1\nHost: x\n\n"},
          {400, "a LF for the end of the head", @get <> "\n"},
          {400, "a request line in a field",
           "GET /f/hello HTTP/1.1\r\nGET /f/hello HTTP/1.1\r\n" <> @host <> "\r\n"}
        ],
        do: {name, bytes <> @smuggled, [status, :closed]}
  end

  defp fields do
    refused =
      for {status, name, field} <- [
            {400, "a folded value", "X: a\r\n b\r\n"},
            {400, "a value folded with a tab", "X: a\r\n\tb\r\n"},
            {400, "a folded line first", " X: a\r\n"},
            {400, "an empty folded line", "X: a\r\n \r\n"},
            {400, "no name", ": x\r\n"},
            {400, "no name but a space", " : x\r\n"},
            {400, "no colon", "nothing\r\n"},
            {400, "a space in a name", "X Y: z\r\n"},
            {400, "a space before the colon", "X : y\r\n"},
            {400, "a NUL in a name", "X\0Y: z\r\n"},
            {400, "a NUL in a value", "X: y\0z\r\n"},
            {400, "a bare CR in a value", "X: y\rz\r\n"},
            {400, "a bare LF in a value", "X: y\nz\r\n"},
            {400, "a DEL in a value", "X: y\x7f\r\n"},
            {400, "an ESC in a value", "X: \e[2J\r\n"},
            {400, "a bracket in a name", "X(Y): z\r\n"},
            {400, "a quote in a name", "X\"Y\": z\r\n"},
            {400, "letters beyond ASCII in a name", "Ü: z\r\n"},
            {400, "a second host", "Host: y\r\n"},
            {400, "the same host again", "Host: x\r\n"},
            {431, "too many fields", String.duplicate("X: y\r\n", 300)},
            {431, "a field that is too long", "X: #{String.duplicate("y", 70_000)}\r\n"}
          ],
          do: {name, get(field) <> @smuggled, [status, :closed]}

    refused ++
      [
        {"no host", "GET /f/hello HTTP/1.1\r\n\r\n" <> @smuggled, [400, :closed]},
        {"an empty host", "GET /f/hello HTTP/1.1\r\nHost:\r\n\r\n", [:hello]},
        {"a host with a percent sign that encodes nothing",
         "GET /f/hello HTTP/1.1\r\nHost: a%zz\r\n\r\n" <> @smuggled, [400, :closed]},
        {"an address in brackets that is none",
         "GET /f/hello HTTP/1.1\r\nHost: [:::::::::]\r\n\r\n" <> @smuggled, [400, :closed]},
        {"a host with a space", "GET /f/hello HTTP/1.1\r\nHost: a b\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"a host with a path", "GET /f/hello HTTP/1.1\r\nHost: a/b\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"a host with a user", "GET /f/hello HTTP/1.1\r\nHost: u@a\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"two hosts in one field", "GET /f/hello HTTP/1.1\r\nHost: a:1,b:2\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"a host on a folded line", "GET /f/hello HTTP/1.1\r\nHost:\r\n x\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"a space before the first field",
         "GET /f/hello HTTP/1.1\r\n Host: x\r\n\r\n" <> @smuggled, [400, :closed]},
        {"bytes beyond ASCII in a value", get(<<"X: ", 0xFF, 0x80, "\r\n">>), [:hello]},
        {"an empty value", get("X:\r\nY: \r\n"), [:hello]},
        {"a name with an underscore", get("X_Y: z\r\n"), [:hello]}
      ]
  end

  defp targets do
    asked = fn target -> "GET #{target} HTTP/1.1\r\n" <> @host <> "\r\n" end

    refused =
      for target <- [
            "f/hello",
            "*",
            "*/f/hello",
            "x:80",
            "http://",
            "http:///f/hello",
            "http://u@x/f/hello",
            "ftp://x/f/hello",
            "/f/hello#fragment",
            "/f/hello\x01",
            "/f/hello\0",
            "/f/hello\x7f",
            "/f/../../hello",
            "/f/%2e%2e/hello",
            "/f/hello/%00",
            "/f\\hello"
          ],
          do: {"target #{inspect(target)}", asked.(target), [400]}

    # What is wrong with the form ends the connection, what is wrong with a name does not.
    named = ["/f/../../hello", "/f/%2e%2e/hello", "/f/hello/%00", "/f\\hello"]

    refused =
      for {name, bytes, [400]} <- refused do
        if Enum.any?(named, &(name == "target #{inspect(&1)}")),
          do: {name, bytes, [400]},
          else: {name, bytes <> @smuggled, [400, :closed]}
      end

    refused ++
      [
        {"an absolute target", asked.("http://x/f/hello"), [:hello]},
        {"an absolute target and another host", asked.("http://y/f/hello"), [:hello]},
        {"a target that is too long",
         asked.("/f/hello?" <> String.duplicate("a", 20_000)) <> @smuggled, [414, :closed]},
        {"CONNECT", "CONNECT x:80 HTTP/1.1\r\n" <> @host <> "\r\n" <> @smuggled, [400, :closed]},
        {"the server itself", "OPTIONS * HTTP/1.1\r\n" <> @host <> "\r\n", [204]},
        {"the server itself, with a body",
         "OPTIONS * HTTP/1.1\r\n" <>
           @host <> "Content-Length: #{whole()}\r\n\r\n" <> @smuggled, [204, :closed]},
        {"a later minor version", "GET /f/hello HTTP/1.2\r\n" <> @host <> "\r\n", [:hello]},
        {"a later minor version without a host", "GET /f/hello HTTP/1.2\r\n\r\n" <> @smuggled,
         [400, :closed]},
        {"a later minor version with chunks",
         "POST /f/echo HTTP/1.2\r\n" <> @host <> @chunked <> "\r\n3\r\nabc\r\n0\r\n\r\n",
         ["abc"]},
        {"a request in a target", asked.("/f/hello%20HTTP/1.1%0d%0aX:%20y"), [404]}
      ]
  end

  defp connections do
    [
      {"two requests at once", get("") <> post("Content-Length: 3\r\n", "abc"), [:hello, "abc"]},
      {"empty lines between requests", get("") <> "\r\n\r\n" <> get(""), [:hello, :hello]},
      {"a LF between requests", get("") <> "\n" <> @smuggled, [:hello, 400, :closed]},
      {"what comes after close", get("Connection: close\r\n") <> @smuggled, [:hello, :closed]},
      {"what comes after close among others", get("Connection: x, CLOSE ,y\r\n") <> @smuggled,
       [:hello, :closed]},
      {"what comes after HTTP/1.0", "GET /f/hello HTTP/1.0\r\n\r\n" <> @smuggled,
       [:hello, :closed]},
      {"HTTP/1.0 that is kept",
       "GET /f/hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" <> get(""), [:hello, :hello]},
      {"a good request after a bad one", "nonsense\r\n\r\n" <> @smuggled, [400, :closed]},
      {"a bad request after a good one", get("") <> "nonsense\r\n\r\n" <> @smuggled,
       [:hello, 400, :closed]},
      {"a body that nobody reads",
       "POST /f/none HTTP/1.1\r\n" <> @host <> "Content-Length: #{whole()}\r\n\r\n" <> @smuggled,
       [404, :closed]},
      {"a body of a function that is not there",
       "POST /g HTTP/1.1\r\n" <> @host <> "Content-Length: #{whole()}\r\n\r\n" <> @smuggled,
       [404, :closed]},
      {"a body that is not waited for",
       "POST /f/hello HTTP/1.1\r\n" <>
         @host <> "Expect: 100-continue\r\nContent-Length: #{whole()}\r\n\r\n" <> @smuggled,
       [:hello, :closed]},
      {"an expectation that there is not", get("Expect: 200-ok\r\n"), [:hello]},
      {"an upgrade that is not made",
       get(
         "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
       ) <> get(""), [:hello, :hello]},
      {"a body that is too long", post("Content-Length: 999999999\r\n", "abc" <> @smuggled),
       [413, :closed]}
    ]
  end
end
