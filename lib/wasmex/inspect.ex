# `#Wasmex.Memory<#Reference<…>>`: the resource itself says nothing to a reader.
for module <- [
      Wasmex.StoreOrCaller,
      Wasmex.Engine,
      Wasmex.Module,
      Wasmex.Instance,
      Wasmex.Template,
      Wasmex.Memory,
      Wasmex.Table,
      Wasmex.Global,
      Wasmex.Tag,
      Wasmex.Func,
      Wasmex.Reference,
      Wasmex.Pipe
    ] do
  defimpl Inspect, for: module do
    import Inspect.Algebra

    def inspect(%module{reference: reference}, opts),
      do: concat(["#", Kernel.inspect(module), "<", to_doc(reference, opts), ">"])
  end
end
