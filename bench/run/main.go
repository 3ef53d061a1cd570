// Run makes a run to be kept: every benchmark on one pinned core, then what can
// use two on two, and so on, round after round, with the machine's name above.
//
//	go run ./run [-rounds N] [-benchtime D] [-bench REGEXP] [-o results/DATE-CPU.txt]
//
// Each round runs everything once, and implementations are neighbours in it, so
// that whatever else the machine does falls on all of them. That is why it is
// not -count N, which would repeat one of them N times.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/objseal/objseal/bench/machine"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each benchmark is run")
	benchtime := flag.String("benchtime", "100ms", "how long, as for go test")
	bench := flag.String("bench", "", "which, as for go test; default: all, and several cores for large streams and files")
	cores := flag.Int("cores", runtime.NumCPU(), "how many cores to go up to")
	output := flag.String("o", "", "output file; default: results/<date>-<cpu>.txt")
	flag.Parse()
	if *output == "" {
		*output = filepath.Join("results", time.Now().UTC().Format(time.DateOnly)+"-"+slug(machine.CPU())+".txt")
	}
	if err := run(context.Background(), *rounds, *benchtime, passes(*bench, *cores), *output); err != nil {
		fmt.Fprintf(os.Stderr, "run: error: %v\n", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "wrote %s\n", *output)
}

// A pass is what runs on so many cores.
type pass struct {
	cores int
	bench string
}

// severalCores are the benchmarks that say something on more than one.
const severalCores = "^Benchmark(EncryptReader|DecryptReader|EncryptWriter|DecryptWriter|Seal|Open|FileCopy)$/./^size=(1MiB|64MiB|1GiB)$"

func passes(bench string, most int) []pass {
	first, others := ".", severalCores
	if bench != "" {
		first, others = bench, bench
	}
	all := []pass{{1, first}}
	for _, cores := range []int{2, most} {
		if cores > 1 && cores <= most && !slices.ContainsFunc(all, func(p pass) bool { return p.cores == cores }) {
			all = append(all, pass{cores, others})
		}
	}
	return all
}

func run(ctx context.Context, rounds int, benchtime string, passes []pass, output string) (err error) {
	dir, err := os.MkdirTemp("", "objseal-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("failed to build the benchmarks (run this in the folder bench): %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	f, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if _, err := fmt.Fprintf(f, "%srounds: %d of %s\n", machine.Header(ctx), rounds, benchtime); err != nil {
		return err
	}
	for round := range rounds {
		for _, p := range passes {
			fmt.Fprintf(os.Stderr, "round %d of %d, cores: %d\n", round+1, rounds, p.cores)
			cmd := machine.OnCores(ctx, p.cores, program, "-test.run", "^$", "-test.bench", p.bench, "-test.benchtime", benchtime, "-test.timeout", "2h")
			cmd.Stdout = io.MultiWriter(f, os.Stderr)
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("failed to run the benchmarks: %w", err)
			}
		}
	}
	return nil
}

// slug is a name for a file.
func slug(s string) string {
	return strings.Trim(regexp.MustCompile("[^a-z0-9]+").ReplaceAllString(strings.ToLower(s), "-"), "-")
}
