package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
)

const encryptionHeader = "X-Amz-Server-Side-Encryption"

// TestObject: what is put comes back, with all that was said of it, and the key server is
// asked as often as it must be.
func TestObject(t *testing.T) {
	s := newGateway(t)
	calls := 0
	s.calls.allowed = func(string) error { calls++; return nil }
	for _, scheme := range schemes() {
		for _, size := range []int{0, 1, 65536, 200000} {
			name, content := fmt.Sprintf("/abc/%s/ä %d", scheme.name, size), text(size)
			calls = 0
			put := s.call("PUT", strings.ReplaceAll(name, " ", "%20"), with(scheme.write, "X-Amz-Meta-Some", "thing", "Content-Type", "text/x", "Cache-Control", "no-cache",
				"Content-Md5", md5Of(content), "X-Minio-Not-Kept", "x"), content, 200)
			name = strings.ReplaceAll(name, " ", "%20")
			wantCalls := map[string]int{"none": 0, "S3": 1, "KMS": 1, "C": 0}[scheme.name]
			if calls != wantCalls {
				t.Errorf("PUT %s: %d requests to the key server", name, calls)
			}
			calls = 0
			got := s.call("GET", name, scheme.read, nil, 200)
			if !bytes.Equal(got.body, content) || calls != wantCalls {
				t.Errorf("GET %s: %d bytes, %d requests to the key server", name, len(got.body), calls)
			}
			head := s.call("HEAD", name, scheme.read, nil, 200)
			if len(head.body) != 0 {
				t.Errorf("HEAD %s: %d bytes", name, len(head.body))
			}
			for _, h := range []http.Header{got.header, head.header} {
				for field, want := range map[string]string{
					"X-Amz-Meta-Some": "thing", "Content-Type": "text/x", "Cache-Control": "no-cache", "Accept-Ranges": "bytes", "X-Minio-Not-Kept": "",
					"Etag": put.header.Get("Etag"), "Content-Length": fmt.Sprint(size), encryptionHeader: put.header.Get(encryptionHeader),
					"X-Amz-Server-Side-Encryption-Context": scheme.write.Get("X-Amz-Server-Side-Encryption-Context"),
				} {
					if h.Get(field) != want {
						t.Errorf("%s: %s %q, not %q", name, field, h.Get(field), want)
					}
				}
				for field := range h {
					if strings.Contains(field, "Internal") {
						t.Errorf("%s: %s", name, field)
					}
				}
			}
			isMD5 := strings.Trim(put.header.Get("Etag"), `"`) == md5Hex(content)
			if isMD5 != (scheme.name == "none" || scheme.name == "S3") {
				t.Errorf("%s: ETag %s", name, put.header.Get("Etag"))
			}
			if wrong := with(customerHeaders(bytes.Repeat([]byte{8}, 32))); scheme.name == "C" {
				s.refused("GET", name, wrong, nil, "AccessDenied")
				s.refused("HEAD", name, wrong, nil, "AccessDenied")
				s.refused("GET", name, nil, nil, "InvalidRequest")
			}
			s.call("DELETE", name, nil, nil, 204)
			s.call("DELETE", name, nil, nil, 204)
			s.refused("GET", name, scheme.read, nil, "NoSuchKey")
		}
	}
	if data, _ := count(t, s.g.store); data != 0 {
		t.Errorf("%d data files of deleted objects", data)
	}
}

