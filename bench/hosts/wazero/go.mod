module wazero

go 1.24
