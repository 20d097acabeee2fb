defmodule Wasmex.Wasi.WasiP2Options do
  @moduledoc """
  What the components of a store get of WASI 0.2.

  | field | default | meaning |
  |---|---|---|
  | `:args` | `[]` | the whole argv, the program's name first |
  | `:env` | `%{}` | environment variables; none of the VM's own |
  | `:inherit_stdin`, `:inherit_stdout`, `:inherit_stderr` | `true` | the VM's own streams, where the next three say nothing |
  | `:stdin`, `:stdout`, `:stderr` | `nil` | a `Wasmex.Pipe`, `:null`, `:inherit`; `nil`: as the line above says |
  | `:preopen` | `[]` | directories, see `Wasmex.Wasi.PreopenOptions` |
  | `:cwd` | `nil` | what the guest is told as its working directory |
  | `:clock`, `:seed`, `:max_output`, `:counted` | | as in `Wasmex.Wasi.WasiOptions` |
  | `:tcp` | `[]` | where it may connect to |
  | `:udp` | `[]` | where it may send to |
  | `:listen` | `[]` | addresses it may bind to and listen at |
  | `:lookup` | `[]` | names it may look up besides those in `:tcp` and `:udp` |
  | `:allow_http` | `false` | outgoing HTTP requests to any host |
  | `:allowed_hosts` | `nil` | outgoing HTTP requests to these hosts alone, also without `:allow_http` |
  | `:http` | `nil` | a function that performs them, see `Wasmex.Components.HTTP` |
  | `:http_timeout` | `30_000` | ms for such a request |
  | `:http_max_response` | `8_388_608` | bytes of a response's body |

  Addresses are `"10.0.0.5:5432"`, `"[::1]:80"`, `"db.internal:5432"`, `"*.internal:443"`; without a port any port,
  and `"*"` is any address. A name allows the addresses that the guest found by looking up that name.
  For HTTP, hosts are `"api.example.com"`, `"api.example.com:8443"`, `"*.example.com"`, `"*"`.

  The contract that this library keeps has components inherit the VM's streams; nothing else is granted.
  `nothing/0` grants not even those.

  ## Example

      iex> options = %Wasmex.Wasi.WasiP2Options{args: ["prog"], stdout: :null, tcp: ["127.0.0.1:5432"]}
      iex> {:ok, %Wasmex.Components.Store{}} = Wasmex.Components.Store.new_wasi(options)
  """

  alias Wasmex.Wasi.{PreopenOptions, WasiOptions}

  defstruct inherit_stdin: true,
            inherit_stdout: true,
            inherit_stderr: true,
            allow_http: false,
            args: [],
            env: %{},
            stdin: nil,
            stdout: nil,
            stderr: nil,
            preopen: [],
            cwd: nil,
            clock: :real,
            seed: nil,
            max_output: nil,
            counted: [:stdout, :stderr],
            tcp: [],
            udp: [],
            listen: [],
            lookup: [],
            allowed_hosts: nil,
            http: nil,
            http_timeout: 30_000,
            http_max_response: 8_388_608

  @type t :: %__MODULE__{
          inherit_stdin: boolean(),
          inherit_stdout: boolean(),
          inherit_stderr: boolean(),
          allow_http: boolean(),
          args: [String.t()],
          env: %{String.t() => String.t()},
          stdin: WasiOptions.stdio(),
          stdout: WasiOptions.stdio(),
          stderr: WasiOptions.stdio(),
          preopen: [PreopenOptions.t()],
          cwd: String.t() | nil,
          clock: :real | DateTime.t(),
          seed: non_neg_integer() | nil,
          max_output: non_neg_integer() | nil,
          counted: [:stdout | :stderr],
          tcp: [String.t()],
          udp: [String.t()],
          listen: [String.t()],
          lookup: [String.t()],
          allowed_hosts: [String.t()] | nil,
          http: (map() -> term()) | nil,
          http_timeout: pos_integer(),
          http_max_response: pos_integer()
        }

  defmodule Native do
    @moduledoc false
    defstruct [:cwd, :tcp, :udp, :listen, :lookup, :http]
  end

  @doc "Options that grant nothing at all."
  @spec nothing() :: t()
  def nothing,
    do: %__MODULE__{inherit_stdin: false, inherit_stdout: false, inherit_stderr: false}

  @doc false
  def to_native!(%__MODULE__{} = options) do
    native =
      WasiOptions.to_native!(%WasiOptions{
        args: options.args,
        env: options.env,
        stdin: stdio(options.stdin, options.inherit_stdin, :inherit_stdin),
        stdout: stdio(options.stdout, options.inherit_stdout, :inherit_stdout),
        stderr: stdio(options.stderr, options.inherit_stderr, :inherit_stderr),
        preopen: options.preopen,
        clock: options.clock,
        seed: options.seed,
        max_output: options.max_output,
        counted: options.counted
      })

    %{
      native
      | p2: %Native{
          cwd: cwd!(options.cwd),
          tcp: rules!(:tcp, options.tcp),
          udp: rules!(:udp, options.udp),
          listen: rules!(:listen, options.listen),
          lookup: rules!(:lookup, options.lookup),
          http: Wasmex.Components.HTTP.client(options)
        }
    }
  end

  defp stdio(nil, true, _field), do: :inherit
  defp stdio(nil, false, _field), do: nil
  defp stdio(nil, other, field), do: fail(field, "a boolean", other)
  defp stdio(stdio, _inherit, _field), do: stdio

  defp cwd!(nil), do: nil

  defp cwd!(cwd) do
    if is_binary(cwd) and Wasmex.Utils.text?(cwd),
      do: cwd,
      else: fail(:cwd, "a path without NUL", cwd)
  end

  @doc false
  # `{kind, text, port | nil}` of each address.
  def rules!(field, rules) when is_list(rules), do: Enum.map(rules, &rule!(field, &1))
  def rules!(field, other), do: fail(field, "a list of addresses", other)

  defp rule!(field, text) when is_binary(text) do
    {host, port} = split!(field, text)

    cond do
      host == "*" ->
        {:any, "", port}

      match?({:ok, _}, :inet.parse_strict_address(to_charlist(host))) ->
        {:ip, host, port}

      String.starts_with?(host, "*.") ->
        {:suffix, name!(field, String.slice(host, 1..-1//1)), port}

      true ->
        {:name, name!(field, host), port}
    end
  end

  defp rule!(field, other), do: fail(field, "addresses as strings", other)

  defp name!(field, name) do
    if name =~ ~r/\A\.?[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?\z/,
      do: name,
      else: fail(field, "addresses such as \"10.0.0.5:5432\" or \"*.internal:443\"", name)
  end

  defp split!(field, text) do
    case Regex.run(~r/\A(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::(\d{1,5}))?\z/, text) do
      [_, ip, host | port] ->
        {if(ip == "", do: host, else: ip), port!(field, text, port)}

      nil ->
        # An IPv6 address without a port may come without brackets.
        case :inet.parse_ipv6strict_address(to_charlist(text)) do
          {:ok, _} -> {text, nil}
          _ -> fail(field, "addresses such as \"10.0.0.5:5432\" or \"*.internal:443\"", text)
        end
    end
  end

  defp port!(_field, _text, []), do: nil

  defp port!(field, text, [port]) do
    case String.to_integer(port) do
      port when port in 0..65_535 -> port
      _ -> fail(field, "ports up to 65535", text)
    end
  end

  @doc false
  @spec fail(atom(), String.t(), term()) :: no_return()
  def fail(field, expected, got),
    do:
      raise(
        ArgumentError,
        "invalid value for #{inspect(field)} in %Wasmex.Wasi.WasiP2Options{}: expected #{expected}, got: #{inspect(got)}"
      )
end
