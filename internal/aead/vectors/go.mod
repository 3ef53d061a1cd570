module github.com/objseal/objseal/internal/aead/vectors

go 1.26.4

replace github.com/objseal/objseal => ../../..

tool github.com/geomys/acvp-testdata/cmd/trim

require (
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
	github.com/objseal/objseal v0.0.0-00010101000000-000000000000
)

require (
	github.com/dsnet/compress v0.0.1 // indirect
	github.com/geomys/acvp-testdata v0.0.0-20251201200548-d893de8b8b1c // indirect
	github.com/klauspost/cpuid/v2 v2.4.2 // indirect
	golang.org/x/crypto v0.59.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
