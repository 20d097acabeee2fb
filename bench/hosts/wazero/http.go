package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// For bench/http: serves the functions `NAME=FILE`, compiled once, by the convention of Wasmex.HTTP.Env, on a free port
// that it prints. Guests' lines and requests are logged to standard error if LOG is set, and discarded otherwise.
func serve(functions []string) {
	logger := log.New(io.Discard, "", log.LstdFlags)
	if os.Getenv("LOG") != "" {
		logger.SetOutput(os.Stderr)
	}
	host(logger)
	for _, function := range functions {
		name, file, _ := strings.Cut(function, "=")
		code, err := os.ReadFile(file)
		check(err)
		compiled, err := machine.CompileModule(ctx, code)
		check(err)
		http.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { answer(compiled, logger, w, r) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(http.Serve(listener, nil))
}

func host(logger *log.Logger) {
	_, err := machine.NewHostModuleBuilder("env").
		NewFunctionBuilder().WithFunc(func(n uint32) { logger.Print(n) }).Export("log_i32").
		NewFunctionBuilder().WithFunc(func(_ context.Context, module api.Module, at, length uint32) {
		if text, ok := module.Memory().Read(at, length); ok {
			logger.Print(string(text))
		}
	}).Export("log_string").Instantiate(ctx)
	check(err)
}

func answer(compiled wazero.CompiledModule, logger *log.Logger, w http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	query, _ := url.ParseQuery(r.URL.RawQuery)
	config := wazero.NewModuleConfig().WithName("").WithArgs(filepath.Base(r.URL.Path)).WithStdout(&out).
		WithEnv("http_path", r.URL.Path).WithEnv("http_method", r.Method).WithEnv("http_host", r.Host).
		WithEnv("http_query", query.Encode()).WithEnv("remote_addr", r.RemoteAddr)
	module, err := machine.InstantiateModule(ctx, compiled, config)
	if exit, ok := err.(*sys.ExitError); err != nil && !(ok && exit.ExitCode() == 0) {
		http.Error(w, err.Error(), 500)
		return
	}
	if module != nil {
		module.Close(ctx)
	}
	logger.Printf("%s %s 200", r.Method, r.URL)
	w.Write(out.Bytes())
}
