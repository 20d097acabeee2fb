// Input, output and error of a plug-in, through the functions of Extism's ABI. PDKs with more: https://extism.org.
package main

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

// The input of the call.
func input() string {
	bytes := make([]byte, inputLength())
	for i := range bytes {
		bytes[i] = byte(inputLoad(uint64(i)))
	}
	return string(bytes)
}

// Sets the output and returns 0, for success.
func output(text string) int32 {
	outputSet(block(text), uint64(len(text)))
	return 0
}

// Sets the error message and returns 1, for failure.
func fail(text string) int32 {
	errorSet(block(text))
	return 1
}

func block(text string) uint64 {
	offset := alloc(uint64(len(text)))
	for i := 0; i < len(text); i++ {
		store(offset+uint64(i), uint32(text[i]))
	}
	return offset
}
