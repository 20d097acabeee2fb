// A server on listeners that the host hands in, by Go's standard library alone.
//
//	listener [FD...]    answers a line of HTTP on these descriptors, 3 by default, until GET /quit
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

func main() {
	fds := os.Args[1:]
	if len(fds) == 0 {
		fds = []string{"3"}
	}
	ended := make(chan error)
	for _, word := range fds {
		fd, err := strconv.Atoi(word)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(2)
		}
		go func() { ended <- serve(fd) }()
	}
	if err := <-ended; err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func serve(fd int) error {
	file := os.NewFile(uintptr(fd), "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	file.Close()
	fmt.Println("serving on", fd)
	quit := make(chan error)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				quit <- err
				return
			}
			go answer(conn, fd, quit)
		}
	}()
	return <-quit
}

func answer(conn net.Conn, fd int, quit chan error) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	for more := ""; err == nil && more != "\r\n"; {
		more, err = reader.ReadString('\n')
	}
	words := strings.Fields(line)
	if err != nil || len(words) < 2 {
		return
	}
	body := fmt.Sprintf("%s on %d\n", words[1], fd)
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if words[1] == "/quit" {
		conn.Close()
		quit <- nil
	}
}
