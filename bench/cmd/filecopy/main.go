// Filecopy takes one file to another one and ends: the whole process that go run
// ./files measures. The key is built in, so what it writes is no secret.
//
//	filecopy -impl objseal|objseal-generic|sio|copy [-op encrypt|decrypt] [-workers N] SRC DST
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/objseal/objseal/bench/peers"
)

func main() {
	impl := flag.String("impl", "objseal", "objseal, objseal-generic, sio, or copy for the plain loop")
	op := flag.String("op", "encrypt", "encrypt or decrypt")
	workers := flag.Int("workers", 1, "cores to use, for what can use several")
	flag.Parse()
	if flag.NArg() != 2 || *workers < 1 || *op != "encrypt" && *op != "decrypt" {
		flag.Usage()
		os.Exit(2)
	}
	key := [peers.KeySize]byte([]byte("a key for benchmarks, no secret."))
	job := peers.FileJob{Impl: *impl, Workers: *workers, Decrypt: *op == "decrypt", Key: &key}
	if err := job.Run(flag.Arg(1), flag.Arg(0)); err != nil {
		fmt.Fprintf(os.Stderr, "filecopy: error: %v\n", err)
		os.Exit(1)
	}
}
