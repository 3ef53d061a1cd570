// Package machine says where a figure comes from: what a reader of a benchmark
// must know, and how a process is kept on a few cores.
package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
)

// Header returns the configuration lines of the Go benchmark format that stand
// above a run.
func Header(ctx context.Context) string {
	var b strings.Builder
	for _, l := range [][2]string{
		{"date", time.Now().UTC().Format(time.DateOnly)},
		{"go", runtime.Version()},
		{"commit", commit(ctx)},
		{"goos", runtime.GOOS},
		{"goarch", runtime.GOARCH},
		{"cpu", CPU()},
		{"cores", fmt.Sprint(runtime.NumCPU())},
		{"kernels", fmt.Sprintf("%v %v, %v %v", aead.AES256GCM, aead.AES256GCM.Best(), aead.ChaCha20Poly1305, aead.ChaCha20Poly1305.Best())},
	} {
		fmt.Fprintf(&b, "%s: %s\n", l[0], l[1])
	}
	return b.String()
}

// CPU is what the processor calls itself.
func CPU() string { return strings.Join(strings.Fields(cpu.Name()), " ") }

// commit is that of the working tree, marked if the tree has changes.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// OnCores returns the command that runs a program on the first n cores and no
// others: by GOMAXPROCS, and by taskset where there is one.
func OnCores(ctx context.Context, n int, program string, args ...string) *exec.Cmd {
	line := append([]string{program}, args...)
	if taskset, err := exec.LookPath("taskset"); err == nil && runtime.GOOS == "linux" {
		line = append([]string{taskset, "-c", fmt.Sprintf("0-%d", n-1)}, line...)
	}
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", n))
	cmd.Stderr = os.Stderr
	return cmd
}