// TestRanges: of objects in one stream and in parts, under every scheme.
func TestRanges(t *testing.T) {
	s := newGateway(t)
	long := text(minPartSize + 70001)
	for _, scheme := range schemes() {
		s.call("PUT", "/abc/single", scheme.write, long[:150000], 200)
		s.upload("/abc/parts", scheme.write, map[int][]byte{3: long[:minPartSize], 8: long[minPartSize:]}, 8, 3)
		s.call("PUT", "/abc/empty", scheme.write, nil, 200)
		for name, content := range map[string][]byte{"/abc/single": long[:150000], "/abc/parts": long, "/abc/empty": nil} {
			size := len(content)
			type span struct {
				header      string
				status      int
				first, last int
			}
			ranges := []span{
				{"bytes=0-0", 206, 0, 0}, {"bytes=0-", 206, 0, size - 1}, {"bytes=65535-65536", 206, 65535, 65536},
				{fmt.Sprintf("bytes=%d-%d", size-1, size+10), 206, size - 1, size - 1}, {"bytes=-1", 206, size - 1, size - 1},
				{"bytes=-70000", 206, size - 70000, size - 1}, {fmt.Sprintf("bytes=-%d", size+1), 206, 0, size - 1}, {"bytes=0-9223372036854775807", 206, 0, size - 1},
				{fmt.Sprintf("bytes=%d-", size), 416, 0, 0}, {"bytes=-0", 416, 0, 0},
				{"bytes=0-0,2-3", 200, 0, size - 1}, {"bytes=2-1", 200, 0, size - 1}, {"bytes=a-b", 200, 0, size - 1}, {"lines=0-1", 200, 0, size - 1},
				{"bytes=-", 200, 0, size - 1}, {"bytes=--1", 200, 0, size - 1}, {"bytes", 200, 0, size - 1}, {"bytes=0-99999999999999999999", 200, 0, size - 1},
			}
			if name == "/abc/parts" { // of which the whole is worth reading once or twice
				ranges = slices.DeleteFunc(ranges, func(r span) bool {
					return r.first == 0 && r.last == size-1 && r.header != "bytes=0-" && r.header != "bytes=0-0,2-3"
				})
				ranges = append(ranges, span{fmt.Sprintf("bytes=%d-%d", minPartSize-1, minPartSize), 206, minPartSize - 1, minPartSize},
					span{fmt.Sprintf("bytes=%d-%d", minPartSize, minPartSize+65536), 206, minPartSize, minPartSize + 65536})
			}
			if size == 0 {
				ranges = []span{{"bytes=0-", 416, 0, 0}, {"bytes=-1", 416, 0, 0}, {"bytes=0-0", 416, 0, 0}, {"", 200, 0, -1}}
			}
			for _, r := range ranges {
				for _, method := range []string{"GET", "HEAD"} {
					a := s.call(method, name, with(scheme.read, "Range", r.header), nil, r.status)
					if r.status == 416 {
						if a.code != "InvalidRange" || a.header.Get("Content-Type") == "binary/octet-stream" {
							t.Errorf("%s %s %s %s: %s", scheme.name, method, name, r.header, a.code)
						}
						continue
					}
					want, shown := content[r.first:r.last+1], ""
					if r.status == 206 {
						shown = fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, size)
					}
					if a.header.Get("Content-Range") != shown || a.header.Get("Content-Length") != fmt.Sprint(len(want)) {
						t.Errorf("%s %s %s %s: Content-Range %q, Content-Length %s", scheme.name, method, name, r.header, a.header.Get("Content-Range"), a.header.Get("Content-Length"))
					}
					if method == "GET" && !bytes.Equal(a.body, want) {
						t.Errorf("%s %s %s: other bytes", scheme.name, name, r.header)
					}
				}
			}
		}
		for number, want := range map[int][]byte{3: long[:minPartSize], 8: long[minPartSize:]} {
			for _, method := range []string{"GET", "HEAD"} {
				a := s.call(method, fmt.Sprintf("/abc/parts?partNumber=%d", number), scheme.read, nil, 206)
				if method == "GET" && !bytes.Equal(a.body, want) || a.header.Get("Content-Length") != fmt.Sprint(len(want)) || a.header.Get("X-Amz-Mp-Parts-Count") != "2" {
					t.Errorf("%s %s part %d: %s bytes of %s parts", scheme.name, method, number, a.header.Get("Content-Length"), a.header.Get("X-Amz-Mp-Parts-Count"))
				}
			}
		}
		if a := s.call("GET", "/abc/single?partNumber=1", scheme.read, nil, 206); len(a.body) != 150000 || a.header.Get("X-Amz-Mp-Parts-Count") != "" {
			t.Errorf("%s: part 1 of a whole object has %d bytes", scheme.name, len(a.body))
		}
		for _, method := range []string{"GET", "HEAD"} {
			s.call(method, "/abc/parts?partNumber=4", scheme.read, nil, 416)
			s.call(method, "/abc/single?partNumber=2", scheme.read, nil, 416)
			for _, number := range []string{"0", "-1", "10001", "x"} {
				s.refused(method, "/abc/parts?partNumber="+number, scheme.read, nil, "InvalidArgument")
			}
			s.refused(method, "/abc/parts?partNumber=3", with(scheme.read, "Range", "bytes=0-1"), nil, "InvalidRequest")
		}
	}
}

