// wazero, for bench/peers: see wasmex.exs.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

var (
	ctx     = context.Background()
	quick   = os.Getenv("QUICK") != ""
	guest   wazero.CompiledModule
	machine wazero.Runtime
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func put(work string, figure any) { fmt.Printf("%s\t%v\n", work, figure) }

func measure(run func()) float64 {
	budget := 300 * time.Millisecond
	if quick {
		budget = 20 * time.Millisecond
	}
	run()
	for count := 1; ; count *= 2 {
		start := time.Now()
		for i := 0; i < count; i++ {
			run()
		}
		if took := time.Since(start); took >= budget {
			return float64(took.Nanoseconds()) / 1e3 / float64(count)
		}
	}
}

func compile(variable string) wazero.CompiledModule {
	code, err := os.ReadFile(os.Getenv(variable))
	check(err)
	compiled, err := machine.CompileModule(ctx, code)
	check(err)
	return compiled
}

// Anonymous, so that there can be many of them.
func instance(compiled wazero.CompiledModule) api.Module {
	module, err := machine.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	check(err)
	return module
}

func start() api.Module {
	module := instance(guest)
	results, err := module.ExportedFunction("add").Call(ctx, 40, 2)
	check(err)
	if results[0] != 42 {
		os.Exit(1)
	}
	return module
}

func echo(module api.Module, function api.Function, text string) string {
	module.Memory().WriteString(0, text)
	results, err := function.Call(ctx, uint64(len(text)))
	check(err)
	view, _ := module.Memory().Read(uint32(results[0]), uint32(len(text)))
	return string(view)
}

func resident() int {
	runtime.GC()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	var kib int
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fmt.Sscan(rest, &kib)
	return kib
}

func memory() float64 {
	kept := make([]api.Module, 1000)
	before := resident()
	for i := range kept {
		kept[i] = start()
	}
	used := resident() - before
	for _, module := range kept {
		module.Close(ctx)
	}
	return float64(used) / float64(len(kept))
}

func program() float64 {
	compiled := compile("PROGRAM")
	text := strings.Repeat("abcdefgh", 128)
	expected := strings.ToUpper(text)
	return measure(func() {
		var out bytes.Buffer
		config := wazero.NewModuleConfig().WithName("").WithArgs("program", "upcase").
			WithStdin(strings.NewReader(text)).WithStdout(&out)
		module, err := machine.InstantiateModule(ctx, compiled, config)
		if exit, ok := err.(*sys.ExitError); !ok || exit.ExitCode() != 0 {
			check(err)
		}
		if module != nil {
			module.Close(ctx)
		}
		if out.String() != expected {
			os.Exit(1)
		}
	})
}

func compute() float64 {
	rounds := uint64(5_000_000)
	if quick {
		rounds = 100_000
	}
	function := instance(compile("COMPUTE")).ExportedFunction("sha256_loop")
	start := time.Now()
	_, err := function.Call(ctx, rounds)
	check(err)
	return float64(time.Since(start).Nanoseconds()) / 1e6
}

func main() {
	machine = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	wasi_snapshot_preview1.MustInstantiate(ctx, machine)
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve(os.Args[2:])
	}
	_, err := machine.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			// The argument's place is also the result's.
		}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).
		Export("id").Instantiate(ctx)
	check(err)
	guest = compile("GUEST")

	put("version", os.Getenv("WAZERO_VERSION"))
	put("memory", memory())
	module := start()
	add, imports, copied := module.ExportedFunction("add"), module.ExportedFunction("imports"), module.ExportedFunction("echo")
	put("add", measure(func() { add.Call(ctx, 40, 2) }))
	put("import", measure(func() { imports.Call(ctx, 1000) })/1000)
	for _, size := range []int{1024, 1024 * 1024} {
		text := strings.Repeat("abcdefgh", size/8)
		if echo(module, copied, text) != text {
			os.Exit(1)
		}
		work := "text_1k"
		if size > 1024 {
			work = "text_1m"
		}
		put(work, measure(func() { echo(module, copied, text) }))
	}
	put("instance", measure(func() { start().Close(ctx) }))
	put("program", program())
	put("compute", compute())
}
