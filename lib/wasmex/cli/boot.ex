defmodule Wasmex.CLI.Boot do
  @moduledoc false
  # The boot script of the command `wasmex`: that of Erlang/OTP, which also loads the modules that a run needs. They are
  # loaded at once, on all cores. One by one, when they are first called, each would be searched for in all folders, and
  # all schedulers would stop to see its code. https://www.erlang.org/doc/man/script.html
  #
  # A script is for one version of Erlang/OTP, because it contains the specification of its application `kernel`.

  alias Wasmex.CLI.Main

  # The evaluator of `erl -eval`, which the script of Erlang/OTP loads too; it is loaded when it is called.
  @unused [:erl_eval, :erl_lint]

  # They read settings of applications, such as `-kernel shell_history enabled` in ERL_AFLAGS, when the VM can't load them yet.
  @parser [:erl_scan, :erl_anno]

  @doc "The script of the running Erlang/OTP with further modules, unless it has another form."
  @spec script([module()]) :: {:ok, binary()} | :error
  def script(modules) do
    path = Path.join([:code.root_dir(), "bin", "no_dot_erlang.boot"])

    with {:ok, bytes} <- File.read(path),
         {:script, name, commands} <- :erlang.binary_to_term(bytes),
         {before, [{:primLoad, first} | rest]} <- Enum.split_while(commands, &(not load?(&1))) do
      load = Enum.uniq(first ++ @parser ++ modules) -- @unused
      {:ok, :erlang.term_to_binary({:script, name, before ++ [{:primLoad, load} | rest]})}
    else
      _ -> :error
    end
  end

  # The first of these commands is executed as it stands, later ones only in the VM's mode `embedded`.
  defp load?(command), do: match?({:primLoad, _}, command)

  @doc "The folders of Erlang/OTP without which the script is not valid, relative to its root."
  @spec folders() :: [String.t()]
  def folders do
    erts = "erts-#{:erlang.system_info(:version)}"

    [
      erts
      | for(
          name <- [:kernel, :stdlib],
          do: "lib/" <> (name |> :code.lib_dir() |> Path.basename())
        )
    ]
  end

  @doc """
  Called by the VM: runs a command line (the arguments after the first), and writes the names of the modules that it loaded
  to the file that the first names.
  """
  @spec record() :: no_return()
  def record do
    [file | argv] = Enum.map(:init.get_plain_arguments(), &List.to_string/1)
    status = Main.status(argv)
    File.write!(file, :erlang.term_to_binary(Enum.filter(loaded(), &batch?/1)))
    System.halt(status)
  end

  defp loaded, do: for({module, file} <- :code.all_loaded(), file != :preloaded, do: module)

  # Modules that run code when they are loaded, such as those of NIFs, need a VM that has started. Others of Erlang/OTP are
  # not where the script looks for modules.
  defp batch?(module), do: known?(module) and match?({:ok, _}, :code.prepare_loading([module]))

  defp known?(module) do
    own = for name <- [:kernel, :stdlib], do: :code.lib_dir(name)
    {:ok, paths} = :init.get_argument(:pa)
    file = :code.which(module)
    is_list(file) and Enum.any?(own ++ Enum.concat(paths), &List.starts_with?(file, &1))
  end
end
