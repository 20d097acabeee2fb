module go_main

go 1.24
