// Sorts words, with nothing but Go's own library: the imports are declared by hand.
package main

import (
	"sort"
	"strings"
)

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoad(index uint64) uint32

//go:wasmimport extism:host/env alloc
func alloc(length uint64) uint64

//go:wasmimport extism:host/env store_u8
func store(offset uint64, value uint32)

//go:wasmimport extism:host/env output_set
func outputSet(offset, length uint64)

//go:wasmimport extism:host/env error_set
func errorSet(offset uint64)

func input() string {
	bytes := make([]byte, inputLength())
	for i := range bytes {
		bytes[i] = byte(inputLoad(uint64(i)))
	}
	return string(bytes)
}

func block(text string) uint64 {
	offset := alloc(uint64(len(text)))
	for i := 0; i < len(text); i++ {
		store(offset+uint64(i), uint32(text[i]))
	}
	return offset
}

//go:wasmexport sort_words
func sortWords() int32 {
	words := strings.Fields(input())
	if len(words) == 0 {
		errorSet(block("no words"))
		return 1
	}
	sort.Strings(words)
	output := strings.Join(words, " ")
	outputSet(block(output), uint64(len(output)))
	return 0
}

func main() {}
