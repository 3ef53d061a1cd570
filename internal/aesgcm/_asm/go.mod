module github.com/objseal/objseal/internal/aesgcm/_asm

go 1.26.0
