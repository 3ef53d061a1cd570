package sse

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// AddResponseHeaders adds to h what the answer to r says of encryption (SSE
// spec section 11.2). metadata is that of the object written or read, or of the
// upload that a part belongs to. Answers to CreateMultipartUpload,
// CompleteMultipartUpload, copies and attributes say nothing, as in MinIO.
//
// Everything else of the metadata is the backend's to show, but for entries
// that are [IsReservedMetadata].
func (r Request) AddResponseHeaders(h http.Header, metadata map[string]string) {
	switch r.Operation {
	case PutObject, PostObject, UploadPart, GetObject, HeadObject:
	default:
		return
	}
	if _, ok := metadata[metaCompression]; ok && r.Operation.reads() {
		h.Set("X-Minio-Compressed", "s2")
	}
	m, err := methodOf(metadata)
	if err != nil {
		return
	}
	switch m {
	case S3:
		h.Set(headerMethod, "AES256")
	case KMS:
		h.Set(headerMethod, "aws:kms")
		h.Set(headerKMSKeyID, arnPrefix+strings.TrimPrefix(metadata[metaKMSKeyID], arnPrefix))
		if context := metadata[metaContext]; context != "" {
			h.Set(headerContext, context)
		}
	case C:
		if r.CustomerKey.IsZero() {
			return
		}
		sum := md5Sum(r.CustomerKey.Bytes())
		h.Set(headerCustomerAlgorithm, "AES256")
		h.Set(headerCustomerKeyMD5, base64.StdEncoding.EncodeToString(sum[:]))
	}
}
