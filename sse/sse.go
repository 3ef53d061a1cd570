// Package sse decides who may read an object: S3 server-side encryption as
// MinIO stores it, byte for byte, in both directions.
//
//	request ──► data key (kms) ──► sealed object key in metadata ──► stream of packages (stream)
//	and back:  metadata ──► unsealed object key ──► ciphertext range ──► verified plaintext
//
// Every object has an object key of its own. It is sealed under an external
// key, and the sealed form stands in the object's metadata:
//
//	SSE-S3   external key = data key from the key server, bound to bucket/object
//	SSE-KMS  the same, under the key and the context that the client named
//	SSE-C    external key = the 32 bytes that the client sends each time
//
//	sealing key = HMAC-SHA256(external key; IV, "SSE-…", "DAREv2-HMAC-SHA256", bucket/object)
//	sealed key  = DARE 2.0(sealing key, object key)
//	data        = DARE 2.0(object key, plaintext), or per part n of a multipart
//	              upload DARE 2.0(HMAC-SHA256(object key; n), part)
//
// Start with [Encrypt] and [Open]; [NewMultipart] is Encrypt for an object in
// parts, [Rewrap] changes keys without touching data. For S3 servers
// [ParseRequest] reads the headers of a request, [Request.AddResponseHeaders]
// writes those of the answer, [ErrorResponse] says what to answer to a failure.
//
// # What is guaranteed
//
// Packages, and their order within a stream or part, are authenticated before
// a byte of them is delivered. The names of bucket and object are bound to the
// sealed key: metadata moved to another name does not open.
//
// The size, the part list and the compression flag in metadata are not
// authenticated by the format. A full read therefore also compares the sealed
// ETag or checksum, where there is one, and [Reader.Integrity] says whether
// content or only packages were verified:
//
//	change without a key                     with a digest   without one
//	bytes, their order, a cut stream         refused         refused
//	parts exchanged, doubled, cut elsewhere  refused         refused
//	last parts dropped, sizes adapted        refused         not seen
//	object or all parts emptied              refused         not seen
//	compression flag removed                 refused         S2 stream delivered
//	compression flag set                     refused         seen unless the data is an S2 stream
//	encryption metadata removed              see OpenAny
//
// There is a digest in every object under SSE-S3 with [ETagMD5], in every compressed
// one, and in those with a checksum; the ETag of a multipart object is none, which is
// why [CompleteOptions] should name one. An old version put back whole under its
// own name cannot be seen.
//
// In Go's FIPS 140-only mode objects under AES-256-GCM can be read, MD5 and SHA-1
// are no proof of content, and sealing fails with [stream.ErrFIPS].
package sse

import (
	"fmt"
	"path"
)

// Method is one way of server-side encryption. Its String is also the domain
// that separates the sealing keys of the three (SSE spec section 1.2).
type Method int

const (
	None Method = iota // not encrypted
	S3                 // SSE-S3: the key server's default key
	KMS                // SSE-KMS: a named key, with optional context
	C                  // SSE-C: a key only the client has
)

func (m Method) String() string {
	switch m {
	case S3:
		return "SSE-S3"
	case KMS:
		return "SSE-KMS"
	case C:
		return "SSE-C"
	}
	return "none"
}

// ObjectName says which object is meant. Sealed keys are bound to it, in the
// form that MinIO gives it: bucket and object joined by a slash and cleaned as by
// [path.Join] (SSE spec section 1.2). Two names of one cleaned form, such as "a"
// and "a/", are one to the seal, and elements ".." may lead out of the bucket:
// a backend that lets clients choose names refuses those, as S3 servers do.
type ObjectName struct {
	Bucket string
	Object string // the whole key, with its slashes; byte string, not normalised
}

// path is what the sealed key is bound to.
func (n ObjectName) path() string { return path.Join(n.Bucket, n.Object) }

// String is for messages: quoted, and cut where a name would fill the screen.
func (n ObjectName) String() string {
	const most = 200
	s := n.Bucket + "/" + n.Object
	if len(s) > most {
		return fmt.Sprintf("%+q… (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// A Part is one part of a multipart object, in the order of the object.
type Part struct {
	Number     int   // as the client gave it, 1 to 10000; may have gaps
	Size       int64 // stored bytes
	ActualSize int64 // plaintext bytes; needed only if the object is compressed
}

// Stored is an object at rest, as a storage backend knows it.
type Stored struct {
	Metadata map[string]string // internal entries and "etag", spelled as MinIO does; others are not looked at
	Size     int64             // stored bytes, all parts together
	Parts    []Part            // of a multipart object; else not looked at
	// Indexes are the S2 indexes of a compressed object as MinIO stores them, sealed if
	// the object is, by part number; 1 for an object in one stream. Ranges then need
	// not be read from the start of their part. Parts without are fine.
	Indexes map[int][]byte
}
