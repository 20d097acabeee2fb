// A function over HTTP: the request is in environment variables (http_path, http_query, …), the body is standard input,
// and what is printed is the answer.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Hello, %s!\n", os.Getenv("http_query"))
}
