//go:build wasip1

package wasisock

import (
	"net"
	"strconv"
	"sync"
	"unsafe"
)

const most = 8

// What the host fills in: a list of records, each with room for an address.
type info struct {
	flags                                               uint16
	family, kind                                        uint8
	protocol, size, address, canonical, canonSize, next uint32
}

type infoAddress struct{ family, size, data uint32 }

var room struct {
	sync.Mutex
	hints     info
	infos     [most]info
	addresses [most]infoAddress
	// The port, then the address.
	data  [most][26]byte
	first uint32
	count uint32
}

func pointer[T any](to *T) uint32 { return uint32(uintptr(unsafe.Pointer(to))) }

// Lookup is the addresses that a name and a port stand for; a name that is an address is not looked up.
func Lookup(network, host string, port int) ([]net.IP, error) {
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}, nil
	}
	room.Lock()
	defer room.Unlock()
	for i := range room.infos {
		room.addresses[i] = infoAddress{size: 26, data: pointer(&room.data[i])}
		room.infos[i] = info{address: pointer(&room.addresses[i])}
		if i+1 < most {
			room.infos[i].next = pointer(&room.infos[i+1])
		}
	}
	room.hints = info{kind: kindStream}
	if network[0] == 'u' {
		room.hints.kind = kindDatagram
	}
	room.first = pointer(&room.infos[0])
	service := strconv.Itoa(port)
	e := sockGetaddrinfo(unsafe.Pointer(unsafe.StringData(host)), uint32(len(host)),
		unsafe.Pointer(unsafe.StringData(service)), uint32(len(service)),
		unsafe.Pointer(&room.hints), unsafe.Pointer(&room.first), most, unsafe.Pointer(&room.count))
	if e != 0 {
		return nil, &net.DNSError{Err: e.Error(), Name: host}
	}
	var ips []net.IP
	for i := 0; i < int(room.count) && i < most; i++ {
		size := net.IPv4len
		// Hosts differ in which of the two they set.
		if room.infos[i].family == familyInet6 || room.addresses[i].family&0xff == familyInet6 {
			size = net.IPv6len
		}
		ips = append(ips, append(net.IP(nil), room.data[i][2:2+size]...))
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return ips, nil
}