func TestConditions(t *testing.T) {
	s := newGateway(t)
	for _, scheme := range schemes() {
		put := s.call("PUT", "/abc/o", with(scheme.write, "Content-Encoding", "br"), []byte("content"), 200)
		etag := put.header.Get("Etag")
		head := s.call("HEAD", "/abc/o", scheme.read, nil, 200)
		modified, err := http.ParseTime(head.header.Get("Last-Modified"))
		if err != nil {
			t.Fatal(err)
		}
		same, before, after := modified.Format(http.TimeFormat), modified.Add(-time.Hour).Format(http.TimeFormat), modified.Add(time.Hour).Format(http.TimeFormat)
		for _, test := range []struct {
			headers []string
			status  int
		}{
			{[]string{"If-Match", etag}, 200}, {[]string{"If-Match", `"x", ` + etag}, 200}, {[]string{"If-Match", "*"}, 200}, {[]string{"If-Match", strings.Trim(etag, `"`)}, 200},
			{[]string{"If-Match", `"x"`}, 412}, {[]string{"If-None-Match", etag}, 304}, {[]string{"If-None-Match", "*"}, 304}, {[]string{"If-None-Match", `"x"`}, 200},
			{[]string{"If-Modified-Since", before}, 200}, {[]string{"If-Modified-Since", same}, 304}, {[]string{"If-Modified-Since", after}, 304}, {[]string{"If-Modified-Since", "nonsense"}, 200},
			{[]string{"If-Unmodified-Since", before}, 412}, {[]string{"If-Unmodified-Since", same}, 200}, {[]string{"If-Unmodified-Since", after}, 200},
			{[]string{"If-Match", etag, "If-Unmodified-Since", before}, 200}, // an ETag says more than a time
			{[]string{"If-None-Match", `"x"`, "If-Modified-Since", after}, 200},
			{[]string{"If-Match", etag, "If-None-Match", etag}, 304},
		} {
			for _, method := range []string{"GET", "HEAD"} {
				a := s.call(method, "/abc/o", with(scheme.read, test.headers...), nil, test.status)
				if test.status == 304 && (len(a.body) > 0 || a.header.Get("Etag") != etag) {
					t.Errorf("%s %v: %d bytes, ETag %s", method, test.headers, len(a.body), a.header.Get("Etag"))
				}
				if test.status == 412 && (a.code != "PreconditionFailed" || a.header.Get("Content-Encoding") != "") {
					t.Errorf("%s %v: %s, %v", method, test.headers, a.code, a.header)
				}
			}
		}
		// Of what is written, and of the source of a copy.
		s.refused("PUT", "/abc/o", with(scheme.write, "If-None-Match", "*"), nil, "PreconditionFailed")
		s.refused("PUT", "/abc/o", with(scheme.write, "If-Match", `"x"`), nil, "PreconditionFailed")
		s.refused("PUT", "/abc/new", with(scheme.write, "If-Match", `"x"`), nil, "NoSuchKey")
		s.call("PUT", "/abc/o", with(scheme.write, "If-Match", etag), []byte("content"), 200)
		s.call("PUT", "/abc/new", with(scheme.write, "If-None-Match", "*"), nil, 200)
		etag = s.call("HEAD", "/abc/o", scheme.read, nil, 200).header.Get("Etag")
		for _, test := range []struct{ name, value, code string }{
			{"Match", etag, ""}, {"Match", `"x"`, "PreconditionFailed"}, {"None-Match", etag, "PreconditionFailed"}, {"None-Match", `"x"`, ""},
			{"Modified-Since", after, "PreconditionFailed"}, {"Modified-Since", before, ""}, {"Unmodified-Since", before, "PreconditionFailed"}, {"Unmodified-Since", after, ""},
		} {
			s.refused("PUT", "/abc/copy", with(scheme.copyHeaders("/abc/o"), "X-Amz-Copy-Source-If-"+test.name, test.value), nil, test.code)
		}
		for _, name := range []string{"o", "new", "copy"} {
			s.call("DELETE", "/abc/"+name, nil, nil, 204)
		}
	}
	if data, _ := count(t, s.g.store); data != 0 {
		t.Errorf("%d data files of nothing", data)
	}
}

