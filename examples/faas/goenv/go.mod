module goenv

go 1.24
