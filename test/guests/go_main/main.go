// A Go command: the host calls `_start` once.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
)

func main() {
	// All of argv, the program's own name included, as the host passed it.
	fmt.Printf("args: %v\n", os.Args)

	env := os.Environ()
	sort.Strings(env)
	for _, pair := range env {
		fmt.Println(pair)
	}

	fmt.Fprintln(os.Stderr, "a line on stderr")

	if n := len(os.Args); n > 0 {
		if status, err := strconv.Atoi(os.Args[n-1]); err == nil {
			os.Exit(status)
		}
	}
}
