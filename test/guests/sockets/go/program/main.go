// What Go programs do with sockets: net/http both ways, database/sql, datagrams. Sockets by ../wasisock.
//
//	serve NETWORK ADDRESS          net/http, until GET /quit
//	serve-on FD                    the same on a listener of the host's
//	get URL...                     prints the status and the body of each
//	sql CONNECTION [QUERY...]      runs the queries, or else a tour: tables, parameters, transactions, errors
//	lookup NAME:PORT               prints the addresses
//	udp ADDRESS TEXT               sends a datagram, prints the one that comes back
package main

import (
	"fmt"
	"os"
)

func main() {
	command, args := "", os.Args[1:]
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "serve" && len(args) == 2:
		serve(args[0], args[1])
	case command == "serve-on" && len(args) == 1:
		serveOn(args[0])
	case command == "get":
		for _, url := range args {
			get(url)
		}
	case command == "sql" && len(args) > 0:
		query(args[0], args[1:])
	case command == "lookup" && len(args) == 1:
		lookup(args[0])
	case command == "udp" && len(args) == 2:
		udp(args[0], args[1])
	default:
		fail("what to do?")
	}
}

func fail(what any) {
	fmt.Println("error:", what)
	os.Exit(1)
}
