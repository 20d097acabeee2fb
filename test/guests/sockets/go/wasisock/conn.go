//go:build wasip1

package wasisock

import "net"

// Go knows no addresses of sockets that it did not make: these add them.
type listener struct {
	net.Listener
	network string
	local   net.Addr
}

type stream struct {
	*net.TCPConn
	local, peer net.Addr
}

type datagrams struct {
	*net.UDPConn
	local, peer net.Addr
}

func (l *listener) Addr() net.Addr        { return l.local }
func (c *stream) LocalAddr() net.Addr     { return c.local }
func (c *stream) RemoteAddr() net.Addr    { return c.peer }
func (c *datagrams) LocalAddr() net.Addr  { return c.local }
func (c *datagrams) RemoteAddr() net.Addr { return c.peer }

func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := inner.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var c net.Conn
	if e := raw.Control(func(fd uintptr) { c, err = name(l.network, int32(fd), inner) }); e != nil {
		return nil, e
	}
	return c, err
}

// name adds the addresses of the socket's two ends. A peer that is gone already has none.
func name(network string, fd int32, inner net.Conn) (net.Conn, error) {
	local, err := nameOf(network, fd, sockGetlocaladdr)
	if err != nil {
		return nil, err
	}
	peer, err := nameOf(network, fd, sockGetpeeraddr)
	if err != nil {
		peer = inner.RemoteAddr()
	}
	switch c := inner.(type) {
	case *net.UDPConn:
		return &datagrams{c, local, peer}, nil
	case *net.TCPConn:
		return &stream{c, local, peer}, nil
	}
	return inner, nil
}
