package sse

import (
	"encoding/base64"
	"maps"
	"strconv"
	"strings"

	"github.com/objseal/objseal/kms"
)

// The metadata entries (SSE spec section 2), spelled as MinIO spells them; it
// reads them case-sensitively. No other file knows these names.
const (
	metaIV            = "X-Minio-Internal-Server-Side-Encryption-Iv"
	metaAlgorithm     = "X-Minio-Internal-Server-Side-Encryption-Seal-Algorithm"
	metaSealedKeyC    = "X-Minio-Internal-Server-Side-Encryption-Sealed-Key"
	metaSealedKeyS3   = "X-Minio-Internal-Server-Side-Encryption-S3-Sealed-Key"
	metaSealedKeyKMS  = "X-Minio-Internal-Server-Side-Encryption-Kms-Sealed-Key"
	metaKMSKeyID      = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Key-Id"
	metaSealedDataKey = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Sealed-Key"
	metaContext       = "X-Minio-Internal-Server-Side-Encryption-Context"
	metaMultipart     = "X-Minio-Internal-Encrypted-Multipart"
	metaActualSize    = "X-Minio-Internal-actual-size"
	metaCompression   = "X-Minio-Internal-compression"
	metaChecksum      = "x-minio-internal-crc"
	metaETag          = "etag"

	reservedPrefix = "x-minio-internal-"
)

// maxContext bounds a stored context, in base64 bytes, for reader and writer.
// S3 headers end at 8 KiB.
const maxContext = 64 << 10

// IsReservedMetadata reports whether name is one of the internal entries, in
// any case. They never come from a request and never leave in a response.
func IsReservedMetadata(name string) bool {
	return len(name) >= len(reservedPrefix) && strings.EqualFold(name[:len(reservedPrefix)], reservedPrefix)
}

// reservedHeaders are prefixes of request headers, in lower case, that stand for
// internal entries: by their own name, as user metadata for backends that drop
// the prefix of that, and as MinIO's replication sends them (SSE spec section 10),
// which once let any client set its own sealed key (CVE-2026-34204).
var reservedHeaders = [...]string{
	reservedPrefix,
	"x-amz-meta-" + reservedPrefix,
	"x-minio-replication-server-side-encryption-",
	"x-minio-replication-encrypted-multipart",
	"x-minio-replication-actual-object-size",
	"x-minio-replication-ssec-crc",
}

// IsReservedHeader reports whether a request header of that name, in any case,
// would set internal metadata. [ParseRequest] refuses it.
func IsReservedHeader(name string) bool {
	for _, prefix := range reservedHeaders {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// neverStored are request headers, in lower case, that say how to encrypt or
// what a client's own encryption hid.
var neverStored = [...]string{
	"x-amz-server-side-encryption",
	"x-amz-copy-source-server-side-encryption",
	"x-amz-meta-x-amz-unencrypted-content-length",
	"x-amz-meta-x-amz-unencrypted-content-md5",
}

// IsStorable reports whether a backend may keep a request header of that name
// with an object: not those of encryption, customer keys among them, and not the
// reserved ones. A user's metadata must not end up under the name "etag" either,
// which is that of an entry of this package.
func IsStorable(name string) bool {
	for _, prefix := range neverStored {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return false
		}
	}
	return !IsReservedHeader(name) && !strings.EqualFold(name, metaETag)
}

// encodeContext returns the stored form of the client's own pairs.
func encodeContext(ad kms.AssociatedData) string {
	return base64.StdEncoding.EncodeToString(ad.Canonical())
}

// sealedKeyEntry is by method. None has none.
var sealedKeyEntry = [...]string{S3: metaSealedKeyS3, KMS: metaSealedKeyKMS, C: metaSealedKeyC}

// methodOf infers the method from the sealed-key slot alone. Any other trace of
// encryption without a sealed key is an object that must not be served as
// plaintext (SSE spec section 2).
func methodOf(m map[string]string) (Method, error) {
	for _, method := range [...]Method{KMS, S3, C} {
		if _, ok := m[sealedKeyEntry[method]]; ok {
			return method, nil
		}
	}
	for _, entry := range []string{metaMultipart, metaIV, metaAlgorithm, metaKMSKeyID, metaSealedDataKey, metaContext} {
		if _, ok := m[entry]; ok {
			return None, tampered(entry, noSealedKey)
		}
	}
	return None, ErrNotEncrypted
}

// envelope is everything that the metadata says about the keys of an object.
type envelope struct {
	method        Method
	key           sealedKey
	kmsKeyID      string
	sealedDataKey []byte             // opaque to all but the key server
	context       kms.AssociatedData // the client's own pairs
}

// parseEnvelope reads hostile metadata, in the order of SSE spec section 2.1.
func parseEnvelope(m map[string]string) (*envelope, error) {
	var err error
	e := new(envelope)
	if e.method, err = methodOf(m); err != nil {
		return nil, err
	}
	slot := sealedKeyEntry[e.method]
	for _, entry := range []string{metaIV, metaAlgorithm, slot} {
		if m[entry] == "" {
			return nil, tampered(entry, "is missing")
		}
	}
	if e.method != C {
		_, id := m[metaKMSKeyID]
		_, sealed := m[metaSealedDataKey]
		switch {
		case !id && !sealed: // well-formed, under a master key that no key server ever had
			return nil, &MetadataError{metaSealedDataKey, "is missing, and so is the key id, as MinIO wrote it in 2018", ErrUnsupported}
		case !id:
			return nil, tampered(metaKMSKeyID, "is missing")
		case !sealed:
			return nil, tampered(metaSealedDataKey, "is missing")
		}
	}
	if err := decodeFixed(e.key.iv[:], m, metaIV); err != nil {
		return nil, err
	}
	switch algorithm := m[metaAlgorithm]; {
	case algorithm == sealAlgorithm:
	case algorithm == legacySealAlgorithm && e.method == C:
		e.key.legacy = true
	default:
		return nil, &MetadataError{metaAlgorithm, "names an algorithm that is refused for " + e.method.String(), ErrUnsupported}
	}
	if err := decodeFixed(e.key.sealed[:], m, slot); err != nil {
		return nil, err
	}
	if e.method == C {
		return e, nil
	}
	e.kmsKeyID = m[metaKMSKeyID]
	if e.sealedDataKey, err = decodeBounded(m, metaSealedDataKey, base64.StdEncoding.EncodedLen(kms.MaxCiphertext)); err != nil {
		return nil, err
	}
	if _, ok := m[metaContext]; ok && e.method == KMS {
		text, err := decodeBounded(m, metaContext, maxContext)
		if err != nil {
			return nil, err
		}
		if e.context, err = kms.ParseAssociatedData(text); err != nil {
			return nil, tampered(metaContext, "is not a JSON object of strings")
		}
	}
	return e, nil
}

func decodeBounded(m map[string]string, entry string, most int) ([]byte, error) {
	if len(m[entry]) > most {
		return nil, errTooLong(entry)
	}
	text := m[entry]
	var in [256]byte
	b, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), append(in[:0], text...))
	if err != nil {
		return nil, errNotBase64(entry)
	}
	return b, nil
}

