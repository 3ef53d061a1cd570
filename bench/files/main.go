// Files measures file to file, in the page cache, as whole processes of
// cmd/filecopy: start, key, read, seal or open, write over an existing output,
// end. No fsync. The implementations take turns in every round.
//
//	go run ./files [-size 1GiB-in-bytes] [-rounds N] [-dir D] [-o run.txt]
//
// The raw lines are in the Go benchmark format, for go run ./report; a table of
// the medians follows on standard error.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/objseal/objseal/bench/machine"
	"github.com/objseal/objseal/bench/peers"
)

func main() {
	size := flag.Int64("size", 1<<30, "bytes of plaintext")
	rounds := flag.Int("rounds", 7, "how often each is measured")
	dir := flag.String("dir", os.TempDir(), "where the files are made, with room for four of them")
	output := flag.String("o", "", "file for the raw lines; default: standard output")
	flag.Parse()
	if err := run(context.Background(), *size, *rounds, *dir, *output); err != nil {
		fmt.Fprintf(os.Stderr, "files: error: %v\n", err)
		os.Exit(1)
	}
}

// A contest is one process to measure.
type contest struct {
	op             string
	cores, workers int
	impl           string
}

func (c contest) name(size int64) string {
	return fmt.Sprintf("BenchmarkFileProcess/op=%s/size=%s/cores=%d/workers=%d/impl=%s", c.op, sizeName(size), c.cores, c.workers, c.impl)
}

func contests() (all []contest) {
	for _, op := range []string{"encrypt", "decrypt"} {
		for cores := 1; cores <= min(2, runtime.NumCPU()); cores++ {
			for _, impl := range []string{"objseal", "sio", "copy"} {
				for workers := 1; workers <= cores; workers++ {
					if workers == 1 || peers.FileWorkers(impl) {
						all = append(all, contest{op, cores, workers, impl})
					}
				}
			}
		}
	}
	return all
}

func run(ctx context.Context, size int64, rounds int, dir, output string) (err error) {
	work, err := os.MkdirTemp(dir, "objseal-files-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "filecopy")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/objseal/objseal/bench/cmd/filecopy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("failed to build filecopy: %w", err)
	}
	raw := io.Writer(os.Stdout)
	if output != "" {
		f, err := os.Create(output)
		if err != nil {
			return err
		}
		defer f.Close()
		raw = f
	}

	plain := filepath.Join(work, "plain")
	if err := writeRandom(plain, size); err != nil {
		return err
	}
	// What is decrypted; and by its first writing the output that all write over.
	in := func(c contest) (src, dst string) {
		if c.op == "encrypt" {
			return plain, filepath.Join(work, "out")
		}
		return filepath.Join(work, "sealed"), filepath.Join(work, "out")
	}
	if err := execute(ctx, program, contest{"encrypt", 1, 1, "objseal"}, plain, filepath.Join(work, "sealed")); err != nil {
		return err
	}

	fmt.Fprint(raw, machine.Header(ctx))
	times := make(map[contest][]time.Duration)
	for round := range rounds + 1 { // the first one warms up
		for _, c := range contests() {
			src, dst := in(c)
			start := time.Now()
			if err := execute(ctx, program, c, src, dst); err != nil {
				return err
			}
			took := time.Since(start)
			if round == 0 {
				continue
			}
			times[c] = append(times[c], took)
			fmt.Fprintf(raw, "%s 1 %d ns/op %.2f MB/s\n", c.name(size), took.Nanoseconds(), float64(size)/1e6/took.Seconds())
		}
	}
	return table(os.Stderr, times, size)
}

func execute(ctx context.Context, program string, c contest, src, dst string) error {
	cmd := machine.OnCores(ctx, c.cores, program, "-impl", c.impl, "-op", c.op, "-workers", fmt.Sprint(c.workers), src, dst)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("failed to run %s: %w", c.name(0), err)
	}
	return nil
}

// table prints medians, and how they stand to sio and to the plain loop of one
// worker on the same cores.
func table(w io.Writer, times map[contest][]time.Duration, size int64) error {
	median := func(c contest) float64 {
		t := slices.Sorted(slices.Values(times[c]))
		if len(t) == 0 {
			return 0
		}
		return t[len(t)/2].Seconds()
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "op\tcores\tworkers\timpl\tGB/s\t× sio\t× plain copy\t")
	for _, c := range contests() {
		m := median(c)
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%.2f\t%.2f\t%.2f\t\n", c.op, c.cores, c.workers, c.impl, float64(size)/1e9/m,
			median(contest{c.op, c.cores, 1, "sio"})/m, median(contest{c.op, c.cores, 1, "copy"})/m)
	}
	return t.Flush()
}

func writeRandom(name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	// In pieces of 1 MiB: those of io.CopyN would leave a cache of small pieces, as no
	// copied or downloaded file has, which each implementation would read slowly.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(rand.NewChaCha8([32]byte{}), size), make([]byte, 1<<20))
	return err
}

func sizeName(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}
