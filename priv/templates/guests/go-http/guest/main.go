// An HTTP function: the request is in environment variables (http_path, http_query, …) and its body on standard input. The
// output is the response.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Hello, %s!\n", os.Getenv("http_query"))
}
