module go_greet

go 1.24
