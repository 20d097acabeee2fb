//go:build wasip1

// Package wasisock listens and dials through WasmEdge's sockets (second version). Go's own net package has none of that
// for WASI: it only takes descriptors that are open already, which is what this package makes.
package wasisock

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// Listen listens for streams: the network is "tcp" or "unix".
func Listen(network, address string) (net.Listener, error) {
	targets, err := resolve(network, address)
	if err != nil {
		return nil, wrap("listen", network, err)
	}
	listener, err := listen(network, targets[0])
	if err != nil {
		return nil, wrap("listen", network, err)
	}
	return listener, nil
}

func listen(network string, at target) (net.Listener, error) {
	fd, err := open(at.family, kindStream)
	if err != nil {
		return nil, err
	}
	if err := bind(fd, at); err != nil {
		syscall.Close(int(fd))
		return nil, err
	}
	local, err := nameOf(network, fd, sockGetlocaladdr)
	if err != nil {
		syscall.Close(int(fd))
		return nil, err
	}
	// The listener has the descriptor too, until the last of both closes it.
	file := os.NewFile(uintptr(fd), network)
	defer file.Close()
	inner, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return &listener{inner, network, local}, nil
}

func bind(fd int32, at target) error {
	if at.family != familyUnix {
		reuse := int32(1)
		if e := sockSetsockopt(fd, levelSocket, optionReuse, unsafe.Pointer(&reuse), 4); e != 0 {
			return e
		}
	}
	if e := sockBind(fd, unsafe.Pointer(at.address), uint32(at.port)); e != 0 {
		return e
	}
	if e := sockListen(fd, 1024); e != 0 {
		return e
	}
	return nil
}

// Dial connects: the network is "tcp", "udp" or "unix".
func Dial(network, address string) (net.Conn, error) {
	return DialContext(context.Background(), network, address)
}

// DialContext connects, until the context is done. Of several addresses of a name the first that answers is taken.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	targets, err := resolve(network, address)
	if err != nil {
		return nil, wrap("dial", network, err)
	}
	for _, to := range targets {
		var c net.Conn
		if c, err = dial(ctx, network, to); err == nil {
			return c, nil
		}
	}
	return nil, wrap("dial", network, err)
}

func dial(ctx context.Context, network string, to target) (net.Conn, error) {
	kind := int32(kindStream)
	if network[:2] == "ud" {
		kind = kindDatagram
	}
	fd, err := open(to.family, kind)
	if err != nil {
		return nil, err
	}
	e := sockConnect(fd, unsafe.Pointer(to.address), uint32(to.port))
	file := os.NewFile(uintptr(fd), network)
	defer file.Close()
	if e == syscall.EINPROGRESS {
		if err := connected(ctx, file, fd); err != nil {
			return nil, err
		}
	} else if e != 0 {
		return nil, e
	}
	inner, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return name(network, fd, inner)
}

// connected waits until the connection is there or has failed.
func connected(ctx context.Context, file *os.File, fd int32) error {
	if deadline, ok := ctx.Deadline(); ok {
		file.SetWriteDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	asked := false
	// The function is called again once the socket can be written to.
	err = raw.Write(func(uintptr) bool { again := asked; asked = true; return again })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	var failed int32
	if e := sockGetsockopt(fd, levelSocket, optionError, unsafe.Pointer(&failed), 4); e != 0 {
		return e
	}
	if failed != 0 {
		return syscall.Errno(failed)
	}
	return nil
}

// open is a new socket that does not block.
func open(family, kind int32) (int32, error) {
	var fd int32
	if e := sockOpen(family, kind, unsafe.Pointer(&fd)); e != 0 {
		return 0, e
	}
	if err := syscall.SetNonblock(int(fd), true); err != nil {
		syscall.Close(int(fd))
		return 0, err
	}
	return fd, nil
}

func wrap(op, network string, err error) error {
	if _, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: network, Err: err}
}
