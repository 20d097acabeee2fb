defmodule Wasmex.Browser do
  @moduledoc "Pages as a browser shows them, if there is one."

  @options ~w(--headless --no-sandbox --disable-gpu --virtual-time-budget=2000)

  @doc "The browser, or nil."
  def find,
    do: Enum.find_value(~w(chromium chromium-browser google-chrome), &System.find_executable/1)

  @doc "The document at the URL, after its scripts ran. The browser's own files are in the folder."
  def document(url, dir) do
    options = @options ++ ["--user-data-dir=#{dir}/profile", "--dump-dom", url]
    # It complains about buses that a bare machine does not have; and a sanitizer is not for it.
    quiet = ~S|exec timeout 60 "$0" "$@" 2>/dev/null|
    env = [{"HOME", dir}, {"LD_PRELOAD", nil}]
    {document, 0} = System.cmd("sh", ["-c", quiet, find() | options], env: env)
    document
  end
end