// TestDamage: damaged bytes are not delivered as an object, wherever the damage is.
func TestDamage(t *testing.T) {
	s := newGateway(t)
	content := text(200000)
	for _, scheme := range schemes() {
		for where, cut := range map[string]func(file string){
			"in the first package": func(file string) { damage(t, file, 100) },
			"in the last byte":     func(file string) { damage(t, file, fileSize(t, file)-1) },
			"in the middle":        func(file string) { damage(t, file, 100000) },
			"at the end, cut":      func(file string) { truncate(t, file, fileSize(t, file)-1) },
			"all of it":            func(file string) { truncate(t, file, 0) },
		} {
			s.call("PUT", "/abc/o", with(scheme.write, "Content-Disposition", "attachment"), content, 200)
			cut(s.dataOf("o")[0])
			a, err := s.do("GET", "/abc/o", scheme.read, nil)
			switch {
			case err == nil && a.status == 200:
				t.Errorf("%s, %s: 200 and %d bytes", scheme.name, where, len(a.body))
			case err == nil && (a.status != 500 || a.code != "XMinioObjectTampered" || a.header.Get("Content-Disposition") != ""):
				t.Errorf("%s, %s: %d %s %v", scheme.name, where, a.status, a.code, a.header)
			case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
				t.Errorf("%s, %s: %v", scheme.name, where, err)
			}
			if where == "in the first package" && scheme.name != "none" && err != nil {
				t.Errorf("%s: nothing was delivered, and yet the answer is %v", scheme.name, err)
			}
		}
	}
	// A part dropped in the record: only the checksum of the whole shows it.
	h := header("X-Amz-Checksum-Algorithm", "CRC32C", "X-Amz-Server-Side-Encryption", "AES256")
	s.upload("/abc/p", h, map[int][]byte{1: text(minPartSize), 2: text(10)}, 1, 2)
	n := s.g.store
	r, err := n.get((&record{Name: "p", bucket: "abc"}).name())
	if err != nil {
		t.Fatal(err)
	}
	changed := *r
	changed.Files = r.Files[:1]
	changed.Metadata = toBytes(fromBytes(r.Metadata))
	changed.Metadata["X-Minio-Internal-actual-size"] = fmt.Append(nil, minPartSize)
	if err := n.put(&changed, r); err != nil {
		t.Fatal(err)
	}
	s.refused("GET", "/abc/p", nil, nil, "XMinioObjectTampered")
}

