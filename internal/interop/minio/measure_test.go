//go:build linux

package minio_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/internal/interop/process"
)

// What the measurements are made with. The defaults only show that they work; for
// figures that mean something: -small 100000 -large 5120 -pairs 3.
var (
	smallObjects = flag.Int("small", 200, "how many objects TestSpeedSmall recovers")
	largeObject  = flag.Int64("large", 32, "the MiB of TestSpeedLarge's object")
	pairs        = flag.Int("pairs", 1, "how often each measurement is made")
)

// A cost is what a process took.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // resident memory, bytes; before exec it is that of the test, some 17 MiB
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s, %.2f s of processors, %d MiB at most", c.wall.Seconds(), c.cpu.Seconds(), c.peak>>20)
}

// measure runs a command that must succeed, its output to w.
func measure(t *testing.T, w io.Writer, env []string, path string, args ...string) cost {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%.4000s", filepath.Base(path), args[0], err, stderr.String())
	}
	c := cost{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss << 10
	}
	return c
}

// scratch returns a new directory beside the drives: on the same file system.
func scratch(t *testing.T, server *minioproc.Server) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(server.Drives[0]), "out-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSpeedSmall: many small encrypted objects on one drive, against cp -r of the
// same tree.
func TestSpeedSmall(t *testing.T) {
	binary, objseal := minioproc.Build(t, "."), process.Build(t, filepath.Join("..", "..", ".."), "./cmd/objseal")
	secret := newSecret()
	server := minioproc.Start(t, binary, &minioproc.Options{Env: []string{secret}})
	client := s3client.New(t, server)
	s3client.MakeBucket(t, client, "small")
	var next atomic.Int64
	var stored atomic.Int64
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			data := make([]byte, 10_000)
			for i := range data {
				data[i] = byte(random.Uint32())
			}
			for n := next.Add(1); n <= int64(*smallObjects) && !t.Failed(); n = next.Add(1) {
				size := 1000 + random.IntN(len(data)-1000)
				_, err := client.Client.PutObject(t.Context(), "small", fmt.Sprintf("%02x/%d", n%256, n), bytes.NewReader(data[:size]), int64(size),
					minio.PutObjectOptions{ServerSideEncryption: encrypt.NewSSE(), DisableMultipart: true})
				if err != nil {
					t.Errorf("failed to store an object: %v", err)
				}
				stored.Add(int64(size))
			}
		})
	}
	wg.Wait()
	server.Stop(t)
	if t.Failed() {
		return
	}
	for range *pairs {
		out, plain := scratch(t, server), scratch(t, server)
		report := filepath.Join(t.TempDir(), "report.jsonl")
		ours := measure(t, nil, []string{secret}, objseal, "drive", "recover", "--out", out, "--report", report, server.Drives[0])
		floor := measure(t, nil, nil, "cp", "-r", filepath.Join(server.Drives[0], "small"), plain)
		files, size := tree(t, out)
		if files != *smallObjects || size != stored.Load() {
			t.Errorf("%d files of %d bytes, want %d of %d", files, size, *smallObjects, stored.Load())
		}
		t.Logf("%d objects: recover %v (%.0f/s); cp -r %v; ratio %.2f", files, ours, float64(files)/ours.wall.Seconds(), floor, ours.wall.Seconds()/floor.wall.Seconds())
		remove(t, out, plain)
	}
}

// TestSpeedLarge: one large multipart object on four drives, against sha256sum of its
// bytes and cat of the shards.
func TestSpeedLarge(t *testing.T) {
	binary, objseal := minioproc.Build(t, "."), process.Build(t, filepath.Join("..", "..", ".."), "./cmd/objseal")
	secret := newSecret()
	server := minioproc.Start(t, binary, &minioproc.Options{Env: []string{secret}, Drives: 4})
	client := s3client.New(t, server)
	s3client.MakeBucket(t, client, "large")
	sum := sha256.New()
	size := *largeObject << 20
	body := io.TeeReader(io.LimitReader(bufio.NewReaderSize(rand.NewChaCha8([32]byte{1}), 1<<20), size), sum)
	_, err := client.Client.PutObject(t.Context(), "large", "object", body, size, minio.PutObjectOptions{ServerSideEncryption: encrypt.NewSSE(), PartSize: 64 << 20})
	if err != nil {
		t.Fatalf("failed to store the object: %v", err)
	}
	server.Stop(t)
	var shards []string
	for _, drive := range server.Drives {
		parts, err := filepath.Glob(filepath.Join(drive, "large", "object", "*", "part.*"))
		if err != nil || len(parts) == 0 {
			t.Fatalf("no shards on %s: %v", drive, err)
		}
		shards = append(shards, parts...)
	}
	for range *pairs {
		out := scratch(t, server)
		report := filepath.Join(t.TempDir(), "report.jsonl")
		cat := measure(t, io.Discard, nil, "cat", shards...)
		ours := measure(t, nil, []string{secret}, objseal, append([]string{"drive", "recover", "--out", out, "--report", report}, server.Drives...)...)
		var text bytes.Buffer
		hash := measure(t, &text, nil, "sha256sum", filepath.Join(out, "large", "object"))
		if want := hex.EncodeToString(sum.Sum(nil)); text.Len() < len(want) || text.String()[:len(want)] != want {
			t.Error("the recovered object has another SHA-256")
		}
		stream := measure(t, io.Discard, []string{secret}, objseal, append(append([]string{"drive", "cat"}, server.Drives...), "large/object")...)
		t.Logf("%d MiB: recover %v; drive cat %v; sha256sum %v; cat of all shards %v", *largeObject, ours, stream, hash, cat)
		t.Logf("recover / sha256sum %.2f; drive cat / cat of all shards %.2f", ours.wall.Seconds()/hash.wall.Seconds(), stream.wall.Seconds()/cat.wall.Seconds())
		remove(t, out)
	}
}

func newSecret() string {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(rand.Uint32()) // protects nothing but the test's own objects
	}
	return "MINIO_KMS_SECRET_KEY=" + kmsKey + ":" + base64.StdEncoding.EncodeToString(key)
}

// tree returns how many files lie below dir, and their bytes.
func tree(t *testing.T, dir string) (files int, size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, size = files+1, size+info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, size
}

func remove(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}
