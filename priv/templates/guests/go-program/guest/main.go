// A program: arguments, standard input and output.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	name := "world"
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	fmt.Printf("Hello, %s! (%d bytes of input)\n", name, len(input))
}
