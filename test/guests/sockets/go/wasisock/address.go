//go:build wasip1

package wasisock

import (
	"bytes"
	"encoding/binary"
	"net"
	"strconv"
	"syscall"
	"unsafe"
)

// sockaddr is an address as the host reads and writes it: where its bytes are, and how many. Four bytes are an IPv4 and
// 16 an IPv6 address; 128 begin with the family. It is always on the heap: the host gets a pointer into it.
type sockaddr struct {
	buf, size uint32
	data      [128]byte
}

var escape *sockaddr

func newSockaddr(size int) *sockaddr {
	a := &sockaddr{size: uint32(size)}
	escape = a
	a.buf = uint32(uintptr(unsafe.Pointer(&a.data)))
	return a
}

func ipSockaddr(ip net.IP) (a *sockaddr, family int32) {
	if v4 := ip.To4(); v4 != nil {
		a = newSockaddr(net.IPv4len)
		copy(a.data[:], v4)
		return a, familyInet
	}
	a = newSockaddr(net.IPv6len)
	copy(a.data[:], ip)
	return a, familyInet6
}

func unixSockaddr(path string) (*sockaddr, error) {
	a := newSockaddr(128)
	if len(path) > len(a.data)-3 {
		return nil, syscall.ENAMETOOLONG
	}
	binary.LittleEndian.PutUint16(a.data[:], familyUnix)
	copy(a.data[2:], path)
	return a, nil
}

// netAddr is the address that the host wrote.
func (a *sockaddr) netAddr(network string, port int) net.Addr {
	var ip net.IP
	switch binary.LittleEndian.Uint16(a.data[:]) {
	case familyInet:
		ip = bytes.Clone(a.data[2:6])
	case familyInet6:
		ip = bytes.Clone(a.data[2:18])
	case familyUnix:
		path, _, _ := bytes.Cut(a.data[2:], []byte{0})
		return &net.UnixAddr{Name: string(path), Net: "unix"}
	}
	if network[0] == 'u' {
		return &net.UDPAddr{IP: ip, Port: port}
	}
	return &net.TCPAddr{IP: ip, Port: port}
}

// one of the host's ways to say an address of a socket.
func nameOf(network string, fd int32, ask func(int32, unsafe.Pointer, unsafe.Pointer) syscall.Errno) (net.Addr, error) {
	a := newSockaddr(128)
	var port uint32
	if e := ask(fd, unsafe.Pointer(a), unsafe.Pointer(&port)); e != 0 {
		return nil, e
	}
	return a.netAddr(network, int(port)), nil
}

// target is where to: an address and its port.
type target struct {
	address *sockaddr
	family  int32
	port    int
}

// resolve is what "host:port" or a path stands for.
func resolve(network, address string) ([]target, error) {
	if network == "unix" {
		a, err := unixSockaddr(address)
		return []target{{a, familyUnix, 0}}, err
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	ips := []net.IP{net.IPv4zero}
	if host != "" {
		if ips, err = Lookup(network, host, int(port)); err != nil {
			return nil, err
		}
	}
	var targets []target
	for _, ip := range ips {
		a, family := ipSockaddr(ip)
		targets = append(targets, target{a, family, int(port)})
	}
	return targets, nil
}