func fileSize(t *testing.T, name string) int {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

func truncate(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.Truncate(name, int64(size)); err != nil {
		t.Fatal(err)
	}
}

// TestCopy: from every scheme to every other, to another name and to itself.
func TestCopy(t *testing.T) {
	s := newGateway(t)
	content := text(70000)
	for _, from := range schemes() {
		for _, to := range schemes() {
			for _, target := range []string{"/abc/target", "/abc/source"} {
				s.call("PUT", "/abc/source", with(from.write, "X-Amz-Meta-Is", "old"), content, 200)
				files := fileContents(t, s.dataOf("source"))
				h := from.copyHeaders("/abc/source")
				for name, values := range to.write {
					h[name] = values
				}
				what := fmt.Sprintf("%s to %s, %s", from.name, to.name, target)
				if from.name == "none" && to.name == "none" && target == "/abc/source" {
					s.refused("PUT", target, h, nil, "InvalidRequest")
					h.Set("X-Amz-Metadata-Directive", "REPLACE")
					h.Set("X-Amz-Meta-Is", "old")
				}
				var copied struct{ ETag string }
				s.xml(s.call("PUT", target, h, nil, 200), &copied)
				a := s.call("GET", target, to.read, nil, 200)
				if !bytes.Equal(a.body, content) || a.header.Get("Etag") != copied.ETag || a.header.Get("X-Amz-Meta-Is") != "old" {
					t.Errorf("%s: %d bytes, ETag %s and %s, metadata %q", what, len(a.body), a.header.Get("Etag"), copied.ETag, a.header.Get("X-Amz-Meta-Is"))
				}
				if got := a.header.Get(encryptionHeader); got != to.write.Get(encryptionHeader) {
					t.Errorf("%s: %s", what, got)
				}
				kept := bytes.Equal(fileContents(t, s.dataOf(strings.TrimPrefix(target, "/abc/"))), files)
				if want := from.name == to.name; kept != want {
					t.Errorf("%s: keeps the data: %v", what, kept)
				}
				s.call("DELETE", "/abc/source", nil, nil, 204)
				if target != "/abc/source" { // whose bytes are its own
					if a := s.call("GET", target, to.read, nil, 200); !bytes.Equal(a.body, content) {
						t.Errorf("%s: without the source %d bytes", what, len(a.body))
					}
					s.call("DELETE", target, nil, nil, 204)
				}
			}
		}
	}
	if data, _ := count(t, s.g.store); data != 0 {
		t.Errorf("%d data files of nothing", data)
	}

	// Other metadata, another customer key, parts.
	s.call("PUT", "/abc/source", header("X-Amz-Meta-Is", "old", "Content-Type", "text/x"), content, 200)
	s.call("PUT", "/abc/target", header("X-Amz-Copy-Source", "abc/source", "X-Amz-Metadata-Directive", "REPLACE", "X-Amz-Meta-Is", "new"), nil, 200)
	if h := s.call("HEAD", "/abc/target", nil, nil, 200).header; h.Get("X-Amz-Meta-Is") != "new" || h.Get("Content-Type") == "text/x" {
		t.Errorf("replaced: %v", h)
	}
	old, next := customerHeaders(bytes.Repeat([]byte{1}, 32)), customerHeaders(bytes.Repeat([]byte{2}, 32))
	s.call("PUT", "/abc/c", old, content, 200)
	s.call("PUT", "/abc/c", with(scheme{read: old}.copyHeaders("/abc/c"), flat(next)...), nil, 200)
	s.refused("GET", "/abc/c", old, nil, "AccessDenied")
	if a := s.call("GET", "/abc/c", next, nil, 200); !bytes.Equal(a.body, content) {
		t.Error("another customer key: other bytes")
	}
	long := text(minPartSize + 9)
	etag := s.upload("/abc/parts", header(encryptionHeader, "AES256"), map[int][]byte{1: long[:minPartSize], 2: long[minPartSize:]}, 1, 2)
	var copied struct{ ETag string }
	s.xml(s.call("PUT", "/abc/parts", header("X-Amz-Copy-Source", "/abc/parts", encryptionHeader, "AES256"), nil, 200), &copied)
	if copied.ETag != `"`+etag+`"` {
		t.Errorf("keys changed in place: ETag %s, not %s", copied.ETag, etag)
	}
	if a := s.call("GET", "/abc/parts?partNumber=2", nil, nil, 206); !bytes.Equal(a.body, long[minPartSize:]) {
		t.Error("keys changed in place: another part")
	}
	for source, code := range map[string]string{
		"/abc/none": "NoSuchKey", "/nobucket/x": "NoSuchBucket", "abc": "InvalidArgument", "/abc/": "InvalidArgument", "/abc/../abc/c": "InvalidArgument", "/abc/%zz": "InvalidArgument", "/": "InvalidArgument",
	} {
		s.refused("PUT", "/abc/x", header("X-Amz-Copy-Source", source), nil, code)
	}
	s.refused("PUT", "/abc/x", header("X-Amz-Copy-Source", "/abc/source", "X-Amz-Checksum-Algorithm", "CRC8"), nil, "InvalidRequest")
}

func flat(h http.Header) (pairs []string) {
	for name, values := range h {
		pairs = append(pairs, name, values[0])
	}
	return pairs
}

func fileContents(t *testing.T, names []string) (all []byte) {
	t.Helper()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestChecksums(t *testing.T) {
	s := newGateway(t)
	content := []byte("checked")
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(content)))
	digest := sha256.Sum256(content)
	for _, scheme := range schemes() {
		put := s.call("PUT", "/abc/o", with(scheme.write, "X-Amz-Checksum-Crc32", crc, "X-Amz-Content-Sha256", hex.EncodeToString(digest[:])), content, 200)
		shown := []answer{put}
		for _, method := range []string{"GET", "HEAD"} {
			shown = append(shown, s.call(method, "/abc/o", with(scheme.read, "X-Amz-Checksum-Mode", "ENABLED"), nil, 200))
			if a := s.call(method, "/abc/o", scheme.read, nil, 200); a.header.Get("X-Amz-Checksum-Crc32") != "" {
				t.Errorf("%s %s shows a checksum that nobody asked for", scheme.name, method)
			}
		}
		for _, a := range shown {
			if a.header.Get("X-Amz-Checksum-Crc32") != crc || a.header.Get("X-Amz-Checksum-Type") != "FULL_OBJECT" {
				t.Errorf("%s: checksum %v", scheme.name, a.header)
			}
		}
		var copied struct{ ChecksumSHA256, ChecksumCRC32 string }
		h := scheme.copyHeaders("/abc/o")
		h.Set("X-Amz-Checksum-Algorithm", "SHA256")
		s.xml(s.call("PUT", "/abc/copy", h, nil, 200), &copied)
		if copied.ChecksumSHA256 != base64.StdEncoding.EncodeToString(digest[:]) {
			t.Errorf("%s: a copy has %+v", scheme.name, copied)
		}
		s.refused("PUT", "/abc/o", with(scheme.write, "X-Amz-Checksum-Crc32", "AAAAAA=="), content, "BadDigest")
		s.refused("PUT", "/abc/o", with(scheme.write, "Content-Md5", md5Of(nil)), content, "BadDigest")
		s.refused("PUT", "/abc/o", with(scheme.write, "Content-Md5", "x"), content, "InvalidDigest")
		s.refused("PUT", "/abc/o", with(scheme.write, "X-Amz-Content-Sha256", strings.Repeat("00", 32)), content, "XAmzContentSHA256Mismatch")
	}
	if data, _ := count(t, s.g.store); data != 2 {
		t.Errorf("%d data files of two objects", data)
	}
	// A document is held to what is said of it, too.
	list := []byte("<Delete><Object><Key>o</Key></Object></Delete>")
	s.refused("POST", "/abc?delete=", header("X-Amz-Checksum-Crc32", "AAAAAA=="), list, "BadDigest")
	s.refused("POST", "/abc?delete=", header("Content-Md5", md5Of(nil)), list, "BadDigest")
	s.call("HEAD", "/abc/o", customerOf(schemes()[3].read), nil, 200)
}

