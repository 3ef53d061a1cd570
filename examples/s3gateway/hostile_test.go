package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestVersions: there is one version of everything. Who means another one gets nothing,
// and above all deletes nothing.
func TestVersions(t *testing.T) {
	g := newGateway(t)
	g.call(http.MethodPut, "/abc/cat", nil, []byte("cat"), http.StatusOK)
	const other = "?versionId=3sL4kqtJlcpXroDTDmJ"
	g.call(http.MethodGet, "/abc/cat"+other, nil, nil, http.StatusNotFound)
	g.call(http.MethodHead, "/abc/cat"+other, nil, nil, http.StatusNotFound)
	g.call(http.MethodDelete, "/abc/cat"+other, nil, nil, http.StatusNotFound)
	g.call(http.MethodPut, "/abc/copy", header("X-Amz-Copy-Source", "/abc/cat"+other), nil, http.StatusNotFound)
	answer := g.call(http.MethodPost, "/abc?delete", nil, []byte("<Delete><Object><Key>cat</Key><VersionId>x</VersionId></Object></Delete>"), http.StatusOK).body
	if !bytes.Contains(answer, []byte("NoSuchVersion")) {
		t.Errorf("%s", answer)
	}
	g.call(http.MethodGet, "/abc/cat?versionId=null", nil, nil, http.StatusOK)
	g.call(http.MethodPut, "/abc/a%3FversionId=b", nil, []byte("another"), http.StatusOK)
	g.call(http.MethodPut, "/abc/copy", header("X-Amz-Copy-Source", "/abc/a%3FversionId=b"), nil, http.StatusOK)
	if a := g.call(http.MethodGet, "/abc/copy", nil, nil, http.StatusOK); string(a.body) != "another" {
		t.Errorf("%q", a.body)
	}
}

// TestHostileNames: no name leads out of the bucket, or to another object.
func TestHostileNames(t *testing.T) {
	g := newGateway(t)
	s := g.g.store
	before := tree(t, s)
	for _, path := range []string{
		"/abc/..", "/abc/../..", "/abc/a/../../b", "/abc/%2e%2e/%2e%2e/b", "/abc/..%2f..%2fb", "/abc/./a", "/abc/a//b",
		"/../abc/a", "/%2e%2e/a", "/_lock/a", "/_lock", "/abc%2f..%2f/a", "/abc/%ff", "/abc/a%c0%af", "/abc/" + strings.Repeat("a", 1025),
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
	for _, id := range []string{"..", "../../abc", "%2e%2e", "a/b", ""} {
		g.call(http.MethodGet, "/abc/a?uploadId="+id, nil, nil, http.StatusNotFound)
		g.call(http.MethodDelete, "/abc/a?uploadId="+id, nil, nil, http.StatusNotFound)
	}
}

// raw sends bytes as they are, and returns the status of the answer.
func raw(t *testing.T, g *testGateway, text string) (status int) {
	t.Helper()
	plain := httptest.NewServer(g.g)
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
	g := newGateway(t)
	s := g.g.store
	encrypted := "X-Amz-Server-Side-Encryption"
	for name, h := range map[string]http.Header{
		"checksum":           header("X-Amz-Checksum-Crc32", "AAAAAA=="),
		"encrypted checksum": header("X-Amz-Checksum-Crc32", "AAAAAA==", encrypted, "AES256"),
		"MD5":                header("Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==", encrypted, "AES256"),
		"SHA-256":            header(headerContentHash, strings.Repeat("0", 64)),
		"chunks":             header(headerContentHash, signed, headerDecodedLength, "7"),
		"condition":          header("If-Match", `"another"`),
	} {
		if a, err := g.do(http.MethodPut, "/abc/cat", h, []byte("content")); err != nil || a.status < 400 {
			t.Errorf("%s: stored", name)
		}
		if data, records := count(t, s); data+records != 0 {
			t.Errorf("%s: %d data files, %d records", name, data, records)
		}
	}
	id := g.create("/abc/cat", header(encrypted, "AES256"))
	if a, err := g.do(http.MethodPut, "/abc/cat?partNumber=1&uploadId="+id, header("X-Amz-Checksum-Crc32", "AAAAAA=="), []byte("content")); err != nil || a.status < 400 {
		t.Error("part: stored")
	}
	g.call(http.MethodPut, "/abc/cat?partNumber=1&uploadId="+id+"A", nil, []byte("content"), http.StatusNotFound)
	if status := raw(t, g, "PUT /abc/cat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ncontent"); status != http.StatusBadRequest {
		t.Errorf("a body that breaks off: %d", status)
	}
	if data, records := count(t, s); data+records != 0 {
		t.Errorf("%d data files, %d records", data, records)
	}
}

// TestHostileForm: a form may not have endless fields, and what it says of metadata and
// digests is held to the rules of headers.
func TestHostileForm(t *testing.T) {
	g := newGateway(t)
	s := g.g.store
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
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/abc", &text)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", form.FormDataContentType())
		got, err := g.Client().Do(req)
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
	if a := g.call(http.MethodGet, "/abc/cat", nil, nil, http.StatusOK); a.header.Get("X-Evil") != "" || string(a.body) != "content" {
		t.Errorf("%v %q", a.header, a.body)
	}
}

// TestResponseHeaders: a link to an object can say under which name and type it is saved,
// and nothing else of the answer.
func TestErrorsHaveNoObjectHeaders(t *testing.T) {
	g := newGateway(t)
	g.call(http.MethodPut, "/abc/cat", header("Content-Encoding", "gzip"), []byte("cat"), http.StatusOK)
	h := g.call(http.MethodGet, "/abc/cat?response-content-type=text/plain&response-set-cookie=a&response-etag=b&response-x-amz-server-side-encryption=AES256&response-content-length=1", header("Accept-Encoding", "identity"), nil, http.StatusOK).header
	if h.Get("Content-Type") != "text/plain" || h.Get("Set-Cookie") != "" || strings.Contains(h.Get("ETag"), "b\"") && len(h.Get("ETag")) < 10 || h.Get("X-Amz-Server-Side-Encryption") != "" || h.Get("Content-Length") != "3" {
		t.Errorf("%v", h)
	}
	h = g.call(http.MethodGet, "/abc/cat", header("If-Match", `"another"`, "Accept-Encoding", "identity"), nil, http.StatusPreconditionFailed).header
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
		req := httptest.NewRequest(test.method, "/abc", nil)
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
