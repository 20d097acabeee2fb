// A port's program for bench/peers, as native.c.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
)

var (
	in  = bufio.NewReaderSize(os.Stdin, 1<<16)
	out = bufio.NewWriterSize(os.Stdout, 1<<16)
)

func next() []byte {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		os.Exit(0)
	}
	packet := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(in, packet); err != nil {
		os.Exit(1)
	}
	return packet
}

func answer(bytes []byte) {
	out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(bytes))))
	out.Write(bytes)
	if out.Flush() != nil {
		os.Exit(1)
	}
}

func number(bytes []byte) uint32 { return binary.LittleEndian.Uint32(bytes) }

func main() {
	for {
		packet := next()
		switch packet[0] {
		case 'a':
			answer(binary.LittleEndian.AppendUint32(nil, number(packet[1:])+number(packet[5:])))
		case 'i':
			for n := number(packet[1:]); n > 0; n-- {
				answer(binary.LittleEndian.AppendUint32([]byte{'q'}, n))
				next()
			}
			answer([]byte("."))
		case 'e':
			answer(packet[1:])
		case 'c':
			var digest [32]byte
			for n := number(packet[1:]); n > 0; n-- {
				digest = sha256.Sum256(digest[:])
			}
			answer(digest[28:])
		}
	}
}
