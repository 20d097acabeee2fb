// A Go reactor: the host calls `_initialize` once, then the exports below.
package main

import (
	"fmt"
	"io"
	"os"
)

//go:wasmexport greet
func greet() {
	name, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	fmt.Print("👋 Data from Elixir: ", string(name))
}

//go:wasmexport add
func add(a, b int32) int32 {
	return a + b
}

// Required by the compiler, never called in a reactor.
func main() {}
