module example.org/pharos

go 1.19
