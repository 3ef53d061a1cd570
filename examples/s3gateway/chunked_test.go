package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/objseal/objseal/sse"
)

const (
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	signed          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer   = signed + "-TRAILER"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// code is the S3 code of an error, or what it says if it has none.
func code(err error) string {
	var r *sse.RequestError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Code
	}
	return err.Error()
}

func TestBody(t *testing.T) {
	sum := sha256.Sum256([]byte("hello world"))
	signature := ";chunk-signature=" + strings.Repeat("a", 64)
	chunked := func(pairs ...string) http.Header {
		return header(append([]string{headerContentHash, unsignedTrailer, headerDecodedLength, "11"}, pairs...)...)
	}
	crc := func(pairs ...string) http.Header {
		return chunked(append([]string{headerTrailer, "x-amz-checksum-crc32"}, pairs...)...)
	}
	for _, test := range []struct {
		name   string
		header http.Header
		wire   string
		want   string // "hello world" if all is well
		code   string
	}{
		{name: "plain", header: header(), wire: "hello world"},
		{name: "plain, unsigned", header: header(headerContentHash, "UNSIGNED-PAYLOAD"), wire: "hello world"},
		{name: "SHA-256", header: header(headerContentHash, hex.EncodeToString(sum[:])), wire: "hello world"},
		{name: "another SHA-256", header: header(headerContentHash, hex.EncodeToString(sum[:])), wire: "hello World", code: "XAmzContentSHA256Mismatch"},
		{name: "no SHA-256", header: header(headerContentHash, "00"), code: "InvalidArgument"},
		{name: "one chunk", header: chunked(), wire: "b\r\nhello world\r\n0\r\n\r\n"},
		{name: "two chunks", header: chunked(), wire: "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"},
		{name: "hexadecimal in capitals", header: chunked(), wire: "B\r\nhello world\r\n0\r\n\r\n"},
		{name: "signatures", header: header(headerContentHash, signed, headerDecodedLength, "11"),
			wire: "5" + signature + "\r\nhello\r\n6" + signature + "\r\n world\r\n0" + signature + "\r\n\r\n"},
		{name: "encoding only", header: header("Content-Encoding", "aws-chunked", headerDecodedLength, "11"), wire: "b\r\nhello world\r\n0\r\n\r\n"},
		{name: "trailer", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"},
		{name: "trailer and algorithm", header: crc(headerAlgorithm, "crc32"), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"},
		{name: "trailer in capitals", header: crc(), wire: "b\r\nhello world\r\n0\r\nX-Amz-Checksum-CRC32: DUoRhQ== \r\n\r\n"},
		{name: "signed trailer", header: header(headerContentHash, signedTrailer, headerDecodedLength, "11", headerTrailer, "x-amz-checksum-crc32"),
			wire: "b" + signature + "\r\nhello world\r\n0" + signature + "\r\nx-amz-checksum-crc32:DUoRhQ==\n\r\n\r\nx-amz-trailer-signature:" + strings.Repeat("b", 64) + "\r\n\r\n"},
		{name: "header", header: chunked("x-amz-checksum-crc32", "DUoRhQ=="), wire: "b\r\nhello world\r\n0\r\n\r\n"},

		{name: "no decoded length", header: header(headerContentHash, signed), code: "MissingContentLength"},
		{name: "decoded length not a number", header: header(headerContentHash, signed, headerDecodedLength, "-1"), code: "InvalidArgument"},
		{name: "decoded length too large", header: header(headerContentHash, signed, headerDecodedLength, "5497558138881"), code: "EntityTooLarge"},
		{name: "shorter than announced", header: chunked(), wire: "5\r\nhello\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "longer than announced", header: chunked(), wire: "c\r\nhello world!\r\n0\r\n\r\n", code: "IncompleteBody"},
		{name: "a chunk cut", header: chunked(), wire: "b\r\nhello wor", code: "IncompleteBody"},
		{name: "cut behind a chunk", header: chunked(), wire: "b\r\nhello world\r\n", code: "IncompleteBody"},
		{name: "cut in a length", header: chunked(), wire: "b", code: "IncompleteBody"},
		{name: "cut before the empty line", header: chunked(), wire: "b\r\nhello world\r\n0\r\n", code: "IncompleteBody"},
		{name: "nothing", header: chunked(), code: "IncompleteBody"},
		{name: "no length", header: chunked(), wire: "hello world", code: "IncompleteBody"},
		{name: "a length that is none", header: chunked(), wire: "hello\r\n world\r\n", code: "InvalidRequest"},
		{name: "an empty length", header: chunked(), wire: "\r\n\r\n", code: "InvalidRequest"},
		{name: "a length beyond 64 bits", header: chunked(), wire: "fffffffffffffffff\r\nhello world", code: "InvalidRequest"},
		{name: "a length of 64 bits", header: chunked(), wire: "ffffffffffffffff\r\nhello world", code: "IncompleteBody"},
		{name: "no line end behind a chunk", header: chunked(), wire: "b\r\nhello world0\r\n\r\n", code: "InvalidRequest"},
		{name: "a line too long", header: chunked(), wire: "b;" + strings.Repeat("a", 5000) + "\r\nhello world\r\n0\r\n\r\n", code: "InvalidRequest"},
		{name: "nothing but extensions", header: chunked(), wire: strings.Repeat("1;"+strings.Repeat("a", 4000)+"\r\nh\r\n", 10), code: "InvalidRequest"},

		{name: "trailer of another body", header: crc(), wire: "b\r\nhello World\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", code: "BadDigest"},
		{name: "header of another body", header: chunked("x-amz-checksum-crc32", "DUoRhA=="), wire: "b\r\nhello world\r\n0\r\n\r\n", code: "BadDigest"},
		{name: "trailer missing", header: crc(), wire: "b\r\nhello world\r\n0\r\n\r\n", code: "MalformedTrailerError"},
		{name: "trailer not announced", header: chunked(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", code: "MalformedTrailerError"},
		{name: "another trailer than announced", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32c:DUoRhQ==\r\n\r\n", code: "MalformedTrailerError"},
		{name: "trailer twice", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", code: "MalformedTrailerError"},
		{name: "trailer without a colon", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", code: "MalformedTrailerError"},
		{name: "trailer cut", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==", code: "IncompleteBody"},
		{name: "trailer of another length", header: crc(), wire: "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoR\r\n\r\n", code: "InvalidRequest"},
		{name: "trailers without end", header: crc(), wire: "b\r\nhello world\r\n0\r\n" + strings.Repeat("a:b\r\n", maxTrailers/5+1), code: "MalformedTrailerError"},
		{name: "trailer of another kind", header: chunked(headerTrailer, "expires"), code: "InvalidRequest"},
		{name: "trailer of a plain body", header: header(headerTrailer, "x-amz-checksum-crc32"), wire: "hello world", code: "InvalidRequest"},
		{name: "header and trailer", header: crc("x-amz-checksum-crc32", "DUoRhQ=="), code: "InvalidRequest"},
		{name: "two trailers", header: chunked(headerTrailer, "x-amz-checksum-crc32, x-amz-checksum-crc32c"), code: "InvalidRequest"},
		{name: "two headers", header: header("x-amz-checksum-crc32", "DUoRhQ==", "x-amz-checksum-crc32c", "DUoRhQ=="), code: "InvalidRequest"},
		{name: "one header twice", header: header("x-amz-checksum-crc32", "DUoRhQ==", "x-amz-checksum-crc32", "DUoRhQ=="), code: "InvalidRequest"},
		{name: "header no base64", header: header("x-amz-checksum-crc32", "DUoRhQ"), code: "InvalidRequest"},
		{name: "header empty", header: header("x-amz-checksum-crc32", ""), code: "InvalidRequest"},
		{name: "algorithm without checksum", header: header(headerAlgorithm, "CRC32"), code: "InvalidRequest"},
		{name: "algorithm of another checksum", header: header(headerAlgorithm, "SHA1", "x-amz-checksum-crc32", "DUoRhQ=="), code: "InvalidRequest"},
	} {
		for name, around := range map[string]func(io.Reader) io.Reader{
			"whole":         func(r io.Reader) io.Reader { return r },
			"byte for byte": iotest.OneByteReader,
			"data with EOF": iotest.DataErrReader,
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				size := int64(-1)
				if test.header.Get(headerDecodedLength) == "" {
					size = 11
				}
				got, err := readBody(test.header, around(strings.NewReader(test.wire)), size)
				if code(err) != test.code {
					t.Fatalf("got %v, want %q", err, test.code)
				}
				if err == nil && got != "hello world" {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

// readBody reads a body to its end and compares its checksum, as an upload does.
func readBody(h http.Header, wire io.Reader, size int64) (string, error) {
	b, err := newBodyOf(h, wire, size)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(b)
	if err != nil {
		if _, again := b.Read(make([]byte, 1)); again != err {
			return "", fmt.Errorf("%w became %v", err, again)
		}
		return "", err
	}
	sum := crc32.ChecksumIEEE(got)
	return string(got), b.verify(sse.Checksum{Type: b.checksum, Value: binary.BigEndian.AppendUint32(nil, sum)})
}

// A connection that breaks is not a malformed body.
func TestBodyConnection(t *testing.T) {
	broken := errors.New("connection reset")
	for _, wire := range []string{"", "b", "b\r\nhello", "b\r\nhello world\r\n", "b\r\nhello world\r\n0\r\nx-amz"} {
		for _, test := range []struct {
			err  error
			code string
		}{{broken, broken.Error()}, {io.ErrUnexpectedEOF, "IncompleteBody"}} {
			_, err := readBody(header(headerContentHash, signed, headerDecodedLength, "11"), io.MultiReader(strings.NewReader(wire), iotest.ErrReader(test.err)), -1)
			if code(err) != test.code {
				t.Errorf("%v behind %q: %v", test.err, wire, err)
			}
		}
	}
}

// TestBodyOfClient reads what a client sends: over HTTP with signed chunks and a
// signed trailer, over TLS unsigned.
func TestBodyOfClient(t *testing.T) {
	content := bytes.Repeat([]byte("hello world"), 20_000) // several chunks
	var got []byte
	var problem error
	var sent string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get(headerContentHash)
		var text string
		text, problem = readBody(r.Header, r.Body, r.ContentLength)
		got = []byte(text)
		w.Header().Set("ETag", `"0"`)
	})
	for want, start := range map[string]func(http.Handler) *httptest.Server{signedTrailer: httptest.NewServer, unsignedTrailer: httptest.NewTLSServer} {
		server := start(handler)
		defer server.Close()
		client, err := minio.New(server.Listener.Addr().String(), &minio.Options{
			Creds: credentials.NewStaticV4("access", "secret-key", ""), Secure: server.TLS != nil, Region: "us-east-1",
			TrailingHeaders: true, Transport: server.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, len(content)} {
			_, err = client.PutObject(t.Context(), "photos", "cat", bytes.NewReader(content[:size]), int64(size), minio.PutObjectOptions{Checksum: minio.ChecksumCRC32, DisableMultipart: true})
			if err != nil || problem != nil || !bytes.Equal(got, content[:size]) || size > 0 && sent != want {
				t.Errorf("%d bytes: %d came, as %s, want %s: %v, %v", size, len(got), sent, want, err, problem)
			}
		}
	}
}

func TestBodySize(t *testing.T) {
	req, err := http.NewRequest(http.MethodPut, "http://localhost/", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		length int64
		header http.Header
		want   int64
	}{{5, header(), 5}, {-1, header(), -1}, {100, header(headerContentHash, signed, headerDecodedLength, "7"), 7}, {0, header(), 0}} {
		req.ContentLength, req.Header = test.length, test.header
		if b, err := newBody(req); err != nil || b.size != test.want {
			t.Errorf("length %d, %v: %v, %v", test.length, test.header, b, err)
		}
	}
	req.Body, req.ContentLength, req.Header = nil, 0, header()
	b, err := newBody(req)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || len(got) > 0 {
		t.Errorf("no body: %q, %v", got, err)
	}
	if err := b.verify(sse.Checksum{}); err != nil {
		t.Error(err)
	}
}

// A body that was not read to its end proves nothing, and neither does a checksum of
// another kind.
func TestVerifyTooEarly(t *testing.T) {
	b, err := newBodyOf(header("x-amz-checksum-crc32", "DUoRhQ=="), strings.NewReader("hello world"), 11)
	if err != nil {
		t.Fatal(err)
	}
	right := sse.Checksum{Type: sse.CRC32, Value: []byte{0x0d, 0x4a, 0x11, 0x85}}
	if b.verify(right) == nil {
		t.Error("verified before the end")
	}
	if _, err := io.ReadAll(b); err != nil {
		t.Fatal(err)
	}
	if err := b.verify(right); err != nil {
		t.Error(err)
	}
	for _, wrong := range []sse.Checksum{{}, {Type: sse.CRC32C, Value: right.Value}, {Type: sse.CRC32}, {Type: sse.CRC32, Value: right.Value[:3]}} {
		if b.verify(wrong) == nil {
			t.Errorf("%v passes", wrong)
		}
	}
}

func TestContentMD5(t *testing.T) {
	for _, test := range []struct {
		values []string
		n      int
		code   string
	}{
		{nil, 0, ""},
		{[]string{"XrY7u+Ae7tCTyyK7j1rNww=="}, 16, ""},
		{[]string{""}, 0, "InvalidDigest"},
		{[]string{"XrY7u+Ae7tCTyyK7j1rN"}, 0, "InvalidDigest"},
		{[]string{"5eb63bbbe01eeed093cb22bb8f5acdc3"}, 0, "InvalidDigest"},
		{[]string{"XrY7u+Ae7tCTyyK7j1rNww==", "XrY7u+Ae7tCTyyK7j1rNww=="}, 0, "InvalidDigest"},
	} {
		b, err := newBodyOf(http.Header{"Content-Md5": test.values}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := b.contentMD5(); len(sum) != test.n || code(err) != test.code {
			t.Errorf("%q: %x, %v", test.values, sum, err)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "gzip": "gzip", "aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, AWS-Chunked": "gzip", "aws-chunked, gzip, br": "gzip,br",
	} {
		if got := contentEncoding(header("Content-Encoding", value)); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
	if got := contentEncoding(header("Content-Encoding", "aws-chunked", "Content-Encoding", "gzip")); got != "gzip" {
		t.Errorf("two lines: %q", got)
	}
}

// FuzzChunked: whatever comes ends, yields no more than what was announced and one
// more, and is either whole or an error.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"), uint16(11), true)
	f.Add([]byte("5;chunk-signature=ab\r\nhello\r\n6;chunk-signature=cd\r\n world\r\n0;chunk-signature=ef\r\n\r\n"), uint16(11), false)
	f.Add([]byte("ffffffffffffffff\r\n"), uint16(0), false)
	f.Fuzz(func(t *testing.T, wire []byte, size uint16, trailer bool) {
		h := header(headerContentHash, signed, headerDecodedLength, fmt.Sprint(size))
		if trailer {
			h.Set(headerTrailer, "x-amz-checksum-crc32")
		}
		b, err := newBodyOf(h, bytes.NewReader(wire), -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if len(got) > len(wire) {
			t.Fatalf("%d bytes of %d", len(got), len(wire))
		}
		var refusal *sse.RequestError
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("not an S3 error: %v", err)
		}
		if err == nil && (len(got) != int(size) || trailer != (b.digest != nil)) {
			t.Fatalf("%d bytes announced, %d came; digest %x", size, len(got), b.digest)
		}
		if again, err := readBody(h, iotest.OneByteReader(bytes.NewReader(wire)), -1); err == nil && again != string(got) {
			t.Fatalf("%q byte for byte, %q at once", again, got)
		}
	})
}
