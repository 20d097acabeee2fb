// A plug-in with the ABI of Extism.
package main

//go:wasmexport greet
func greet() int32 {
	return output("Hello, " + input() + "!")
}

// Required by the compiler, never called.
func main() {}
