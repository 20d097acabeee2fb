defmodule Wasmex.Call.Request do
  @moduledoc false
  # Performs a component's HTTP request with a function of the user, in the process that drives the guest's call.

  require Logger

  alias Wasmex.Native

  @known [:denied, :timeout, :refused, :dns, :too_large]

  @doc "Calls the function in this process and passes its result to the exchange."
  @spec perform(reference(), (map() -> term()), tuple()) :: boolean()
  def perform(exchange, function, {method, url, headers, body}) do
    %{method: method, url: url, headers: headers, body: body}
    |> function.()
    |> respond(exchange)
  catch
    kind, reason ->
      Logger.error(
        "the function in the option http: failed: " <>
          describe(kind, reason, __STACKTRACE__)
      )

      fail(exchange, :failed)
  end

  defp respond({:ok, %{status: status} = response}, exchange) when status in 100..999 do
    headers = for {name, value} <- Map.get(response, :headers, []), do: {text(name), text(value)}
    body = response |> Map.get(:body, "") |> IO.iodata_to_binary()
    Native.http_respond(exchange, status, headers, body)
  end

  defp respond({:error, reason}, exchange) when reason in @known, do: fail(exchange, reason)
  defp respond({:error, _of_the_host}, exchange), do: fail(exchange, :failed)

  defp respond(_other, exchange) do
    Logger.error(
      "the function in the option http: returned neither " <>
        "{:ok, %{status: 100..999}} nor {:error, reason}"
    )

    fail(exchange, :failed)
  end

  defp fail(exchange, reason), do: Native.http_fail(exchange, reason)

  defp text(text), do: to_string(text)

  # Leaves out the arguments of functions and the terms in messages of built-in exceptions: they may contain the request.
  defp describe(kind, reason, stacktrace) do
    shown =
      for {module, name, arity, location} <- stacktrace,
          do: {module, name, if(is_list(arity), do: length(arity), else: arity), location}

    error_name(kind, Exception.normalize(kind, reason, stacktrace)) <>
      "\n" <> Exception.format_stacktrace(shown)
  end

  defp error_name(:error, %RuntimeError{message: message}), do: "** (RuntimeError) #{message}"
  defp error_name(:error, %module{}), do: "** (#{inspect(module)})"
  defp error_name(kind, _reason), do: "** (#{kind})"
end
