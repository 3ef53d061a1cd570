package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"

	"github.com/objseal/objseal/sse"
)

const (
	headerContentHash   = "X-Amz-Content-Sha256"
	headerDecodedLength = "X-Amz-Decoded-Content-Length"
	headerTrailer       = "X-Amz-Trailer"
	headerAlgorithm     = "X-Amz-Sdk-Checksum-Algorithm"
	checksumPrefix      = "X-Amz-Checksum-"

	maxBody     = 5 << 40  // the largest object of S3
	maxTrailers = 16 << 10 // bytes of all trailers together
)

// A body is what an upload carries: the bytes that the client means, whatever way
// they travel, and what it said about them. Plain bodies are as they are; in those
// of Content-Encoding aws-chunked every chunk has a signature of its own, and checksums
// follow the last one.
//
// It ends with io.EOF only if it has the length that was announced, and the SHA-256
// in x-amz-content-sha256 if there is one. Signatures, those of chunks and of
// trailers included, are read over: a loopback server has no accounts.
type body struct {
	src      io.Reader // decoded
	size     int64     // announced, -1: not at all
	checksum sse.ChecksumType

	wire   *wire       // encoded, if src is not that itself
	header http.Header // of the request
	digest []byte      // what the client said of the checksum
	hash   hash.Hash   // nil unless there is a want
	want   []byte      // x-amz-content-sha256
	n      int64
	err    error // sticky
}

// newBody looks at the headers of req only. Its errors, and those of the body, are
// a *sse.RequestError or that of the connection.
func newBody(req *http.Request) (*body, error) {
	return newBodyOf(req.Header, req.Body, req.ContentLength)
}

