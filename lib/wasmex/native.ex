defmodule Wasmex.Native do
  @moduledoc false
  # The NIFs. Names correspond in all layers: `memory::grow` in Rust, `memory_grow/3` here, `Wasmex.Memory.grow/3` for
  # users. Validation and policy are in the modules that call these functions.
  #
  # `via` is `nil` for a store, and the serial of an import for a `caller`.

  # Not loaded at compile time, because the library is built after the modules.
  @compile {:autoload, false}
  @on_load :load

  # The library does not support upgrades: loading the module again fails and keeps the running code.
  def load, do: :erlang.load_nif(path(), 0)

  defp path do
    case System.get_env("WASMEX_NIF_PATH") do
      path when path in [nil, ""] -> :filename.join(:code.priv_dir(:wasmex), ~c"native/wasmex")
      path -> path |> Path.rootname() |> String.to_charlist()
    end
  end

  def live_objects, do: error()

  def engine_new(_config), do: error()
  def engine_default(_config), do: error()
  def engine_precompile(_engine, _kind, _bytes, _reference, _most), do: error()
  def engine_fingerprint(_engine), do: error()
  def engine_settings(_engine), do: error()
  def engine_build, do: error()
  def engine_cache(_engine), do: error()

  def wasm_inspect(_bytes), do: error()
  def stdio_finish, do: error()
  def wave_parse(_text, _type), do: error()
  def wave_parse_params(_text, _types), do: error()
  def wave_print(_value, _type), do: error()
  def wave_type(_type), do: error()
  def wit_world(_source, _world), do: error()
  def wat_to_wasm(_text), do: error()
  def limits_default, do: error()

  def module_compile(_engine, _bytes, _reference, _most), do: error()
  def module_serialize(_module), do: error()
  def module_deserialize(_engine, _bytes), do: error()
  def module_name(_module), do: error()
  def module_engine(_module), do: error()
  def module_exports(_module), do: error()
  def module_imports(_module), do: error()
  def module_code_size(_module), do: error()

  def store_new(_engine, _limits, _wasi, _extensions), do: error()
  def store_new_with_dirs(_engine, _limits, _wasi, _extensions), do: error()
  def store_engine(_store), do: error()
  def store_get_fuel(_store, _via), do: error()
  def store_set_fuel(_store, _fuel, _via), do: error()
  def store_memory_peak(_store, _via), do: error()
  def store_gc(_store, _via), do: error()
  def store_close(_store), do: error()
  def store_stop_waiting(_store), do: error()
  def store_driver(_store), do: error()
  def trace_take(_store, _ended?), do: error()
  def profile_start(_store, _name), do: error()
  def profile_finish(_store), do: error()
  def core_dump_take(_store), do: error()

  def call_poll(_store), do: error()
  def call_resume(_store, _serial, _results), do: error()
  def call_raise(_store, _serial), do: error()
  def call_cancel(_store), do: error()
  def import_context(_store, _serial), do: error()

  def instance_new(_store, _module, _declarations, _functions, _links, _via), do: error()
  def instance_from_template(_store, _template, _fuel, _via), do: error()
  def instance_call(_instance, _name, _params, _fuel, _via), do: error()
  def instance_call_bits(_instance, _name, _params, _fuel, _via), do: error()
  def instance_call_bytes(_instance, _name, _params, _settings, _fuel, _via), do: error()
  def instance_exports(_instance), do: error()
  def instance_store(_instance), do: error()
  def instance_export(_instance, _kind, _name, _via), do: error()
  def instance_export_type(_instance, _name), do: error()
  def instance_memory(_instance, _via), do: error()

  def template_new(_module, _declarations, _functions, _hosts, _store), do: error()
  def template_module(_template), do: error()

  def component_compile(_engine, _bytes, _names, _reference, _most), do: error()
  def component_serialize(_component), do: error()
  def component_deserialize(_engine, _bytes, _names), do: error()
  def component_deserialize_file(_engine, _path, _names), do: error()
  def component_named(_component, _names), do: error()
  def component_engine(_component), do: error()
  def component_code_size(_component), do: error()
  def component_instance_component(_instance), do: error()
  def component_describe(_component), do: error()
  def component_template_new(_component, _declarations, _functions, _format), do: error()
  def component_template_component(_template), do: error()
  def component_instantiate(_store, _template, _fuel, _via), do: error()
  def component_call(_instance, _path, _params, _format, _fuel, _via), do: error()
  def component_store_spent(_store), do: error()
  def component_handle_http(_instance, _head, _body, _response), do: error()
  def component_resource_drop(_handle, _via), do: error()
  def component_resource_store(_handle), do: error()
  def component_resource_origin(_handle), do: error()
  def component_resource_alive(_handle), do: error()

  def memory_new(_store, _minimum, _maximum, _memory64?, _via), do: error()
  def memory_size(_memory, _via), do: error()
  def memory_grow(_memory, _pages, _via), do: error()
  def memory_read(_memory, _offset, _length, _via), do: error()
  def memory_read_cstring(_memory, _offset, _limit, _via), do: error()
  def memory_write(_memory, _offset, _bytes, _via), do: error()
  def memory_store(_memory), do: error()

  def table_new(_store, _element, _limits, _via), do: error()
  def table_size(_table, _via), do: error()
  def table_get(_table, _index, _via), do: error()
  def table_set(_table, _index, _value, _via), do: error()
  def table_grow(_table, _delta, _value, _via), do: error()
  def table_type(_table, _via), do: error()
  def table_store(_table), do: error()

  def global_new(_store, _type, _value, _mutable?, _via), do: error()
  def global_get(_global, _via), do: error()
  def global_set(_global, _value, _via), do: error()
  def global_type(_global, _via), do: error()
  def global_store(_global), do: error()

  def func_call(_func, _params, _bits?, _fuel), do: error()
  def func_type(_func), do: error()
  def func_store(_func), do: error()

  def pipe_new(_mode, _capacity), do: error()
  def pipe_size(_pipe), do: error()
  def pipe_seek(_pipe, _position), do: error()
  def pipe_read(_pipe, _limit), do: error()
  def pipe_take(_pipe, _limit), do: error()
  def pipe_wanted(_pipe), do: error()
  def pipe_await_demand(_pipe), do: error()
  def pipe_write(_pipe, _bytes), do: error()
  def pipe_stop_waiting(_pipe), do: error()
  def pipe_close(_pipe), do: error()

  def http_respond(_exchange, _status, _headers, _body), do: error()
  def http_fail(_exchange, _reason), do: error()
  def http_allowed(_rules, _url), do: error()
  def address_allowed(_rules, _name, _address, _port), do: error()

  def interrupt_notify(_reference), do: error()

  def plugin_template_new(_engine, _modules, _declarations, _functions, _hosts), do: error()
  def plugin_template_functions(_template), do: error()
  def plugin_new(_store, _template, _settings), do: error()
  def plugin_start(_plugin, _fuel), do: error()
  def plugin_call(_plugin, _name, _input, _fuel), do: error()
  def plugin_replace(_plugin, _store, _fresh), do: error()
  def plugin_store(_plugin), do: error()
  def plugin_reset(_plugin), do: error()
  def plugin_block_read(_store, _offset, _via), do: error()
  def plugin_block_new(_store, _bytes, _via), do: error()
  def plugin_block_free(_store, _offset, _via), do: error()
  def plugin_set_error(_store, _text, _via), do: error()
  def plugin_vars(_store, _via), do: error()
  def plugin_put_var(_store, _key, _value, _via), do: error()
  def plugin_clear_vars(_store, _via), do: error()
  def plugin_config(_store, _via), do: error()
  def plugin_put_config(_store, _entries, _via), do: error()
  def plugin_http_allowed(_patterns, _url), do: error()
  def plugin_hold(_term), do: error()
  def plugin_held(_held), do: error()
  def plugin_hold_next(_held, _version, _term), do: error()

  def directory_owner(_path), do: error()

  def child_hold(_os_pid), do: error()
  def child_kill(_child), do: error()
  def child_gone(_child), do: error()

  defp error, do: :erlang.nif_error(:nif_not_loaded)
end