func errTooLong(entry string) error   { return tampered(entry, "is longer than any writer makes it") }
func errNotBase64(entry string) error { return tampered(entry, "is not base64") }

func decodeFixed(dst []byte, m map[string]string, entry string) error {
	text := m[entry]
	if len(text) > base64.StdEncoding.EncodedLen(len(dst)) {
		return errTooLong(entry)
	}
	const most = (sealedKeySize + 2) / 3 // groups
	var in [4 * most]byte
	var out [3 * most]byte
	b, err := base64.StdEncoding.AppendDecode(out[:0], append(in[:0], text...))
	if err != nil {
		return errNotBase64(entry)
	}
	if len(b) != len(dst) {
		return tampered(entry, "has "+strconv.Itoa(len(b))+" bytes, not "+strconv.Itoa(len(dst)))
	}
	copy(dst, b)
	return nil
}

// replaceEnvelope returns a copy of m with e in place of whatever envelope was
// there. Everything else stays: it hangs off the object key, not off its seal.
func replaceEnvelope(m map[string]string, e *envelope) map[string]string {
	out := maps.Clone(m)
	for _, entry := range [...]string{metaSealedKeyS3, metaSealedKeyKMS, metaSealedKeyC, metaKMSKeyID, metaSealedDataKey, metaContext} {
		delete(out, entry)
	}
	return e.addTo(out)
}

// entries returns what e stands for in metadata.
func (e *envelope) entries() map[string]string { return e.addTo(make(map[string]string, 8)) }

func (e *envelope) addTo(m map[string]string) map[string]string {
	sealedDataKey := e.sealedDataKey
	if e.method == C {
		sealedDataKey = nil
	}
	text := encodeBase64([3][]byte{e.key.iv[:], e.key.sealed[:], sealedDataKey})
	m[metaIV], m[metaAlgorithm], m[sealedKeyEntry[e.method]] = text[0], sealAlgorithm, text[1]
	if e.method != C {
		m[metaKMSKeyID], m[metaSealedDataKey] = e.kmsKeyID, text[2]
	}
	if len(e.context) > 0 {
		m[metaContext] = encodeContext(e.context)
	}
	return m
}

// encodeBase64 needs one allocation for all values, which end up in one map anyway.
func encodeBase64(values [3][]byte) (texts [3]string) {
	var room [320]byte
	var ends [len(texts)]int
	b := room[:0]
	for i, v := range values {
		b = base64.StdEncoding.AppendEncode(b, v)
		ends[i] = len(b)
	}
	all, begin := string(b), 0
	for i := range values {
		texts[i] = all[begin:ends[i]]
		begin = ends[i]
	}
	return texts
}

// The two stream formats under an encrypted object that this package reads.
const (
	compressionS2     = "klauspost/compress/s2"
	compressionSnappy = "golang/snappy/LZ77" // before S2; its framed streams are S2 streams
)

// compressed reports whether the plaintext of the packages is an S2 stream.
func compressed(m map[string]string) (bool, error) {
	switch scheme, ok := m[metaCompression]; {
	case !ok:
		return false, nil
	case scheme == compressionS2 || scheme == compressionSnappy:
		return true, nil
	default:
		return false, &MetadataError{metaCompression, "names an unknown scheme", ErrUnsupported}
	}
}

// actualSize is the plaintext size as stored, -1 if it is not: MinIO writes it
// for compressed and for multipart objects, and loses it in some rotations.
func actualSize(m map[string]string) (int64, error) {
	text, ok := m[metaActualSize]
	if !ok {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, tampered(metaActualSize, "is not a size")
	}
	return n, nil
}
