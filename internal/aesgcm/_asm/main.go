// Command _asm writes the assembly of package aesgcm to the folder that is its
// argument: go generate runs it.
//
// Each kernel is a program in Go that emits instructions, so that two streams of
// them, the rounds of AES and the products of GHASH, can be woven into one and a
// register has a name that says what it holds.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	for name, write := range map[string]func(*program){
		"key_amd64.s":    keySchedule,
		"avx512_amd64.s": avx512,
		"avx2_amd64.s":   narrowKernels(2),
		"avx_amd64.s":    narrowKernels(1),
	} {
		p := &program{file: name}
		write(p)
		if err := os.WriteFile(filepath.Join(os.Args[1], name), p.source(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
