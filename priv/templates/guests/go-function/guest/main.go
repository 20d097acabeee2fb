// Functions for Elixir: see lib/@name@.ex.
package main

// Takes a string and returns one.
//
//go:wasmexport greet
func greet(pointer, length uint32) uint64 {
	return returned([]byte("Hello, " + text(pointer, length) + "!"))
}

//go:wasmexport add
func add(a, b int32) int32 {
	return a + b
}

// Required by the compiler, never called.
func main() {}
