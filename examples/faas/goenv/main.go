// Answers with its environment, which holds the request.
package main

import (
	"fmt"
	"os"
	"sort"
)

func main() {
	env := os.Environ()
	sort.Strings(env)
	for _, variable := range env {
		fmt.Println(variable)
	}
}
