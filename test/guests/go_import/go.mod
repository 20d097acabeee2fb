module go_import

go 1.24
