// A Go reactor that calls two functions of the host.
package main

import "fmt"

// A string parameter reaches the host as two i32: pointer and length.
//
//go:wasmimport env log_string
func logString(text string)

//go:wasmimport env add
func add(a, b int32) int32

//go:wasmexport hello
func hello() {
	logString(fmt.Sprintf("Hello from Go, 2 + 3 = %d", add(2, 3)))
}

// Required by the compiler, never called in a reactor.
func main() {}
