// A program with one subcommand for each thing that a test wants of it: see ../README.md.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		args = []string{"hello"}
	}
	switch command, rest := args[0], append(args[1:], "", ""); command {
	case "hello":
		hello(rest[0])
	case "upcase":
		return upcase()
	case "wc":
		return wc()
	case "copy":
		return copyFile(rest[0], rest[1])
	case "ls":
		return ls(rest[0])
	case "sleep":
		ms, err := strconv.Atoi(rest[0])
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return err
	case "spin":
		for i := 0; ; i++ {
			sink = i
		}
	case "eat":
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "flood":
		for {
			fmt.Println("a line of a flood")
		}
	case "exit":
		status, err := strconv.Atoi(rest[0])
		if err != nil {
			return err
		}
		os.Exit(status)
	case "panic":
		panic("the guest panics")
	case "stderr":
		fmt.Fprintln(os.Stderr, rest[0])
	default:
		return fmt.Errorf("unknown command %s", command)
	}
	return nil
}

var (
	sink int
	kept [][]byte
)

func hello(name string) {
	if name == "" {
		name = "world"
	}
	fmt.Printf("Hello, %s, from Go!\n", name)
	env := os.Environ()
	sort.Strings(env)
	for _, variable := range env {
		fmt.Println(variable)
	}
}

func upcase() error {
	buffer := make([]byte, 64*1024)
	for {
		n, err := os.Stdin.Read(buffer)
		for i, b := range buffer[:n] {
			if 'a' <= b && b <= 'z' {
				buffer[i] = b - 32
			}
		}
		if _, err := os.Stdout.Write(buffer[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func wc() error {
	reader := bufio.NewReaderSize(os.Stdin, 64*1024)
	lines, words, count, inWord := 0, 0, 0, false
	for {
		b, err := reader.ReadByte()
		if err == io.EOF {
			fmt.Println(lines, words, count)
			return nil
		}
		if err != nil {
			return err
		}
		count++
		if b == '\n' {
			lines++
		}
		space := b == ' ' || b == '\n' || b == '\t' || b == '\r'
		if !space && !inWord {
			words++
		}
		inWord = !space
	}
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	defer target.Close()
	n, err := io.Copy(target, source)
	if err == nil {
		fmt.Println(n)
	}
	return err
}

func ls(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		fmt.Println(entry.Name())
	}
	return err
}
