package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newServed is a server with one bucket, and its store.
func newServed(t *testing.T) (*served, *store) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g := startGateway(t, dir, builtInEnv(t, "key"))
	g.do(http.MethodPut, "/photos", nil, nil, http.StatusOK)
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.root.Close() })
	return g, s
}

// TestVersions: there is one version of everything. Who means another one gets nothing,
// and above all deletes nothing.
func TestVersions(t *testing.T) {
	g, _ := newServed(t)
	g.do(http.MethodPut, "/photos/cat", nil, []byte("cat"), http.StatusOK)
	const other = "?versionId=3sL4kqtJlcpXroDTDmJ"
	g.do(http.MethodGet, "/photos/cat"+other, nil, nil, http.StatusNotFound)
	g.do(http.MethodHead, "/photos/cat"+other, nil, nil, http.StatusNotFound)
	g.do(http.MethodDelete, "/photos/cat"+other, nil, nil, http.StatusNotFound)
	g.do(http.MethodPut, "/photos/copy", header("X-Amz-Copy-Source", "/photos/cat"+other), nil, http.StatusNotFound)
	_, answer := g.do(http.MethodPost, "/photos?delete", nil, []byte("<Delete><Object><Key>cat</Key><VersionId>x</VersionId></Object></Delete>"), http.StatusOK)
	if !bytes.Contains(answer, []byte("NoSuchVersion")) {
		t.Errorf("%s", answer)
	}
	g.do(http.MethodGet, "/photos/cat?versionId=null", nil, nil, http.StatusOK)
	g.do(http.MethodPut, "/photos/a%3FversionId=b", nil, []byte("another"), http.StatusOK)
	g.do(http.MethodPut, "/photos/copy", header("X-Amz-Copy-Source", "/photos/a%3FversionId=b"), nil, http.StatusOK)
	if _, got := g.do(http.MethodGet, "/photos/copy", nil, nil, http.StatusOK); string(got) != "another" {
		t.Errorf("%q", got)
	}
}

// TestHostileNames: no name leads out of the bucket, or to another object.
func TestHostileNames(t *testing.T) {
	g, s := newServed(t)
	before := tree(t, s)
	for _, path := range []string{
		"/photos/..", "/photos/../..", "/photos/a/../../b", "/photos/%2e%2e/%2e%2e/b", "/photos/..%2f..%2fb", "/photos/./a", "/photos/a//b",
		"/../photos/a", "/%2e%2e/a", "/_lock/a", "/_lock", "/photos%2f..%2f/a", "/photos/%ff", "/photos/a%c0%af", "/photos/" + strings.Repeat("a", 1025),
	} {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete} {
			if status := raw(t, g, method+" "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"); status < 400 {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	if after := tree(t, s); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%q became %q", before, after)
	}
	for _, id := range []string{"..", "../../photos", "%2e%2e", "a/b", ""} {
		g.do(http.MethodGet, "/photos/a?uploadId="+id, nil, nil, http.StatusNotFound)
		g.do(http.MethodDelete, "/photos/a?uploadId="+id, nil, nil, http.StatusNotFound)
	}
}

// raw sends bytes as they are, and returns the status of the answer.
func raw(t *testing.T, g *served, text string) (status int) {
	t.Helper()
	plain := httptest.NewServer(g.server.Config.Handler)
	defer plain.Close()
	c, err := net.Dial("tcp", plain.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	if _, err := fmt.Fscanf(c, "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	return status
}

// TestFailedUploads: what is refused, or breaks off, leaves no file behind.
func TestFailedUploads(t *testing.T) {
	g, s := newServed(t)
	encrypted := "X-Amz-Server-Side-Encryption"
	for name, h := range map[string]http.Header{
		"checksum":           header("X-Amz-Checksum-Crc32", "AAAAAA=="),
		"encrypted checksum": header("X-Amz-Checksum-Crc32", "AAAAAA==", encrypted, "AES256"),
		"MD5":                header("Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==", encrypted, "AES256"),
		"SHA-256":            header(headerContentHash, strings.Repeat("0", 64)),
		"chunks":             header(headerContentHash, signed, headerDecodedLength, "7"),
		"condition":          header("If-Match", `"another"`),
	} {
		if _, _, err := g.send(http.MethodPut, "/photos/cat", h, []byte("content"), http.StatusOK); err == nil {
			t.Errorf("%s: stored", name)
		}
		if data, records := count(t, s); data+records != 0 {
			t.Errorf("%s: %d data files, %d records", name, data, records)
		}
	}
	id := g.createUpload("/photos/cat", header(encrypted, "AES256"))
	if _, _, err := g.send(http.MethodPut, "/photos/cat?partNumber=1&uploadId="+id, header("X-Amz-Checksum-Crc32", "AAAAAA=="), []byte("content"), http.StatusOK); err == nil {
		t.Error("part: stored")
	}
	g.do(http.MethodPut, "/photos/cat?partNumber=1&uploadId="+id+"A", nil, []byte("content"), http.StatusNotFound)
	if status := raw(t, g, "PUT /photos/cat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ncontent"); status != http.StatusBadRequest {
		t.Errorf("a body that breaks off: %d", status)
	}
	if data, records := count(t, s); data+records != 0 {
		t.Errorf("%d data files, %d records", data, records)
	}
}

// TestHostileForm: a form may not have endless fields, and what it says of metadata and
// digests is held to the rules of headers.
func TestHostileForm(t *testing.T) {
	g, s := newServed(t)
	post := func(fields ...string) (status int, answer string) {
		t.Helper()
		var text bytes.Buffer
		form := multipart.NewWriter(&text)
		for i := 0; i < len(fields); i += 2 {
			form.WriteField(fields[i], fields[i+1])
		}
		file, err := form.CreateFormFile("file", "cat.jpg")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(file, "content")
		form.Close()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.server.URL+"/photos", &text)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", form.FormDataContentType())
		got, err := g.server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		body, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return got.StatusCode, string(body)
	}
	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprintf("field-%d", i), "")
	}
	for name, fields := range map[string][]string{
		"many fields":       append(many, "key", "cat"),
		"a long field":      {"key", "cat", "x-amz-meta-a", strings.Repeat("a", 1<<16)},
		"no key":            {},
		"a path":            {"key", "../${filename}"},
		"reserved metadata": {"key", "cat", "X-Minio-Internal-Server-Side-Encryption-Iv", "AAAA"},
		"MD5":               {"key", "cat", "Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="},
		"checksum":          {"key", "cat", "x-amz-checksum-crc32", "AAAAAA=="},
	} {
		if status, answer := post(fields...); status < 400 || status >= 500 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if data, records := count(t, s); data+records != 0 {
		t.Errorf("%d data files, %d records", data, records)
	}
	if status, answer := post("key", "cat", "x-amz-meta-a", "b\r\nX-Evil: 1", "x-amz-meta-c\nX-Evil", "1", "Content-Type", "text/plain\r\nX-Evil: 1"); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, answer)
	}
	if h, got := g.do(http.MethodGet, "/photos/cat", nil, nil, http.StatusOK); h.Get("X-Evil") != "" || string(got) != "content" {
		t.Errorf("%v %q", h, got)
	}
}

