// Strings and bytes between Elixir and this guest. Elixir allocates memory for an argument with alloc, and frees it with
// dealloc after the call. A result is valid until the next one is returned.
package main

import "unsafe"

// Memory that Elixir uses, so that the garbage collector does not free it.
var held = map[uint32][]byte{}
var last []byte

//go:wasmexport alloc
func alloc(size uint32) uint32 {
	memory := make([]byte, max(size, 1))
	pointer := uint32(uintptr(unsafe.Pointer(&memory[0])))
	held[pointer] = memory
	return pointer
}

//go:wasmexport dealloc
func dealloc(pointer, size uint32) {
	delete(held, pointer)
}

// An argument: {:bytes, _}, {:string, _} or {:json, _} in Elixir.
func bytes(pointer, length uint32) []byte {
	return held[pointer][:length]
}

// The same as text.
func text(pointer, length uint32) string {
	return string(bytes(pointer, length))
}

// A result, for returns: :bytes, :string or :json.
func returned(result []byte) uint64 {
	last = append(result, 0)
	return uint64(uintptr(unsafe.Pointer(&last[0])))<<32 | uint64(len(result))
}
