defmodule Mix.OptionalModulesTest do
  # A project that compiled Plug or Bandit before this library gets no warnings about them.
  use ExUnit.Case, async: true

  @excluded Mix.Project.config()[:xref][:exclude] ||
              Mix.Project.config()[:elixirc_options][:no_warn_undefined]
  # Part of every installation, and applications of ours.
  @ours [:json, ExUnit.Callbacks, ExUnit.AssertionError]

  test "modules that may be undefined are excluded from the check of applications" do
    for path <- Path.wildcard("lib/**/*.ex"),
        [_, modules] <- Regex.scan(~r/@compile \{:no_warn_undefined, (.*)\}/, File.read!(path)) do
      {modules, _} = Code.eval_string(modules)
      assert List.wrap(modules) -- (@excluded ++ @ours) == [], path
    end
  end
end