func TestPostForm(t *testing.T) {
	s := newGateway(t)
	content := text(100000)
	post := func(file []byte, fields ...string) answer {
		t.Helper()
		var b bytes.Buffer
		form := multipart.NewWriter(&b)
		for i := 0; i < len(fields); i += 2 {
			if err := form.WriteField(fields[i], fields[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if file != nil {
			w, err := form.CreateFormFile("file", "cat.jpg")
			if err != nil {
				t.Fatal(err)
			}
			w.Write(file)
		}
		if err := form.Close(); err != nil {
			t.Fatal(err)
		}
		a, err := s.do("POST", "/abc", header("Content-Type", form.FormDataContentType()), b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, scheme := range schemes() {
		fields := []string{"key", "up/${filename}", "Content-Type", "image/x", "x-amz-meta-is", "form", "success_action_status", "201"}
		for name, values := range scheme.write {
			fields = append(fields, strings.ToLower(name), values[0])
		}
		var done struct{ Bucket, Key, ETag string }
		a := post(content, fields...)
		if a.status != 201 {
			t.Fatalf("%s: %d %s %s", scheme.name, a.status, a.code, a.message)
		}
		s.xml(a, &done)
		got := s.call("GET", "/abc/up/cat.jpg", scheme.read, nil, 200)
		if !bytes.Equal(got.body, content) || done.Key != "up/cat.jpg" || done.ETag != got.header.Get("Etag") || got.header.Get("X-Amz-Meta-Is") != "form" || got.header.Get("Content-Type") != "image/x" {
			t.Errorf("%s: %+v, %d bytes, %v", scheme.name, done, len(got.body), got.header)
		}
		if got.header.Get(encryptionHeader) != scheme.write.Get(encryptionHeader) {
			t.Errorf("%s: %v", scheme.name, got.header)
		}
	}
	if a := post(content, "key", "plain"); a.status != 204 {
		t.Errorf("without a wish: %d", a.status)
	}
	if a := post(content, "key", "plain", "success_action_status", "200", "Content-MD5", md5Of(content)); a.status != 200 {
		t.Errorf("200 wished: %d", a.status)
	}
	for _, test := range []struct {
		code   string
		file   []byte
		fields []string
	}{
		{"InvalidArgument", content, nil},
		{"InvalidArgument", nil, []string{"key", "x"}},
		{"BadDigest", content, []string{"key", "x", "Content-MD5", md5Of(nil)}},
		{"BadDigest", content, []string{"key", "x", "x-amz-checksum-crc32", "AAAAAA=="}},
		{"InvalidArgument", content, []string{"key", "x", "x-amz-server-side-encryption", "what"}},
		{"MaxPostPreDataLengthExceeded", content, []string{"key", strings.Repeat("x", 1<<16)}},
	} {
		if a := post(test.file, test.fields...); a.code != test.code {
			t.Errorf("%v: %d %s, not %s", test.fields, a.status, a.code, test.code)
		}
	}
	if a := post(content, "key", "../x"); a.status != 400 {
		t.Errorf("a key that leaves the bucket: %d", a.status)
	}
	s.refused("GET", "/abc/x", nil, nil, "NoSuchKey")
	if a, err := s.do("POST", "/abc", header("Content-Type", "multipart/form-data; boundary=b"), []byte("--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nx")); err != nil || a.status != 400 {
		t.Errorf("a form that is cut: %d, %v", a.status, err)
	}
	if data, _ := count(t, s.g.store); data != 2 {
		t.Errorf("%d data files of two objects", data)
	}
}

// TestResponseHeaders: a request may say how six headers of its answer are, and no other.
func TestResponseHeaders(t *testing.T) {
	s := newGateway(t)
	s.call("PUT", "/abc/o", header("Content-Type", "text/x"), []byte("content"), 200)
	h := s.call("GET", "/abc/o?response-content-type=text/y&response-cache-control=no-store&response-x-amz-server-side-encryption=AES256&response-content-length=3&response-connection=close", nil, nil, 200).header
	if h.Get("Content-Type") != "text/y" || h.Get("Cache-Control") != "no-store" || h.Get(encryptionHeader) != "" || h.Get("Content-Length") != "7" || h.Get("Connection") != "" {
		t.Errorf("%v", h)
	}
}

// TestKeyServerDown: what needs no key is answered, what does is the key server's failure.
func TestKeyServerDown(t *testing.T) {
	s := newGateway(t)
	all := schemes()
	ids := make(map[string]string)
	for _, scheme := range all {
		s.call("PUT", "/abc/"+scheme.name, scheme.write, []byte("content"), 200)
		ids[scheme.name] = s.create("/abc/mp-"+scheme.name, scheme.write)
		s.part("/abc/mp-"+scheme.name, ids[scheme.name], 1, customerOf(scheme.write), []byte("content"))
	}
	s.calls.allowed = func(string) error { return kms.ErrUnreachable }
	for _, scheme := range all {
		managed := scheme.name == "S3" || scheme.name == "KMS"
		code := map[bool]string{true: "kms:DecryptionFailed"}
		s.refused("GET", "/abc/"+scheme.name, scheme.read, nil, code[managed])
		s.refused("HEAD", "/abc/"+scheme.name, scheme.read, nil, code[scheme.name == "S3"])
		s.refused("GET", "/abc/mp-"+scheme.name+"?uploadId="+ids[scheme.name], nil, nil, code[scheme.name == "S3"])
		s.refused("PUT", "/abc/mp-"+scheme.name+"?partNumber=2&uploadId="+ids[scheme.name], customerOf(scheme.write), []byte("x"), code[managed])
		list := completionOf(map[int]string{1: md5Hex([]byte("content"))})
		if scheme.name == "S3" {
			s.refused("POST", "/abc/mp-S3?uploadId="+ids["S3"], nil, list, code[true])
		}
		if managed {
			s.refused("PUT", "/abc/new", scheme.write, []byte("x"), "kms:KeyGenerationFailed")
		}
		s.call("DELETE", "/abc/mp-"+scheme.name+"?uploadId="+ids[scheme.name], nil, nil, 204)
	}
	s.refused("GET", "/abc?list-type=2", nil, nil, "kms:DecryptionFailed")
	s.call("DELETE", "/abc/S3", nil, nil, 204)
	s.call("GET", "/abc?list-type=2", nil, nil, 200)
}

func TestAttributes(t *testing.T) {
	s := newGateway(t)
	long := text(minPartSize + 5)
	for _, scheme := range schemes() {
		s.upload("/abc/o", scheme.write, map[int][]byte{2: long[:minPartSize], 5: long[minPartSize:]}, 2, 5)
		var got struct {
			ETag        string
			ObjectSize  int
			ObjectParts struct {
				PartsCount int
				Part       []struct{ PartNumber, Size int }
			}
		}
		s.xml(s.call("GET", "/abc/o?attributes=", with(scheme.read, "X-Amz-Object-Attributes", "ETag,ObjectSize,ObjectParts"), nil, 200), &got)
		etag := s.call("HEAD", "/abc/o", scheme.read, nil, 200).header.Get("Etag")
		if `"`+got.ETag+`"` != etag || got.ObjectSize != len(long) || got.ObjectParts.PartsCount != 2 || len(got.ObjectParts.Part) != 2 || got.ObjectParts.Part[1].Size != 5 {
			t.Errorf("%s: %+v", scheme.name, got)
		}
	}
	s.refused("GET", "/abc/none?attributes=", header("X-Amz-Object-Attributes", "ETag"), nil, "NoSuchKey")
}

// TestReserved: no header of a client becomes an entry of package sse.
func TestReserved(t *testing.T) {
	s := newGateway(t)
	for _, name := range []string{"X-Minio-Internal-Server-Side-Encryption-Iv", "X-Minio-Internal-actual-size", "x-minio-internal-crc", "X-Amz-Meta-X-Minio-Internal-Server-Side-Encryption-Sealed-Key"} {
		h := http.Header{name: {"x"}}
		if a, err := s.do("PUT", "/abc/o", h, nil); err != nil || a.status != 400 && a.status != 200 {
			t.Errorf("%s: %d %s, %v", name, a.status, a.code, err)
		} else if a.status == 200 {
			r, err := s.g.store.get((&record{Name: "o", bucket: "abc"}).name())
			if err != nil {
				t.Fatal(err)
			}
			for entry := range r.Metadata {
				if strings.EqualFold(entry, name) {
					t.Errorf("%s became an entry", name)
				}
			}
		}
	}
}

// TestLastByte: what only the end of a read shows cuts the connection before the client
// has all bytes.
func TestLastByte(t *testing.T) {
	s := newGateway(t)
	for _, size := range []int{1, 2, 70000} {
		s.call("PUT", "/abc/o", nil, text(size), 200)
		damage(t, s.dataOf("o")[0], size-1) // of plaintext, which only the ETag proves
		a, err := s.do("GET", "/abc/o", nil, nil)
		if err == nil && a.status == 200 {
			t.Errorf("%d bytes: %d were delivered as an object", size, len(a.body))
		}
		if len(a.body) >= size && a.status == 200 {
			t.Errorf("%d bytes: all were delivered", size)
		}
	}
}
