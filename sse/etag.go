package sse

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/objseal/objseal/stream"
)

// ETagPolicy says what the ETag of a new object is made of.
type ETagPolicy int

const (
	// ETagMD5 seals the MD5 of the plaintext, which is what S3 clients expect
	// under SSE-S3, and what later proves the content. MD5 runs at about
	// 1 GB/s and so decides the speed of large uploads.
	ETagMD5 ETagPolicy = iota
	// ETagRandom seals 16 random bytes: no hashing, no proof of content. Under
	// SSE-S3 nothing tells them from an MD5 for certain, so that a full read
	// computes one all the same; [OpenOptions.SkipContentCheck] spares that.
	ETagRandom
	// ETagSupplied seals [EncryptOptions.ETag], the MD5 that the caller has
	// already computed over the same plaintext.
	ETagSupplied
)

// randomETag makes b one that is shaped like a version 4 UUID, as MinIO's are, so that a reader
// knows it from an MD5 in 63 of 64 cases.
func randomETag(b *[md5.Size]byte) {
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
}

func looksRandom(etag []byte) bool {
	return len(etag) == md5.Size && etag[6]&0xf0 == 0x40 && etag[8]&0xc0 == 0x80
}

// storedETag is an "etag" entry taken apart (SSE spec section 4).
type storedETag struct {
	text   string // as stored
	sealed []byte // the sealed form, nil if it is plain
}

func parseETag(m map[string]string) (storedETag, error) {
	text := m[metaETag]
	plain, count, multipart := strings.Cut(text, "-")
	switch {
	case text == "":
		return storedETag{}, nil
	case len(text) > 2*(stream.Overhead+64):
		return storedETag{}, tampered(metaETag, "is longer than any writer makes it")
	case multipart:
		if _, err := strconv.ParseUint(count, 10, 31); err != nil || !isHex(plain) || len(plain) != 2*md5.Size {
			return storedETag{}, tampered(metaETag, "is no multipart ETag")
		}
		return storedETag{text: text}, nil
	}
	var in [2 * (stream.Overhead + md5.Size)]byte
	sealed, err := hex.AppendDecode(make([]byte, 0, len(text)/2), append(in[:0], text...))
	switch {
	case err != nil:
		return storedETag{}, tampered(metaETag, "is not hexadecimal")
	case len(text) <= 2*md5.Size:
		return storedETag{text: text}, nil
	}
	return storedETag{text, sealed}, nil
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// display is what clients see: the MD5 itself under SSE-S3, and for the other
// two the last 32 digits of the sealed form, which is its tag.
func (e storedETag) display(m Method, opened []byte) string {
	switch {
	case e.sealed == nil || m == None:
		return e.text
	case m == S3:
		return hex.EncodeToString(opened)
	default:
		return e.text[len(e.text)-2*md5.Size:]
	}
}

// open returns the 16 sealed bytes, nil if the ETag is plain.
func (e storedETag) open(k objectKey, legacy bool) ([]byte, error) {
	if e.sealed == nil {
		return nil, nil
	}
	b, err := k.openValue(labelETag, e.sealed, legacy)
	if err != nil {
		return nil, fmt.Errorf("failed to open the sealed ETag: %w", err)
	}
	return b, nil
}

// multipartETag is the MD5 over the parts' ETags as clients saw them, with the
// number of parts (SSE spec section 4).
func multipartETag(parts []CompletedPart) (string, error) {
	var all []byte
	for _, p := range parts {
		b, err := hex.DecodeString(strings.Trim(p.ETag, `"`))
		if err != nil || len(b) != md5.Size {
			return "", &RequestError{Response{http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."},
				fmt.Sprintf("the ETag of part %d has not 32 hexadecimal digits", p.Number)}
		}
		all = append(all, b...)
	}
	return fmt.Sprintf("%x-%d", md5Sum(all), len(parts)), nil
}

// md5Sum is the MD5 of b where S3 asks for one that nothing rests on; so it may be
// had in FIPS 140-only mode too.
func md5Sum(b []byte) (sum [md5.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = md5.Sum(b) })
	return sum
}
