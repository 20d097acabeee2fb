defmodule Wasmex.Native do
  @moduledoc false
  # The NIFs. Names correspond in all layers: `memory::grow` in Rust, `memory_grow/3` here, `Wasmex.Memory.grow/3` for
  # users. Validation and policy are in the modules that call these functions.
  #
  # `via` is `nil` for a store, and the serial of an import for a `caller`.

  @typedoc "The kind of an error and its details, see `Wasmex.Error.from_native/2`."
  @type error :: {:error, {atom(), map()}}
  @type result(value) :: {:ok, value} | error()
  @typedoc "A short operation on a store, which may have to wait: see `Wasmex.Call.Access`."
  @type access(value) :: {:ok, value} | error() | {:busy, reference()}
  @typedoc "The result of a poll, see `Wasmex.Call`."
  @type step :: tuple() | :yield
  @type via :: non_neg_integer() | nil

  # Not loaded at compile time, because the library is built after the modules.
  @compile {:autoload, false}
  @on_load :load

  # A function that is still a stub after loading belongs to a feature that the library was built without.
  defmacrop error do
    {function, _arity} = __CALLER__.function
    quote do: :erlang.nif_error(Wasmex.Native.Features.left_out(unquote(function), features()))
  end

  # The library does not support upgrades: loading the module again fails and keeps the running code.
  @spec load() :: :ok | {:error, term()}
  def load, do: with(:ok <- :erlang.load_nif(path(), 0), do: forget_engines())

  # Those that `Wasmex.Engine` keeps are of the library before, if this is loaded again after it was purged.
  defp forget_engines do
    for {key, _engine} <- :persistent_term.get(), engine?(key), do: :persistent_term.erase(key)
    :ok
  end

  defp engine?({Wasmex.Engine, _settings}), do: true
  defp engine?(key), do: key == Wasmex.Engine

  defp path do
    case System.get_env("WASMEX_NIF_PATH") do
      path when path in [nil, ""] -> :filename.join(:code.priv_dir(:wasmex), ~c"native/wasmex")
      path -> path |> Path.rootname() |> String.to_charlist()
    end
  end

  @spec features() :: [String.t()]
  def features, do: :erlang.nif_error(:nif_not_loaded)
  @spec live_objects() :: keyword(non_neg_integer())
  def live_objects, do: error()
  @spec vm_layout_use(boolean()) :: boolean()
  def vm_layout_use(_wanted), do: error()

  @spec engine_new(term()) :: result(reference())
  def engine_new(_config), do: error()
  @spec engine_default(term()) :: result(reference())
  def engine_default(_config), do: error()

  @spec engine_precompile(
          reference(),
          atom(),
          binary(),
          reference(),
          pos_integer(),
          :any | :quick
        ) ::
          :ok | :full | error()
  def engine_precompile(_engine, _kind, _bytes, _reference, _most, _which), do: error()
  @spec engine_fingerprint(reference()) :: non_neg_integer()
  def engine_fingerprint(_engine), do: error()
  @spec engine_settings(reference()) :: binary()
  def engine_settings(_engine), do: error()
  @spec engine_build() :: binary()
  def engine_build, do: error()
  @spec engine_cache(reference()) :: binary() | nil
  def engine_cache(_engine), do: error()

  @spec store_wait_forever(reference()) :: boolean()
  def store_wait_forever(_store), do: error()
  @spec term_is_large(term()) :: boolean()
  def term_is_large(_term), do: error()
  @spec wasm_inspect(binary(), term()) :: result(map())
  def wasm_inspect(_bytes, _limits), do: error()
  @spec stdio_print(binary()) :: :ok
  def stdio_print(_bytes), do: error()
  @spec stdio_finish() :: [term()]
  def stdio_finish, do: error()
  @spec wave_parse(binary(), term()) :: result(term())
  def wave_parse(_text, _type), do: error()
  @spec wave_parse_params(binary(), list()) :: result([term()])
  def wave_parse_params(_text, _types), do: error()
  @spec wave_print(term(), term()) :: result(String.t())
  def wave_print(_value, _type), do: error()
  @spec wave_type(term()) :: result(String.t())
  def wave_type(_type), do: error()
  @spec wit_world(term(), term(), term()) :: result(map())
  def wit_world(_source, _world, _limits), do: error()
  @spec wat_to_wasm(binary(), term()) :: result(binary())
  def wat_to_wasm(_text, _limits), do: error()
  @spec limits_default() :: term()
  def limits_default, do: error()

  @spec module_compile(reference(), binary(), reference(), pos_integer(), :any | :quick) ::
          :ok | :full | error()
  def module_compile(_engine, _bytes, _reference, _most, _which), do: error()
  @spec module_serialize(reference()) :: result(binary())
  def module_serialize(_module), do: error()
  @spec module_deserialize(reference(), binary()) :: result(reference())
  def module_deserialize(_engine, _bytes), do: error()
  @spec module_name(reference()) :: String.t() | nil
  def module_name(_module), do: error()
  @spec module_engine(reference()) :: reference()
  def module_engine(_module), do: error()
  @spec module_exports(reference()) :: [{String.t(), tuple()}]
  def module_exports(_module), do: error()
  @spec module_imports(reference()) :: [{String.t(), String.t(), tuple()}]
  def module_imports(_module), do: error()
  @spec module_code_size(reference()) :: non_neg_integer()
  def module_code_size(_module), do: error()

  @spec store_new(reference(), term(), term(), term()) :: result(reference())
  def store_new(_engine, _limits, _wasi, _extensions), do: error()
  @spec store_new_with_dirs(reference(), term(), term(), term()) :: result(reference())
  def store_new_with_dirs(_engine, _limits, _wasi, _extensions), do: error()
  @spec store_engine(reference()) :: reference()
  def store_engine(_store), do: error()
  @spec store_get_fuel(reference(), via()) :: access(non_neg_integer())
  def store_get_fuel(_store, _via), do: error()
  @spec store_set_fuel(reference(), non_neg_integer() | nil, via()) :: access(:ok)
  def store_set_fuel(_store, _fuel, _via), do: error()
  @spec store_memory_peak(reference(), via()) :: access(non_neg_integer())
  def store_memory_peak(_store, _via), do: error()
  @spec store_gc(reference(), via()) :: access(:ok)
  def store_gc(_store, _via), do: error()
  @spec store_close(reference()) :: :ok
  def store_close(_store), do: error()
  @spec store_stop_waiting(reference()) :: boolean()
  def store_stop_waiting(_store), do: error()
  @spec store_driver(reference()) :: pid() | nil
  def store_driver(_store), do: error()
  @spec trace_take(reference(), boolean()) :: term()
  def trace_take(_store, _ended?), do: error()
  @spec profile_start(reference(), term()) :: term()
  def profile_start(_store, _name), do: error()
  @spec profile_finish(reference()) :: term()
  def profile_finish(_store), do: error()
  @spec core_dump_take(reference()) :: term()
  def core_dump_take(_store), do: error()

  @spec call_poll(reference()) :: step()
  def call_poll(_store), do: error()
  @spec call_rest(reference()) :: :ok
  def call_rest(_store), do: error()
  @spec stacks_move(boolean()) :: boolean()
  def stacks_move(_wanted), do: error()
  @spec call_resume(reference(), non_neg_integer(), term()) :: step()
  def call_resume(_store, _serial, _results), do: error()
  @spec call_raise(reference(), non_neg_integer()) :: step()
  def call_raise(_store, _serial), do: error()
  @spec call_cancel(reference()) :: step()
  def call_cancel(_store), do: error()
  @spec import_context(reference(), non_neg_integer()) :: term()
  def import_context(_store, _serial), do: error()

  @spec instance_new(reference(), reference(), list(), tuple(), list(), via()) :: step()
  def instance_new(_store, _module, _declarations, _functions, _links, _via), do: error()
  @spec instance_from_template(reference(), reference(), non_neg_integer() | nil, via()) :: step()
  def instance_from_template(_store, _template, _fuel, _via), do: error()
  @spec instance_observe_calls(boolean()) :: :ok
  def instance_observe_calls(_wanted), do: error()

  @spec instance_call(reference(), term(), term(), non_neg_integer() | nil, via() | :unobserved) ::
          step() | :observed
  def instance_call(_instance, _name, _params, _fuel, _via), do: error()
  @spec instance_call_bits(reference(), term(), term(), non_neg_integer() | nil, via()) :: step()
  def instance_call_bits(_instance, _name, _params, _fuel, _via), do: error()

  @spec instance_call_bytes(reference(), term(), term(), term(), non_neg_integer() | nil, via()) ::
          step()
  def instance_call_bytes(_instance, _name, _params, _settings, _fuel, _via), do: error()
  @spec instance_exports(reference()) :: [{String.t(), tuple()}]
  def instance_exports(_instance), do: error()
  @spec instance_store(reference()) :: reference()
  def instance_store(_instance), do: error()
  @spec instance_export(reference(), atom(), term(), via()) :: access(reference())
  def instance_export(_instance, _kind, _name, _via), do: error()
  @spec instance_export_type(reference(), term()) :: tuple() | nil
  def instance_export_type(_instance, _name), do: error()
  @spec instance_memory(reference(), via()) :: access(reference() | nil)
  def instance_memory(_instance, _via), do: error()

  @spec template_new(reference(), list(), tuple(), term(), reference() | nil) ::
          result(reference())
  def template_new(_module, _declarations, _functions, _hosts, _store), do: error()
  @spec template_module(reference()) :: reference()
  def template_module(_template), do: error()

  @spec component_compile(
          reference(),
          binary(),
          term(),
          reference(),
          pos_integer(),
          :any | :quick
        ) ::
          :ok | :full | error()
  def component_compile(_engine, _bytes, _names, _reference, _most, _which), do: error()
  @spec component_serialize(reference()) :: result(binary())
  def component_serialize(_component), do: error()
  @spec component_deserialize(reference(), binary(), term()) :: result(reference())
  def component_deserialize(_engine, _bytes, _names), do: error()
  @spec component_deserialize_file(reference(), term(), term()) :: result(reference())
  def component_deserialize_file(_engine, _path, _names), do: error()
  @spec component_named(reference(), term()) :: term()
  def component_named(_component, _names), do: error()
  @spec component_engine(reference()) :: reference()
  def component_engine(_component), do: error()
  @spec component_code_size(reference()) :: non_neg_integer()
  def component_code_size(_component), do: error()
  @spec component_instance_component(reference()) :: reference()
  def component_instance_component(_instance), do: error()
  @spec component_describe(reference()) :: {[{String.t(), term()}], [{String.t(), term()}]}
  def component_describe(_component), do: error()

  @spec component_template_new(reference(), list(), tuple(), non_neg_integer()) ::
          result(reference())
  def component_template_new(_component, _declarations, _functions, _format), do: error()
  @spec component_template_component(reference()) :: reference()
  def component_template_component(_template), do: error()
  @spec component_instantiate(reference(), reference(), non_neg_integer() | nil, via()) :: step()
  def component_instantiate(_store, _template, _fuel, _via), do: error()

  @spec component_call(
          reference(),
          term(),
          term(),
          non_neg_integer(),
          non_neg_integer() | nil,
          via()
        ) :: step()
  def component_call(_instance, _path, _params, _format, _fuel, _via), do: error()
  @spec component_store_spent(reference()) :: boolean()
  def component_store_spent(_store), do: error()
  @spec component_handle_http(reference(), term(), term(), term()) :: step()
  def component_handle_http(_instance, _head, _body, _response), do: error()
  @spec component_resource_drop(reference(), via()) :: step()
  def component_resource_drop(_handle, _via), do: error()
  @spec component_resource_store(reference()) :: reference()
  def component_resource_store(_handle), do: error()
  @spec component_resource_origin(reference()) :: term()
  def component_resource_origin(_handle), do: error()
  @spec component_resource_alive(reference()) :: boolean()
  def component_resource_alive(_handle), do: error()

  @spec memory_new(reference(), term(), term(), term(), via()) :: access(reference())
  def memory_new(_store, _minimum, _maximum, _memory64?, _via), do: error()
  @spec memory_size(reference(), via()) :: access(non_neg_integer())
  def memory_size(_memory, _via), do: error()
  @spec memory_grow(reference(), non_neg_integer(), via()) :: access(non_neg_integer())
  def memory_grow(_memory, _pages, _via), do: error()
  @spec memory_read(reference(), non_neg_integer(), non_neg_integer(), via()) :: access(binary())
  def memory_read(_memory, _offset, _length, _via), do: error()

  @spec memory_read_cstring(reference(), non_neg_integer(), non_neg_integer(), via()) ::
          access(term())
  def memory_read_cstring(_memory, _offset, _limit, _via), do: error()
  @spec memory_write(reference(), non_neg_integer(), binary(), via()) :: access(:ok)
  def memory_write(_memory, _offset, _bytes, _via), do: error()
  @spec memory_store(reference()) :: reference()
  def memory_store(_memory), do: error()

  @spec table_new(reference(), term(), term(), via()) :: access(reference())
  def table_new(_store, _element, _limits, _via), do: error()
  @spec table_size(reference(), via()) :: access(non_neg_integer())
  def table_size(_table, _via), do: error()
  @spec table_get(reference(), non_neg_integer(), via()) :: access(term())
  def table_get(_table, _index, _via), do: error()
  @spec table_set(reference(), non_neg_integer(), term(), via()) :: access(:ok)
  def table_set(_table, _index, _value, _via), do: error()
  @spec table_grow(reference(), non_neg_integer(), term(), via()) :: access(non_neg_integer())
  def table_grow(_table, _delta, _value, _via), do: error()
  @spec table_type(reference(), via()) :: access(tuple())
  def table_type(_table, _via), do: error()
  @spec table_store(reference()) :: reference()
  def table_store(_table), do: error()

  @spec global_new(reference(), term(), term(), term(), via()) :: access(reference())
  def global_new(_store, _type, _value, _mutable?, _via), do: error()
  @spec global_get(reference(), via()) :: access(term())
  def global_get(_global, _via), do: error()
  @spec global_set(reference(), term(), via()) :: access(:ok)
  def global_set(_global, _value, _via), do: error()
  @spec global_type(reference(), via()) :: access(tuple())
  def global_type(_global, _via), do: error()
  @spec global_store(reference()) :: reference()
  def global_store(_global), do: error()

  @spec func_call(reference(), term(), boolean(), non_neg_integer() | nil) :: step()
  def func_call(_func, _params, _bits?, _fuel), do: error()
  @spec func_type(reference()) :: {:fn, list(), list()}
  def func_type(_func), do: error()
  @spec func_store(reference()) :: reference()
  def func_store(_func), do: error()

  @spec pipe_new(term(), term()) :: reference()
  def pipe_new(_mode, _capacity), do: error()
  @spec pipe_size(reference()) :: non_neg_integer()
  def pipe_size(_pipe), do: error()
  @spec pipe_seek(reference(), term()) :: boolean()
  def pipe_seek(_pipe, _position), do: error()
  @spec pipe_read(reference(), non_neg_integer()) :: term()
  def pipe_read(_pipe, _limit), do: error()
  @spec pipe_take(reference(), non_neg_integer()) :: binary() | :eof | nil
  def pipe_take(_pipe, _limit), do: error()
  @spec pipe_wanted(reference()) :: boolean()
  def pipe_wanted(_pipe), do: error()
  @spec pipe_await_demand(reference()) :: :wanted | :closed | {:wait, reference()}
  def pipe_await_demand(_pipe), do: error()
  @spec pipe_write(reference(), binary()) :: term()
  def pipe_write(_pipe, _bytes), do: error()
  @spec pipe_stop_waiting(reference()) :: boolean()
  def pipe_stop_waiting(_pipe), do: error()
  @spec pipe_close(reference()) :: :ok
  def pipe_close(_pipe), do: error()

  @spec socket_listen(tuple()) :: result(reference())
  def socket_listen(_listen), do: error()
  @spec socket_pipe(boolean()) :: result(reference())
  def socket_pipe(_once?), do: error()

  @spec socket_address(reference()) ::
          {:tcp, String.t(), :inet.port_number()} | {:unix, String.t()} | nil
  def socket_address(_listener), do: error()

  @spec socket_connect(reference()) ::
          {:ok, reference(), non_neg_integer()} | {:error, :inet.posix()}
  def socket_connect(_listener), do: error()
  @spec socket_end_close(reference()) :: :ok
  def socket_end_close(_end), do: error()
  @spec socket_answer(pid()) :: reference()
  def socket_answer(_pid), do: error()

  @spec http_respond(reference(), non_neg_integer(), [{binary(), binary()}], term()) :: boolean()
  def http_respond(_exchange, _status, _headers, _body), do: error()
  @spec http_fail(reference(), term()) :: boolean()
  def http_fail(_exchange, _reason), do: error()
  @spec http_allowed(term(), String.t()) :: boolean()
  def http_allowed(_rules, _url), do: error()
  @spec http_fetch(reference(), struct()) :: :ok | {:error, String.t()} | error()
  def http_fetch(_reference, _fetch), do: error()
  @spec address_allowed(term(), term(), term(), term()) :: boolean()
  def address_allowed(_rules, _name, _address, _port), do: error()

  @spec interrupt_notify(reference()) :: term()
  def interrupt_notify(_reference), do: error()

  @spec plugin_template_new(reference(), term(), list(), tuple(), term(), tuple()) ::
          result(reference())
  def plugin_template_new(_engine, _modules, _declarations, _functions, _hosts, _sending),
    do: error()

  @spec plugin_template_functions(reference()) :: [String.t()]
  def plugin_template_functions(_template), do: error()
  @spec plugin_new(reference(), reference(), term()) :: result(reference())
  def plugin_new(_store, _template, _settings), do: error()
  @spec plugin_start(reference(), non_neg_integer() | nil) :: step()
  def plugin_start(_plugin, _fuel), do: error()
  @spec plugin_call(reference(), term(), binary(), non_neg_integer() | nil) :: step()
  def plugin_call(_plugin, _name, _input, _fuel), do: error()
  @spec plugin_replace(reference(), reference(), term()) :: term()
  def plugin_replace(_plugin, _store, _fresh), do: error()
  @spec plugin_store(reference()) :: reference()
  def plugin_store(_plugin), do: error()
  @spec plugin_reset(reference()) :: access(:ok)
  def plugin_reset(_plugin), do: error()

  @spec plugin_block_read(reference(), non_neg_integer(), non_neg_integer(), via()) ::
          access({non_neg_integer(), binary()} | nil)
  def plugin_block_read(_store, _offset, _from, _via), do: error()

  @spec plugin_block_new(reference(), non_neg_integer(), binary(), via()) ::
          access(non_neg_integer())
  def plugin_block_new(_store, _length, _bytes, _via), do: error()
  @spec plugin_block_write(reference(), non_neg_integer(), binary(), via()) :: access(:ok)
  def plugin_block_write(_store, _offset, _bytes, _via), do: error()
  @spec plugin_block_free(reference(), non_neg_integer(), via()) :: access(:ok)
  def plugin_block_free(_store, _offset, _via), do: error()
  @spec plugin_set_error(reference(), non_neg_integer(), via()) :: access(:ok)
  def plugin_set_error(_store, _offset, _via), do: error()
  @spec plugin_vars(reference(), via()) :: access(map())
  def plugin_vars(_store, _via), do: error()
  @spec plugin_put_var(reference(), binary(), term(), via()) :: access(:ok)
  def plugin_put_var(_store, _key, _value, _via), do: error()
  @spec plugin_clear_vars(reference(), via()) :: access(:ok)
  def plugin_clear_vars(_store, _via), do: error()
  @spec plugin_config(reference(), via()) :: access(map())
  def plugin_config(_store, _via), do: error()
  @spec plugin_put_config(reference(), term(), via()) :: access(:ok)
  def plugin_put_config(_store, _entries, _via), do: error()
  @spec plugin_hold(term()) :: reference()
  def plugin_hold(_term), do: error()
  @spec plugin_held(reference()) :: {non_neg_integer(), term()}
  def plugin_held(_held), do: error()
  @spec plugin_hold_next(reference(), non_neg_integer(), term()) :: boolean()
  def plugin_hold_next(_held, _version, _term), do: error()

  @spec digest_sha256([binary()]) :: binary()
  def digest_sha256(_parts), do: error()

  @spec directory_owner(term()) :: term()
  def directory_owner(_path), do: error()

  @spec child_hold(term()) :: term()
  def child_hold(_os_pid), do: error()
  @spec child_kill(reference()) :: term()
  def child_kill(_child), do: error()
  @spec child_gone(reference()) :: boolean()
  def child_gone(_child), do: error()
end
