defmodule Wasmex.Program.Stdin do
  @moduledoc false
  # The source of a program's input. An Enumerable is consumed in the process that runs the program, one element each time
  # the guest reads. A separate process reads devices, because reading may block forever.

  alias Wasmex.{Error, Native, Pipe}
  alias Wasmex.Program.Feeder

  @capacity 256 * 1024

  # `pipe` is the stream for WASI: a pipe, or :null. `next` is the rest of the input: nil at the end, a binary, an
  # Enumerable, or its continuation. `rest` did not fit into the pipe.
  defstruct pipe: :null,
            next: nil,
            rest: "",
            batch?: false,
            feeder: nil,
            device: nil,
            failure: nil

  @type t :: %__MODULE__{}

  @doc "Opens an input that `Wasmex.Options.Type.Input` has validated."
  @spec open(term()) :: t()
  def open(nil), do: %__MODULE__{}
  def open(:null), do: %__MODULE__{}
  def open(%Pipe{} = pipe), do: %__MODULE__{pipe: pipe}
  def open(:inherit), do: open(Process.group_leader())
  def open(binary) when is_binary(binary), do: bytes(binary)

  def open(device) when is_pid(device) or is_atom(device) do
    pipe = new_pipe()
    %__MODULE__{pipe: pipe, device: device, feeder: Feeder.start(device, pipe)}
  end

  def open(list) when is_list(list) do
    list |> IO.iodata_to_binary() |> bytes()
  rescue
    # A list of something else. Its elements are validated later.
    ArgumentError -> enumerable(list, true)
  end

  def open(enumerable), do: enumerable(enumerable, is_struct(enumerable, File.Stream))

  defp bytes(""), do: %__MODULE__{}
  defp bytes(binary), do: %__MODULE__{pipe: new_pipe(), next: binary}

  # Elements that are available without waiting are batched.
  defp enumerable(enumerable, batch?),
    do: %__MODULE__{pipe: new_pipe(), next: {:begin, enumerable}, batch?: batch?}

  defp new_pipe do
    {:ok, pipe} = Pipe.new(mode: :stream, capacity: @capacity)
    pipe
  end

  @doc """
  Supplies input if the guest waits for it. Returns `{:ok, stdin}`, `{:error, error, stdin}`, or `{:raised, {kind, reason,
  stacktrace}, stdin}` if the Enumerable raised.
  """
  @spec feed(t()) :: {:ok, t()} | {:error, Error.t(), t()} | {:raised, tuple(), t()}
  def feed(%__MODULE__{next: nil, rest: ""} = stdin), do: {:ok, stdin}

  def feed(%__MODULE__{pipe: pipe} = stdin) do
    if Native.pipe_wanted(pipe.resource), do: supply(stdin), else: {:ok, stdin}
  end

  @doc """
  Returns an error if the device has failed. Must be called before the guest continues: the pipe is closed, so the guest
  would mistake the failure for the end of its input.
  """
  @spec check(t()) :: :ok | {:error, Error.t()}
  def check(%__MODULE__{feeder: nil}), do: :ok

  def check(%__MODULE__{feeder: feeder, device: device} = stdin) do
    case stdin.failure || Feeder.failure(feeder) do
      nil ->
        :ok

      reason ->
        message = "stdin: the IO device #{inspect(device)} failed: #{inspect(reason)}"
        {:error, %Error{reason: :input, details: %{message: message}}}
    end
  end

  @doc "Records a message of the feeder, for processes that handle their mailbox themselves."
  @spec failed(t(), pid(), term()) :: t()
  def failed(%__MODULE__{feeder: feeder} = stdin, feeder, reason), do: %{stdin | failure: reason}
  def failed(stdin, _other, _reason), do: stdin

  defp supply(%{rest: <<_, _::binary>> = rest} = stdin), do: put(%{stdin | rest: ""}, rest)

  defp supply(%{next: nil, pipe: pipe} = stdin) do
    Pipe.close(pipe)
    {:ok, stdin}
  end

  defp supply(%{next: binary} = stdin) when is_binary(binary),
    do: put(%{stdin | next: nil}, binary)

  defp supply(stdin) do
    case pull(stdin, [], 0) do
      {:ok, "", stdin} -> supply(%{stdin | next: nil})
      {:ok, bytes, stdin} -> put(stdin, bytes)
      failure -> failure
    end
  end

  defp put(%{pipe: pipe} = stdin, bytes) do
    case Native.pipe_write(pipe.resource, chunk(bytes)) do
      {:ok, count} ->
        rest = binary_part(bytes, count, byte_size(bytes) - count)
        if rest == "" and stdin.next == nil, do: Pipe.close(pipe)
        {:ok, %{stdin | rest: rest}}

      _closed ->
        {:ok, %{stdin | rest: "", next: nil}}
    end
  end

  # Pass at most the capacity, because the NIF copies the binary.
  defp chunk(bytes) when byte_size(bytes) > @capacity, do: binary_part(bytes, 0, @capacity)
  defp chunk(bytes), do: bytes

  defp pull(%{next: {:begin, enumerable}} = stdin, gathered, size) do
    each = fn element, _ -> {:suspend, {:element, element}} end
    pull(%{stdin | next: &Enumerable.reduce(enumerable, &1, each)}, gathered, size)
  end

  # Skip empty elements, because an empty write would look like the end.
  defp pull(%{next: next} = stdin, gathered, size) do
    case next.({:cont, nil}) do
      {:suspended, {:element, element}, next} ->
        took(%{stdin | next: next}, element, gathered, size)

      # Some streams (`Stream.take/2`) are done with their last element.
      {_done_or_halted, {:element, element}} ->
        took(%{stdin | next: nil}, element, gathered, size)

      {_done_or_halted, _} ->
        {:ok, IO.iodata_to_binary(gathered), %{stdin | next: nil}}
    end
  catch
    kind, reason -> {:raised, {kind, reason, __STACKTRACE__}, %{stdin | next: nil}}
  end

  defp took(stdin, {:error, %Error{} = error}, _gathered, _size), do: {:error, error, stdin}

  defp took(stdin, element, gathered, size) do
    case to_binary(element) do
      {:ok, bytes} ->
        {gathered, size} = {[gathered, bytes], size + byte_size(bytes)}

        if stdin.next != nil and (size == 0 or (stdin.batch? and size < @capacity)),
          do: pull(stdin, gathered, size),
          else: {:ok, IO.iodata_to_binary(gathered), stdin}

      :error ->
        {:error, no_iodata(element), stdin}
    end
  end

  defp to_binary(bytes) when is_binary(bytes), do: {:ok, bytes}

  defp to_binary(element) do
    {:ok, IO.iodata_to_binary(element)}
  rescue
    ArgumentError -> :error
  end

  defp no_iodata(element) do
    message =
      "stdin: the Enumerable returned an element that is not iodata: #{inspect(element, limit: 5)}"

    %Error{reason: :input, details: %{message: message}}
  end

  @doc "Releases the input after the program has ended."
  @spec close(t()) :: t()
  def close(%__MODULE__{next: next, feeder: feeder} = stdin) do
    if is_function(next), do: halt(next)
    if feeder, do: Feeder.stop(feeder)
    %{stdin | next: nil, feeder: nil}
  end

  defp halt(next) do
    next.({:halt, nil})
  catch
    # Ignore errors, so that they do not replace the result of the program.
    _kind, _reason -> :ok
  end
end