// TestResponseHeaders: a link to an object can say under which name and type it is saved,
// and nothing else of the answer.
func TestErrorsHaveNoObjectHeaders(t *testing.T) {
	g, _ := newServed(t)
	g.do(http.MethodPut, "/photos/cat", header("Content-Encoding", "gzip"), []byte("cat"), http.StatusOK)
	h, _ := g.do(http.MethodGet, "/photos/cat?response-content-type=text/plain&response-set-cookie=a&response-etag=b&response-x-amz-server-side-encryption=AES256&response-content-length=1", header("Accept-Encoding", "identity"), nil, http.StatusOK)
	if h.Get("Content-Type") != "text/plain" || h.Get("Set-Cookie") != "" || strings.Contains(h.Get("ETag"), "b\"") && len(h.Get("ETag")) < 10 || h.Get("X-Amz-Server-Side-Encryption") != "" || h.Get("Content-Length") != "3" {
		t.Errorf("%v", h)
	}
	h, _ = g.do(http.MethodGet, "/photos/cat", header("If-Match", `"another"`, "Accept-Encoding", "identity"), nil, http.StatusPreconditionFailed)
	if h.Get("Content-Encoding") != "" {
		t.Errorf("an error has the object's headers: %v", h)
	}
}

// TestOnlyLocal: a browser's pages of other sites are kept out, clients are not.
func TestOnlyLocal(t *testing.T) {
	h := onlyLocal(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, test := range []struct {
		method, host string
		header       http.Header
		want         int
	}{
		{"GET", "127.0.0.1:9000", nil, 200},
		{"GET", "[::1]:9000", nil, 200},
		{"GET", "[::1]", nil, 200},
		{"GET", "localhost:9000", nil, 200},
		{"GET", "localhost", nil, 200},
		{"PUT", "127.0.0.1:9000", nil, 200},
		{"POST", "127.0.0.1:9000", nil, 200},
		{"GET", "evil.example:9000", nil, 403},
		{"GET", "127.0.0.1.evil.example", nil, 403},
		{"GET", "192.0.2.1:9000", nil, 403},
		{"GET", "", nil, 403},
		{"POST", "127.0.0.1:9000", header("Origin", "https://evil.example"), 403},
		{"POST", "127.0.0.1:9000", header("Sec-Fetch-Site", "cross-site"), 403},
		{"POST", "127.0.0.1:9000", header("Origin", "null"), 403},
	} {
		req := httptest.NewRequest(test.method, "/photos", nil)
		req.Host = test.host
		if test.header != nil {
			req.Header = test.header
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != test.want {
			t.Errorf("%+v: %d", test, w.Code)
		}
	}
}

// TestDurable: the store of the commands does what that of the tests does.
func TestDurable(t *testing.T) {
	s, err := openDurable(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.root.Close()
	if err := s.makeBucket("abc"); err != nil {
		t.Fatal(err)
	}
	r := newRecord(t, s, "abc", "key", "text")
	if err := s.put(r, nil); err != nil {
		t.Fatal(err)
	}
	if r, err := s.get(r.name()); err != nil || content(t, s, r) != "text" {
		t.Errorf("%v: %v", r, err)
	}
}
