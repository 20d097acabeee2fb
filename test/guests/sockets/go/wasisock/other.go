//go:build !wasip1

// Package wasisock is Go's own net package where that has sockets: the guests here also run as native programs.
package wasisock

import (
	"context"
	"net"
)

// Listen listens for streams.
func Listen(network, address string) (net.Listener, error) { return net.Listen(network, address) }

// Dial connects.
func Dial(network, address string) (net.Conn, error) { return net.Dial(network, address) }

// DialContext connects, until the context is done.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Lookup is the addresses that a name and a port stand for.
func Lookup(network, host string, port int) ([]net.IP, error) { return net.LookupIP(host) }