// newBodyOf is newBody for what came in another way than as a request's body.
func newBodyOf(h http.Header, src io.Reader, size int64) (*body, error) {
	b := &body{src: src, size: size, header: h}
	if src == nil {
		b.src = http.NoBody
	}
	chunked := slices.ContainsFunc(encodings(h), isChunked)
	switch hash := h.Get(headerContentHash); {
	case strings.HasPrefix(hash, "STREAMING-"):
		chunked = true
	case hash == "" || hash == "UNSIGNED-PAYLOAD":
	default:
		var err error
		if b.want, err = hex.DecodeString(hash); err != nil || len(b.want) != sha256.Size {
			return nil, refused(http.StatusBadRequest, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 value.")
		}
		b.hash = sha256.New()
	}
	if chunked {
		text := h.Get(headerDecodedLength)
		if text == "" {
			return nil, refused(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
		}
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil, refused(http.StatusBadRequest, "InvalidArgument", "The value of x-amz-decoded-content-length is not valid.")
		}
		b.size = int64(n)
		b.wire = &wire{src: b.src}
		b.wire.buffered = bufio.NewReader(b.wire)
		b.src = httputil.NewChunkedReader(b.wire.buffered) // extensions, which signatures are, it drops
	}
	if b.size > maxBody {
		return nil, errTooLarge
	}
	return b, b.readChecksumHeaders(chunked)
}

var errTooLarge = refused(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")

// wire remembers how its source failed, so that a broken connection is not taken
// for a malformed body.
type wire struct {
	src      io.Reader
	buffered *bufio.Reader // over this
	err      error
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.src.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// readChecksumHeaders finds out which checksum the client names, and its value if
// that does not follow in a trailer.
func (b *body) readChecksumHeaders(chunked bool) error {
	var found []sse.ChecksumType
	for _, t := range sse.ChecksumTypes() {
		values := b.header.Values(checksumPrefix + t.String())
		for _, value := range values {
			if err := b.setDigest(t, value); err != nil {
				return err
			}
			found = append(found, t)
		}
	}
	for _, line := range b.header.Values(headerTrailer) {
		for name := range strings.SplitSeq(line, ",") {
			t, ok := checksumOf(strings.TrimSpace(name))
			if !ok || !chunked {
				return refused(http.StatusBadRequest, "InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
			}
			b.checksum = t
			found = append(found, t)
		}
	}
	if len(found) > 1 {
		return refused(http.StatusBadRequest, "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	switch algorithm := b.header.Get(headerAlgorithm); {
	case algorithm == "" || strings.EqualFold(algorithm, b.checksum.String()):
	case len(found) == 0:
		return refused(http.StatusBadRequest, "InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	default:
		return refused(http.StatusBadRequest, "InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// checksumOf is the algorithm of the header or trailer of that name.
func checksumOf(name string) (sse.ChecksumType, bool) {
	if len(name) < len(checksumPrefix) || !strings.EqualFold(name[:len(checksumPrefix)], checksumPrefix) {
		return sse.NoChecksum, false
	}
	return sse.ParseChecksumType(name[len(checksumPrefix):])
}

func (b *body) setDigest(t sse.ChecksumType, value string) error {
	digest, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || len(digest) != t.Size() {
		return refused(http.StatusBadRequest, "InvalidRequest", "Value for "+strings.ToLower(checksumPrefix+t.String())+" header is invalid.")
	}
	b.checksum, b.digest = t, digest
	return nil
}

var (
	errIncompleteBody   = refused(http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	errMalformedChunk   = refused(http.StatusBadRequest, "InvalidRequest", "The body is not well-formed in the encoding aws-chunked.")
	errMalformedTrailer = refused(http.StatusBadRequest, "MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.")
)

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.hash != nil {
		b.hash.Write(p[:n])
	}
	switch {
	case b.size >= 0 && b.n > b.size:
		// Net/http ends a body where it should end: this is one of chunks.
		b.err = errIncompleteBody
	case b.n > maxBody:
		b.err = errTooLarge
	case err == io.EOF:
		b.err = b.end()
	case errors.Is(err, io.ErrUnexpectedEOF):
		b.err = errIncompleteBody
	case err != nil && b.wire != nil && b.wire.err == nil:
		b.err = errMalformedChunk
	default:
		b.err = err
	}
	return n, b.err
}

// end is reached behind the last byte: io.EOF if all is as it was said.
func (b *body) end() error {
	if b.size >= 0 && b.n != b.size {
		return errIncompleteBody
	}
	if b.wire != nil {
		if err := b.readTrailers(); err != nil {
			return err
		}
	}
	if b.hash != nil && subtle.ConstantTimeCompare(b.hash.Sum(nil), b.want) == 0 {
		return refused(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return io.EOF
}

// readTrailers reads what follows the last chunk, to the end. Lines end in CR LF or
// LF, and there are empty ones between: clients differ. What is not one of the checksums
// is a signature.
func (b *body) readTrailers() error {
	text, err := io.ReadAll(io.LimitReader(b.wire.buffered, maxTrailers+1))
	switch {
	case b.wire.err != nil && !errors.Is(b.wire.err, io.ErrUnexpectedEOF):
		return b.wire.err
	case err != nil:
		return errIncompleteBody
	case len(text) > maxTrailers:
		return errMalformedTrailer
	case !bytes.HasSuffix(text, []byte("\n")):
		return errIncompleteBody // the empty line behind it all is missing
	}
	announced := b.checksum != sse.NoChecksum && b.digest == nil
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return errMalformedTrailer
		}
		t, ok := checksumOf(strings.TrimSpace(name))
		if !ok {
			continue
		}
		if !announced || t != b.checksum || b.digest != nil {
			return errMalformedTrailer
		}
		if err := b.setDigest(t, strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	if announced && b.digest == nil {
		return errMalformedTrailer
	}
	return nil
}

// verify compares the checksum that was computed of the body with what the client
// said, once the body was read to its end. It needs no computed one if the client
// named none.
func (b *body) verify(computed sse.Checksum) error {
	switch {
	case b.checksum == sse.NoChecksum:
		return nil
	case b.err != io.EOF || computed.Type != b.checksum:
		return fmt.Errorf("the %s checksum of the body was not computed", b.checksum)
	case subtle.ConstantTimeCompare(computed.Value, b.digest) == 0:
		return refused(http.StatusBadRequest, "BadDigest", fmt.Sprintf("The %s you specified did not match the calculated checksum.", b.checksum))
	}
	return nil
}

// contentMD5 is the Content-MD5 of the request, nil if there is none.
func (b *body) contentMD5() ([]byte, error) {
	values := b.header.Values("Content-Md5")
	if len(values) == 0 {
		return nil, nil
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(values[0])
	if err != nil || len(sum) != md5.Size || len(values) > 1 {
		return nil, refused(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified is not valid.")
	}
	return sum, nil
}

// contentEncoding is what is kept as the object's Content-Encoding: how the body
// travelled is no property of the object.
func contentEncoding(h http.Header) string {
	return strings.Join(slices.DeleteFunc(encodings(h), isChunked), ",")
}

func encodings(h http.Header) (list []string) {
	for _, line := range h.Values("Content-Encoding") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				list = append(list, name)
			}
		}
	}
	return list
}

func isChunked(encoding string) bool { return strings.EqualFold(encoding, "aws-chunked") }

// refused is a request that is answered like this.
func refused(status int, code, message string) error {
	return &sse.RequestError{Response: sse.Response{Status: status, Code: code, Message: message}}
}
