defmodule Wasmex.Call.Request do
  @moduledoc false
  # A component's request that a function performs in the client's place, in the process that drives the guest's call.

  require Logger

  alias Wasmex.Native

  @known [:denied, :timeout, :refused, :dns, :too_large]

  @doc "Runs the function in this process and tells the exchange what came of it."
  @spec perform(reference(), (map() -> term()), tuple()) :: boolean()
  def perform(exchange, function, {method, url, headers, body}) do
    %{method: method, url: url, headers: headers, body: body}
    |> function.()
    |> answer(exchange)
  catch
    kind, reason ->
      Logger.error(
        "the function that performs HTTP requests of components failed: " <>
          describe(kind, reason, __STACKTRACE__)
      )

      fail(exchange, :failed)
  end

  defp answer({:ok, %{status: status} = response}, exchange) when status in 100..999 do
    headers = for {name, value} <- Map.get(response, :headers, []), do: {text(name), text(value)}
    body = response |> Map.get(:body, "") |> IO.iodata_to_binary()
    Native.http_respond(exchange, status, headers, body)
  end

  defp answer({:error, reason}, exchange) when reason in @known, do: fail(exchange, reason)
  defp answer({:error, _of_the_host}, exchange), do: fail(exchange, :failed)

  defp answer(_other, exchange) do
    Logger.error(
      "the function that performs HTTP requests of components returned neither " <>
        "{:ok, %{status: 100..999}} nor {:error, reason}"
    )

    fail(exchange, :failed)
  end

  defp fail(exchange, reason), do: Native.http_fail(exchange, reason)

  defp text(text), do: to_string(text)

  # Neither the arguments of functions nor the terms in messages of the VM's own exceptions: they are the request.
  defp describe(kind, reason, stacktrace) do
    shown =
      for {module, name, arity, location} <- stacktrace,
          do: {module, name, if(is_list(arity), do: length(arity), else: arity), location}

    what(kind, Exception.normalize(kind, reason, stacktrace)) <>
      "\n" <> Exception.format_stacktrace(shown)
  end

  defp what(:error, %RuntimeError{message: message}), do: "** (RuntimeError) #{message}"
  defp what(:error, %module{}), do: "** (#{inspect(module)})"
  defp what(kind, _reason), do: "** (#{kind})"
end
