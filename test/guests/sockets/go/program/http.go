package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"sockets/wasisock"
)

// What it dials, it dials as it is told to: by names and addresses, through one transport that keeps connections.
var client = &http.Client{Transport: &http.Transport{DialContext: wasisock.DialContext}}

func serve(network, address string) {
	listener, err := wasisock.Listen(network, address)
	if err != nil {
		fail(err)
	}
	fmt.Println("listening on", listener.Addr())
	fail(http.Serve(listener, handler()))
}

// The listener is there already, as a descriptor.
func serveOn(word string) {
	fd, err := strconv.Atoi(word)
	if err != nil {
		fail(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		fail(err)
	}
	file.Close()
	fmt.Println("serving on", fd)
	fail(http.Serve(listener, handler()))
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from Go, %s %s from %s\n", r.Method, r.URL.Path, r.RemoteAddr)
	})
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("/bytes", bytes)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		fmt.Fprintln(w, "slow done")
	})
	mux.HandleFunc("/spin", func(w http.ResponseWriter, r *http.Request) {
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		}
		fmt.Fprintln(w, "spun")
	})
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Get(r.URL.Query().Get("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	mux.HandleFunc("/quit", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "bye")
		go func() { time.Sleep(20 * time.Millisecond); os.Exit(0) }()
	})
	return mux
}

// As many bytes as ?n= says, in chunks.
func bytes(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	chunk := []byte(strings.Repeat("0123456789abcdef", 1024))
	for n > 0 {
		part := chunk[:min(n, len(chunk))]
		if _, err := w.Write(part); err != nil {
			return
		}
		n -= len(part)
	}
}

func get(url string) {
	answer, err := client.Get(url)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Printf("%d %s", answer.StatusCode, body)
}

func lookup(address string) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		fail(err)
	}
	port, _ := strconv.Atoi(service)
	ips, err := wasisock.Lookup("tcp", host, port)
	if err != nil {
		fail(err)
	}
	fmt.Println(ips)
}

func udp(address, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := wasisock.DialContext(ctx, "udp", address)
	if err != nil {
		fail(err)
	}
	fmt.Println("to", c.RemoteAddr())
	if _, err := io.WriteString(c, text); err != nil {
		fail(err)
	}
	buffer := make([]byte, 2048)
	n, err := c.Read(buffer)
	if err != nil {
		fail(err)
	}
	fmt.Printf("got %s\n", buffer[:n])
}
