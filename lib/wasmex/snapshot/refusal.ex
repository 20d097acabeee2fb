defmodule Wasmex.Snapshot.Refusal do
  @moduledoc false
  # The error when no snapshot can be taken.

  alias Wasmex.Error

  @spec error(String.t()) :: {:error, Error.t()}
  def error(message), do: {:error, %Error{reason: :snapshot, details: %{message: message}}}
end
