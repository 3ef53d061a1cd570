//go:build unix

package kessuite

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/cache"
	"github.com/objseal/objseal/sse"
)

// testCount counts the requests that get to a server: an upload makes one, a
// read one at most. A client that asks twice where once will do costs a
// storage server a third of its small uploads.
func testCount(t *testing.T, binary, path string, g Generation) {
	const generate, decrypt = "/v1/key/generate/app-1", "/v1/key/decrypt/app-1"

	t.Run("command", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		door := s.NewDoor(t)
		dir := t.TempDir()
		write(t, filepath.Join(dir, "file"), someBytes(3*65536+1))
		for _, c := range []caller{withAPIKey(path, d, d.APIKey, door), withCertificate(path, d, "app-1", door)} {
			for _, step := range []struct {
				args []string
				want []string
			}{
				{append(c.encrypt("file", "--sse", "kms", "--context", "tenant=a"), "-o", "sealed", "--force"), []string{generate}},
				{append(c.encrypt("file", "--sse", "s3"), "-o", "sealed", "--force"), []string{generate}},
				{[]string{"inspect", "sealed"}, nil},
				{[]string{"decrypt", "--force", "-o", "opened", "sealed"}, []string{decrypt}},
				{[]string{"decrypt", "--force", "-o", "opened", "--range", "65530-70000", "sealed"}, []string{decrypt}},
				{[]string{"decrypt", "-o", "-", "sealed"}, []string{decrypt}},
				{[]string{"verify", "sealed"}, []string{decrypt}},
				{[]string{"rewrap", "--kms-key", "app-2", "sealed"}, []string{decrypt, "/v1/key/generate/app-2"}},
			} {
				door.Take()
				c.must(t, dir, step.args...)
				if got := door.Take(); !slices.Equal(got, step.want) {
					t.Errorf("objseal %s with %s: requests %q, want %q", strings.Join(step.args, " "), c.name, got, step.want)
				}
			}
		}
	})

	t.Run("library", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		door := s.NewDoor(t)
		client := kms.NewClient(backend(t, d, apiKey(t, d.APIKey), nil, door), nil)
		uploadAndRead(t, client, func(what string, requests ...string) {
			t.Helper()
			if got := door.Take(); !slices.Equal(got, requests) {
				t.Errorf("%s: requests %q, want %q", what, got, requests)
			}
		})
	})

	t.Run("1,000 parallel opens with a cache", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		door := s.NewDoor(t)
		cached := cache.New(backend(t, d, apiKey(t, d.APIKey), nil, door), nil)
		t.Cleanup(func() { cached.Close() })
		client := kms.NewClient(cached, nil)
		ciphertext, meta := upload(t, client, 1000)
		door.Take()
		start := make(chan struct{})
		var wait sync.WaitGroup
		for range 1000 {
			wait.Go(func() {
				<-start
				o, err := sse.Open(t.Context(), client, someName, sse.Stored{Metadata: meta, Size: int64(len(ciphertext))}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				o.Wipe()
			})
		}
		close(start)
		wait.Wait()
		if got := door.Take(); !slices.Equal(got, []string{decrypt}) {
			t.Errorf("%d requests, want one: %.200q", len(got), got)
		}
	})

	if !g.CountsRequests {
		return
	}
	t.Run("by the server's own metrics", func(t *testing.T) {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		client := kms.NewClient(backend(t, d, apiKey(t, d.APIKey), nil, s), nil)
		first := answered(t, d, s)
		last := answered(t, d, s)
		own := last - first // whether reading the counters counts
		uploadAndRead(t, client, func(what string, requests ...string) {
			t.Helper()
			now := answered(t, d, s)
			if got := now - last - own; got != len(requests) {
				t.Errorf("%s: the server counts %d requests, want %d", what, got, len(requests))
			}
			last = now
		})
	})
}

// uploadAndRead seals and opens objects through the library and says after
// each step which requests it ought to have made.
func uploadAndRead(t *testing.T, client *kms.Client, expect func(what string, requests ...string)) {
	t.Helper()
	const generate, decrypt = "/v1/key/generate/app-1", "/v1/key/decrypt/app-1"
	for _, size := range []int{0, 1, 65536, 3*65536 + 1} {
		what := fmt.Sprintf("%d bytes", size)
		ciphertext, meta := upload(t, client, size)
		expect(what+": upload", generate)

		o, err := sse.Open(t.Context(), client, someName, sse.Stored{Metadata: meta, Size: int64(len(ciphertext))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r, err := o.NewReader(t.Context(), sse.FetchReaderAt(bytes.NewReader(ciphertext)), sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
		expect(what+": an open and three reads", decrypt)
		o.Wipe()
	}
}

var someName = sse.ObjectName{Bucket: "bucket", Object: "dir/object"}

// upload seals an object of size bytes under app-1.
func upload(t *testing.T, client *kms.Client, size int) (ciphertext []byte, meta map[string]string) {
	t.Helper()
	u, err := sse.Encrypt(t.Context(), client, sse.Request{Method: sse.KMS, KMSKeyID: "app-1"}, someName, bytes.NewReader(someBytes(size)), nil)
	if err == nil {
		ciphertext, err = io.ReadAll(u)
	}
	if err == nil {
		meta, err = u.Metadata()
	}
	if err != nil {
		t.Fatal(err)
	}
	return ciphertext, meta
}

// answered returns how many requests a server says it has answered, well or
// not.
func answered(t *testing.T, d *kesproc.Deployment, s *kesproc.Server) (n int) {
	t.Helper()
	resp, err := client(t, d, time.Minute).Get(s.Endpoint() + "/v1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s", resp.Status)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if counter, _, _ := strings.Cut(name, "{"); counter == "kes_http_request_success" || counter == "kes_http_request_error" || counter == "kes_http_request_failure" {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			n += int(f)
		}
	}
	return n
}
