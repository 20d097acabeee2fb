module sockets

go 1.24
