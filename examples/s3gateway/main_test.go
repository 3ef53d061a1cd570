package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestServe: it says where it listens, has the keys of the environment, and stops when it
// is told to, with the requests finished that are under way.
func TestServe(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "k1:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8=")
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	says, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, []string{"--dir", dir, "--listen", "127.0.0.1:0"}, stdout, io.Discard)
	}()
	line := make([]byte, 200)
	n, err := says.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on ")
	if u, err := url.Parse(address); !ok || err != nil || u.Port() == "0" || u.Scheme != "http" {
		t.Fatalf("%q: %v", line[:n], err)
	}
	send := func(method, path string, body io.Reader) *http.Response {
		req, err := http.NewRequest(method, address+path, body)
		if err != nil {
			t.Error(err)
			return nil
		}
		if body != nil {
			req.ContentLength = 7
		}
		req.Header.Set(encryptionHeader, "AES256")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return nil
		}
		resp.Body.Close()
		return resp
	}
	send("PUT", "/abc", nil)
	body, rest := io.Pipe()
	answered := make(chan *http.Response, 1)
	go func() { answered <- send("PUT", "/abc/o", body) }()
	if _, err := rest.Write([]byte("cont")); err != nil {
		t.Fatal(err)
	}
	for files := []os.DirEntry(nil); len(files) == 0; time.Sleep(time.Millisecond) { // until it is under way
		if files, err = os.ReadDir(filepath.Join(dir, "abc", "data")); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if _, err := rest.Write([]byte("ent")); err != nil {
		t.Fatal(err)
	}
	rest.Close()
	if resp := <-answered; resp == nil || resp.StatusCode != 200 || resp.Header.Get(encryptionHeader) != "AES256" {
		t.Errorf("the request under way: %+v", resp)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args  []string
		usage bool
	}{
		{[]string{"--listen", "127.0.0.1:0"}, true},
		{[]string{"--dir", dir, "--listen", "0.0.0.0:0"}, true},
		{[]string{"--dir", dir, "--listen", ":0"}, true},
		{[]string{"--dir", dir, "--listen", "[::]:0"}, true},
		{[]string{"--dir", dir, "--listen", "192.0.2.1:0"}, true},
		{[]string{"--dir", dir, "--listen", "localhost.example:0"}, true},
		{[]string{"--dir", dir, "--cert", "x", "--listen", "127.0.0.1:0"}, true},
		{[]string{"--dir", dir, "--etag", "sha", "--listen", "127.0.0.1:0"}, true},
		{[]string{"--dir", dir, "more"}, true},
		{[]string{"--dir", filepath.Join(dir, "none"), "--listen", "127.0.0.1:0"}, false},
		{[]string{"--dir", dir, "--listen", "127.0.0.1:0", "--cert", filepath.Join(dir, "c"), "--key", filepath.Join(dir, "k")}, false},
	} {
		err := serve(t.Context(), test.args, io.Discard, io.Discard)
		if err == nil || errors.Is(err, errUsage) != test.usage {
			t.Errorf("%v: %v", test.args, err)
		}
	}
	if err := serve(t.Context(), []string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

// TestConcurrently: clients that write, read, copy and delete one object at once see only
// whole ones, and leave nothing behind.
func TestConcurrently(t *testing.T) {
	s := newGateway(t)
	all := schemes()[:3]
	var group sync.WaitGroup
	do := func(method, path string, h http.Header, body []byte) answer {
		a, err := s.do(method, path, h, body)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		if a.status >= 300 && a.code != "NoSuchKey" && a.code != "InvalidRequest" {
			t.Errorf("%s %s: %d %s %s", method, path, a.status, a.code, a.message)
		}
		return a
	}
	for i := range 6 {
		group.Go(func() {
			for j := range 10 {
				content := bytes.Repeat([]byte{byte('a' + i)}, 1000*(j+1))
				do("PUT", "/abc/o", all[(i+j)%3].write, content)
				if a := do("GET", "/abc/o", nil, nil); a.status == 200 && (len(a.body)%1000 != 0 || len(bytes.Trim(a.body, string(a.body[:1]))) > 0) {
					t.Errorf("%d bytes of several objects", len(a.body))
				}
				do("PUT", "/abc/o", with(all[j%3].write, "X-Amz-Copy-Source", "/abc/o"), nil)
				if j%4 == 3 {
					do("DELETE", "/abc/o", nil, nil)
				}
				do("GET", "/abc?list-type=2", nil, nil)
			}
		})
	}
	group.Wait()
	do("PUT", "/abc/o", nil, []byte("the last"))
	if data, records := count(t, s.g.store); data != 1 || records != 1 {
		t.Errorf("%d data files, %d records", data, records)
	}
	do("DELETE", "/abc/o", nil, nil)
	if data, _ := count(t, s.g.store); data != 0 {
		t.Errorf("%d data files of nothing", data)
	}
	if len(s.g.store.pins) != 0 {
		t.Errorf("%d files are pinned", len(s.g.store.pins))
	}
}

// TestCutBody: of an upload that ends early nothing stays.
func TestCutBody(t *testing.T) {
	s := newGateway(t)
	id := s.create("/abc/o", nil)
	for _, path := range []string{"/abc/o", "/abc/o?partNumber=1&uploadId=" + id} {
		body, rest := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "PUT", s.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 20
		failed := make(chan error, 1)
		go func() {
			_, err := s.Client().Do(req)
			failed <- err
		}()
		if _, err := rest.Write(text(100000)); err != nil {
			t.Fatal(err)
		}
		cancel()
		rest.CloseWithError(context.Canceled) // the client waits for its body, too
		if err := <-failed; err == nil {
			t.Error("an answer to a request that was cut")
		}
	}
	s.Close() // waits for the handlers
	if data, records := count(t, s.g.store); data != 0 || records != 0 {
		t.Errorf("%d data files, %d records", data, records)
	}
}
