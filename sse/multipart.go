package sse

import (
	"bytes"
	"context"
	"crypto/fips140"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"

	"github.com/objseal/objseal/kms"
)

// maxPartNumber is S3's.
const maxPartNumber = 10000

// A Multipart encrypts an object in parts, each a stream of its own under a
// key derived from the object key and the part number. It is safe for
// concurrent use.
type Multipart struct {
	name    ObjectName
	method  Method
	key     heldKey
	initial map[string]string
}

// A CompletedPart is one line of the client's list at completion, with the
// plaintext size that the backend remembers.
type CompletedPart struct {
	Number     int    // 1 to 10000
	ETag       string // as the client saw and sent it: 32 hexadecimal digits, perhaps in quotes
	ActualSize int64  // plaintext bytes
	Checksum   []byte // digest of the plaintext, if CompleteOptions ask for one
}

// CompleteOptions are the settings of CompleteWith. The zero value stores no
// checksum.
type CompleteOptions struct {
	// Checksum is stored with the object, made of those of its parts.
	Checksum ChecksumType
	// FullObject makes it that of the whole plaintext, as S3's type FULL_OBJECT,
	// which CRCs can be, and CRC64NVME must; else it is COMPOSITE, over the digests of
	// the parts.
	FullObject bool
	// Want is the digest that the client sent, nil if it sent none. Another one
	// is refused.
	Want []byte
}

// NewMultipart makes the object key of a multipart upload, as Encrypt does for
// a whole object, with the same errors. Store Metadata with the upload:
// [ResumeMultipart] needs it.
func NewMultipart(ctx context.Context, client *kms.Client, r Request, n ObjectName) (*Multipart, error) {
	e := new(envelope)
	key, err := e.sealNewObjectKey(ctx, client, r, n)
	if err != nil {
		return nil, fmt.Errorf("failed to start the multipart upload of %s: %w", n, err)
	}
	m := e.entries()
	m[metaMultipart] = ""
	return &Multipart{name: n, method: r.Method, key: heldKey{key: key}, initial: m}, nil
}

// ResumeMultipart opens the object key of an upload again, for another part. Of
// o it needs the customer key of an SSE-C upload. It fails like Open, and with
// ErrInvalidRequest for the metadata of anything else than a multipart upload.
func ResumeMultipart(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions) (*Multipart, error) {
	key, e, err := unseal(ctx, client, n, metadata, o)
	if err == nil {
		if _, ok := metadata[metaMultipart]; !ok {
			err = errNoUpload
		}
	}
	if err != nil {
		return nil, fmt.Errorf("failed to resume the multipart upload of %s: %w", n, err)
	}
	return &Multipart{name: n, method: e.method, key: heldKey{key: key}, initial: maps.Clone(metadata)}, nil
}

// NewMultipartAny is NewMultipart, and for a request that asks for no encryption
// one whose parts are plaintext: see [EncryptAny].
func NewMultipartAny(ctx context.Context, client *kms.Client, r Request, n ObjectName) (*Multipart, error) {
	if r.Method != None {
		return NewMultipart(ctx, client, r, n)
	}
	if err := r.validatePlain(); err != nil {
		return nil, fmt.Errorf("failed to start the multipart upload of %s: %w", n, err)
	}
	return &Multipart{name: n, initial: make(map[string]string)}, nil
}

// ResumeMultipartAny is ResumeMultipart, and one whose parts are plaintext for
// metadata without a trace of encryption; [OpenOptions.RequireEncrypted] and a
// customer key refuse those, as for [OpenAny].
func ResumeMultipartAny(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions) (*Multipart, error) {
	if !o.mayBePlain(metadata) {
		return ResumeMultipart(ctx, client, n, metadata, o)
	}
	m := &Multipart{name: n, initial: make(map[string]string)}
	maps.Copy(m.initial, metadata)
	return m, nil
}

// ShownPartETag is the ETag of a part as its client saw it, as far as no key is
// needed for it, from the stored metadata of the upload and of the part: ok is
// false under SSE-S3, for which there is [Multipart.OpenPart], and for what no writer
// makes.
func ShownPartETag(upload, part map[string]string) (etag string, ok bool) {
	m, err := storedMethod(upload)
	if err != nil {
		return "", false
	}
	e, err := parseETag(part)
	if err != nil || e.text == "" || m == S3 && e.sealed != nil {
		return "", false
	}
	return e.display(m, nil), true
}

// Metadata is that of the upload, before any part.
func (m *Multipart) Metadata() map[string]string { return maps.Clone(m.initial) }

// Part returns the ciphertext of part number, 1 to 10000. Its nonce is random:
// MinIO derives it from upload id and part number, so that sending a part
// twice with different bytes uses key and nonce twice (SSE spec section 1.5);
// readers do not care. ErrInvalidRequest for another number, or options that make
// no sense.
func (m *Multipart) Part(ctx context.Context, number int, body io.Reader, o *EncryptOptions) (*Upload, error) {
	u := &Upload{name: m.name, method: m.method}
	if number < 1 || number > maxPartNumber {
		return nil, u.failed(fmt.Errorf("%w: part number %d", ErrInvalidRequest, number))
	}
	var err error
	if u.opts, err = o.orDefault(); err != nil {
		return nil, u.failed(err)
	}
	if m.method == None {
		return u.begin(ctx, objectKey{}, body)
	}
	if u.key, err = m.key.borrow(); err != nil {
		return nil, u.failed(err)
	}
	partKey := u.key.partKey(number)
	defer partKey.Wipe()
	return u.begin(ctx, partKey, body)
}

// Wipe overwrites the object key. Parts already begun go on with their own
// copy; new ones fail. Metadata and Complete need no key, but a checksum does.
// Without encryption there is nothing to overwrite.
func (m *Multipart) Wipe() { m.key.wipe() }

// OpenPart returns the ETag and the checksums of a part from its stored metadata,
// as clients see them: for ListParts, and for the comparison at completion.
func (m *Multipart) OpenPart(metadata map[string]string) (etag string, sums []Checksum, err error) {
	etag, sums, err = m.openPart(metadata)
	if err != nil {
		return "", nil, fmt.Errorf("failed to open a part of %s: %w", m.name, err)
	}
	return etag, sums, nil
}

func (m *Multipart) openPart(metadata map[string]string) (string, []Checksum, error) {
	stored, err := parseETag(metadata)
	if err != nil {
		return "", nil, err
	}
	records := []byte(metadata[metaChecksum])
	if m.method == None {
		return stored.text, parseChecksums(records), nil
	}
	key, err := m.key.borrow()
	if err != nil {
		return "", nil, err
	}
	defer key.Wipe()
	opened, err := stored.open(key, false)
	if err == nil && len(records) > 0 {
		records, err = key.openValue(labelChecksum, records, false)
	}
	if err != nil {
		return "", nil, err
	}
	return stored.display(m.method, opened), parseChecksums(records), nil
}

// CompleteUpload is Complete from the stored metadata of the upload, without its
// key: neither a key server nor a customer key is needed to complete an upload
// that stores no checksum of the whole.
func CompleteUpload(n ObjectName, upload map[string]string, parts []CompletedPart) (map[string]string, error) {
	e, err := parseEnvelope(upload)
	if err != nil {
		return nil, fmt.Errorf("failed to complete %s: %w", n, err)
	}
	if _, ok := upload[metaMultipart]; !ok {
		return nil, fmt.Errorf("failed to complete %s: %w", n, errNoUpload)
	}
	return (&Multipart{name: n, method: e.method, initial: upload}).Complete(parts)
}

var errNoUpload = fmt.Errorf("%w: the metadata is not that of a multipart upload", ErrInvalidRequest)

// Complete is CompleteWith without options. It needs no key.
func (m *Multipart) Complete(parts []CompletedPart) (map[string]string, error) {
	return m.CompleteWith(parts, nil)
}

// CompleteWith returns the metadata of the finished object, which consists of
// parts in this order. That the ETags are those of the parts is the backend's to
// check: it compares them with Upload.ETag, or OpenPart. *RequestError if the
// numbers do not rise, or an ETag, size or checksum cannot be one.
func (m *Multipart) CompleteWith(parts []CompletedPart, o *CompleteOptions) (map[string]string, error) {
	out, err := m.complete(parts, o)
	if err != nil {
		return nil, fmt.Errorf("failed to complete %s: %w", m.name, err)
	}
	return out, nil
}

var errPartOrder = &RequestError{Response: Response{http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number."}}

func (m *Multipart) complete(parts []CompletedPart, o *CompleteOptions) (map[string]string, error) {
	var size int64
	for i, p := range parts {
		switch {
		case i > 0 && p.Number <= parts[i-1].Number:
			return nil, errPartOrder
		case p.Number < 1 || p.Number > maxPartNumber || p.ActualSize < 0 || p.ActualSize > maxActualSize:
			return nil, invalidRequest(fmt.Sprintf("part number %d, of %d bytes", p.Number, p.ActualSize))
		}
		size += p.ActualSize
	}
	if len(parts) == 0 {
		return nil, invalidRequest("a multipart object has at least one part")
	}
	etag, err := multipartETag(parts)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(m.initial)
	out[metaETag] = etag
	out[metaActualSize] = strconv.FormatInt(size, 10)
	if o == nil || o.Checksum == NoChecksum {
		return out, nil
	}
	_, isCRC := crcPolynomials[o.Checksum]
	if !o.Checksum.known() || o.FullObject && !isCRC || !o.FullObject && o.Checksum == CRC64NVME {
		return nil, invalidRequest(fmt.Sprintf("the checksum type of a multipart object cannot be that for %s", o.Checksum))
	}
	var sum Checksum
	fips140.WithoutEnforcement(func() { sum, err = combine(o.Checksum, o.FullObject, parts) }) // SHA-1 protects nothing here
	if err != nil {
		return nil, err
	}
	if o.Want != nil && !bytes.Equal(o.Want, sum.Value) {
		return nil, &RequestError{Response: Response{http.StatusBadRequest, "BadDigest", fmt.Sprintf("The %s you specified did not match the calculated checksum.", o.Checksum)}}
	}
	var key objectKey
	if m.method != None {
		if key, err = m.key.borrow(); err != nil {
			return nil, err
		}
		defer key.Wipe()
	}
	record, err := storedChecksum(sum, m.method, key)
	if err != nil {
		return nil, err
	}
	out[metaChecksum] = string(record)
	return out, nil
}
